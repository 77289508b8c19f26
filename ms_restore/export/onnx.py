"""ONNX: for ONNX Runtime and for conversion to Atlas, of any height, width and batch, or of one."""

from __future__ import annotations

from pathlib import Path

from mindspore import nn

from ms_restore.errors import InputError
from ms_restore.export import onnx_graph
from ms_restore.export.checking import check
from ms_restore.export.metadata import KEY, Metadata
from ms_restore.files import replacing
from ms_restore.inference.engines import OnnxRuntimeEngine


def export(network: nn.Cell, path: Path, metadata: Metadata) -> float:
    """Write the network and return the largest difference from it; no file if that is too large."""
    network.set_train(False)
    model = onnx_graph.model_of(network, metadata.shape)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, metadata.to_text()
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        return check(OnnxRuntimeEngine(temporary.read_bytes()), network, metadata, path)


def read(path: Path) -> tuple[Metadata, OnnxRuntimeEngine]:
    """What an exported file says of itself, and its engine."""
    try:
        import onnx
    except ImportError:
        raise InputError(f"{path}: ONNX needs the package onnx: {onnx_graph.NEEDED}") from None
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        model = onnx.load(str(path))
        text = {entry.key: entry.value for entry in model.metadata_props}.get(KEY)
        metadata = Metadata.from_text(text, str(path))
        return metadata, OnnxRuntimeEngine(path.read_bytes(), metadata.shape)
    except InputError:
        raise
    except Exception:  # protobuf and ONNX Runtime raise many types for a file they cannot parse
        raise InputError(f"{path}: not an ONNX file, or a damaged one; export it again") from None
