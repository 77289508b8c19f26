"""MINDIR: MindSpore's own graph file, for Ascend, Atlas and CPU, of any height and width or one."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_restore.deploy import onnx
from ms_restore.deploy.metadata import KEY, Metadata
from ms_restore.deploy.verification import check
from ms_restore.errors import InputError
from ms_restore.files import atomic_write
from ms_restore.inference.any_size import AnySize, placeholder
from ms_restore.inference.lite import LiteEngine
from ms_restore.inference.mindspore_engine import MindIREngine
from ms_restore.inference.om_engine import OMEngine

# MindSpore ends the process on many a damaged file, so the file carries the SHA-256 of what it is
# with zeros in that place
_SHA256 = f"{KEY}_sha256"
_UNKNOWN = "0" * 64
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}


def export(network: nn.Cell, path: Path, metadata: Metadata) -> float:
    """Write the network and return the largest difference from it; no file if that is too large."""
    network.set_train(False)
    if metadata.shape:
        shaped, example = network, _example(metadata.geometry.input_channels, metadata.shape)
    else:
        shaped = AnySize(network)
        example = placeholder(metadata.geometry.input_channels)

    def add(model: Any) -> None:
        model.user_info[KEY] = metadata.to_text()
        model.user_info[_SHA256] = _UNKNOWN

    # MindSpore writes to no path with spaces or letters that are not of ASCII
    with tempfile.TemporaryDirectory(prefix="ms_restore_") as folder:
        made = Path(folder) / "network.mindir"
        ms.export(shaped, example, file_name=str(made), file_format="MINDIR", custom_func=add)
        _fill_in_sha256(made)
        difference = check(MindIREngine(made), network, metadata, path)
        with atomic_write(path) as temporary:
            shutil.copyfile(made, temporary)
    return difference


def _fill_in_sha256(path: Path) -> None:
    """Put the SHA-256 of a file in the place that was kept for it, of the file as it is before."""
    content = path.read_bytes()
    place = content.rindex(_UNKNOWN.encode())
    with path.open("r+b") as file:
        file.seek(place)
        file.write(hashlib.sha256(content).hexdigest().encode())


def read(path: Path) -> tuple[Metadata, MindIREngine]:
    """Read an exported file: what it says of itself, and its engine."""
    metadata = _described(path)
    try:
        return metadata, MindIREngine(path, metadata.shape)
    except Exception:  # MindSpore raises many types for a file that it cannot parse
        raise InputError(_damaged(path)) from None


def read_lite(
    path: Path, device_target: Optional[str] = None, device_id: Optional[int] = None
) -> tuple[Metadata, LiteEngine]:
    """Read a MINDIR, or what converter_lite made of one, for MindSpore Lite.

    That says nothing of itself, so ``net.lite.mindir`` is described by ``net.mindir`` beside it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    source, converted = path, ".lite.mindir"
    if path.name.endswith(converted):
        source = path.with_name(path.name[: -len(converted)] + ".mindir")
    if not source.is_file():
        raise InputError(
            f"{path} was converted and says nothing of its model; "
            f"put {source.name}, from which it was made, beside it"
        )
    metadata = _described(source)
    return metadata, LiteEngine(path, metadata.shape, device_target, device_id)


def read_om(path: Path, device_id: Optional[int] = None) -> tuple[Metadata, OMEngine]:
    """Read what ATC made of an exported file, for pyACL.

    ``net.om`` says nothing of its model, so it is described by ``net.onnx`` or ``net.mindir``
    beside it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    source = path.with_suffix(".onnx")
    if source.is_file():
        metadata = onnx.described(source)
    elif path.with_suffix(".mindir").is_file():
        metadata = _described(path.with_suffix(".mindir"))
    else:
        raise InputError(
            f"{path} was converted and says nothing of its model; "
            f"put {source.name}, from which it was made, beside it"
        )
    return metadata, OMEngine(path, device_id)


def _described(path: Path) -> Metadata:
    from mindspore.train.mind_ir_pb2 import ModelProto

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    model = ModelProto()
    try:
        content = path.read_bytes()
        model.ParseFromString(content)
        written = model.user_info.get(_SHA256)  # none: by an older version
        if written is not None:
            place = content.rindex(written.encode())
            found = hashlib.sha256(content[:place])
            found.update(_UNKNOWN.encode())
            found.update(content[place + len(_UNKNOWN) :])
            if found.hexdigest() != written:
                raise ValueError("another content")
        elif any(_is_cut(tensor) for tensor in model.graph.parameter):
            raise ValueError("a parameter is not whole")
    except Exception:  # protobuf raises many types
        raise InputError(_damaged(path)) from None
    return Metadata.from_text(model.user_info.get(KEY), str(path))


def _is_cut(tensor: Any) -> bool:
    """Return whether a parameter has other bytes than its shape needs, which MindSpore trusts."""
    count = 1
    for length in tensor.dims:
        count *= length
    size = _ITEM_BYTES.get(tensor.data_type)
    return min(tensor.dims, default=1) < 1 or (size or 0) * count != len(tensor.raw_data)


def _damaged(path: Path) -> str:
    return f"{path}: not a MINDIR file, or a damaged one; export it again"


def _example(channels: int, size: tuple[int, int]) -> Tensor:
    return Tensor(np.random.default_rng(0).random((1, channels, *size), np.float32))
