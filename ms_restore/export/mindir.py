"""MINDIR: MindSpore's own graph file, for Ascend, Atlas and CPU, of any height and width or one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_restore.errors import InputError
from ms_restore.export.checking import check
from ms_restore.export.metadata import KEY, Metadata
from ms_restore.files import replacing
from ms_restore.inference.engines import AnySize, MindIREngine


def export(network: nn.Cell, path: Path, metadata: Metadata) -> float:
    """Write the network and return the largest difference from it; no file if that is too large."""
    network.set_train(False)
    if metadata.shape:
        shaped, example = network, _example(network, metadata.shape)
    else:
        shaped = AnySize(network)
        example = Tensor(shape=[None, network.channels, None, None], dtype=ms.float32)

    def add(model: Any) -> None:
        model.user_info[KEY] = metadata.to_text()

    with replacing(path) as temporary:
        ms.export(shaped, example, file_name=str(temporary), file_format="MINDIR", custom_func=add)
        return check(MindIREngine(temporary), network, metadata, path)


def read(path: Path) -> tuple[Metadata, MindIREngine]:
    """What an exported file says of itself, and its engine."""
    from mindspore.train.mind_ir_pb2 import ModelProto

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
        text = model.user_info.get(KEY)
        metadata = Metadata.from_text(text, str(path))
        return metadata, MindIREngine(path, metadata.shape)
    except InputError:
        raise
    except Exception:  # protobuf and MindSpore raise many types for a file they cannot parse
        raise InputError(f"{path}: not a MINDIR file, or a damaged one; export it again") from None


def _example(network: nn.Cell, size: tuple[int, int]) -> Tensor:
    return Tensor(np.random.default_rng(0).random((1, network.channels, *size), np.float32))
