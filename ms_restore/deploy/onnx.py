"""ONNX: for ONNX Runtime and for conversion to Atlas, of any height, width and batch, or of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ms_restore.deploy.metadata import KEY, Metadata
from ms_restore.errors import InputError
from ms_restore.files import atomic_write
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine

if TYPE_CHECKING:
    from mindspore import nn


def export(network: nn.Cell, path: Path, metadata: Metadata) -> float:
    """Write the network and return the largest difference from it; no file if that is too large."""
    from ms_restore.deploy.translation import onnx_graph  # loads MindSpore, as reading does not
    from ms_restore.deploy.verification import check

    network.set_train(False)
    model = onnx_graph.model_of(network, metadata.shape)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, metadata.to_text()
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        return check(OnnxRuntimeEngine(temporary.read_bytes()), network, metadata, path)


def described(path: Path) -> Metadata:
    """Return what an exported file says of itself, without ONNX Runtime."""
    try:
        import onnx
    except ImportError:
        raise InputError(
            f"{path}: reading it needs the onnx package: pip install 'ms-restore[onnx]'"
        ) from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf raises many types
        raise InputError(f"{path}: not an ONNX file, or a damaged one; export it again") from None
    texts = {entry.key: entry.value for entry in model.metadata_props}
    return Metadata.from_text(texts.get(KEY), str(path))


def read(path: Path) -> tuple[Metadata, OnnxRuntimeEngine]:
    """Read an exported file: what it says of itself, and its engine."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        engine = OnnxRuntimeEngine(path.read_bytes())
    except InputError:
        raise
    except Exception:  # ONNX Runtime raises many types for a file that it cannot parse
        raise InputError(f"{path}: not an ONNX file, or a damaged one; export it again") from None
    metadata = Metadata.from_text(engine.metadata.get(KEY), str(path))
    engine.shape = metadata.shape
    return metadata, engine
