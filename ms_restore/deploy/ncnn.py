"""NCNN: NAME.ncnn.param and NAME.ncnn.bin, for ncnn on CPUs, on phones, and on GPUs with Vulkan.

pnnx converts the ONNX file of a network. The last line of the .param, which ncnn does not read,
describes the network, and has the CRC-32 of both files, as ncnn ends the process on damaged ones.
"""

from __future__ import annotations

import subprocess
import tempfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ms_restore.contracts import Engine
from ms_restore.deploy import onnx
from ms_restore.deploy.metadata import KEY, Metadata
from ms_restore.errors import InputError
from ms_restore.files import atomic_write
from ms_restore.inference.ncnn_engine import NcnnEngine
from ms_restore.inference.ncnn_graph import read_layers

if TYPE_CHECKING:
    from mindspore import nn

SUFFIX = ".ncnn.param"
_MARK = f"# {KEY} "
_CONVOLUTIONS = ("Convolution", "Deconvolution")
_LAYERS = {  # those that were compared with other engines; ncnn ends the process on some others
    *_CONVOLUTIONS,
    *("ConvolutionDepthWise", "DeconvolutionDepthWise"),
    *("BinaryOp", "Clip", "Concat", "Crop", "Input", "Interp", "MemoryData", "PReLU", "Padding"),
    *("PixelShuffle", "Pooling", "ReLU", "Sigmoid", "Split", "Swish", "TanH", "UnaryOp"),
}
_LEAST_SIDE = 32  # pixels of the example images by which pnnx infers shapes
_NEEDED = (
    "conversion to ncnn needs the package pnnx: pip install --no-deps pnnx (its dependency PyTorch "
    "is not used)"
)


def export(network: nn.Cell, path: Path, metadata: Metadata) -> float:
    """Write the network and return the largest difference from it; no file if that is too large."""
    from ms_restore.deploy.verification import check

    with tempfile.TemporaryDirectory(prefix="ms_restore_") as folder:
        source = Path(folder) / "network.onnx"
        onnx.export(network, source, metadata)
        made = convert(source, metadata)
        difference = check(read(made)[1], network, metadata, path)
        store(made, path)
    return difference


def convert(source: Path, metadata: Metadata) -> Path:
    """Convert an ONNX file, and return the .param, which stands beside it as the .bin does.

    InputError where pnnx is not installed or ncnn has no layers for some of its operators.
    """
    program = _program()
    shapes = [f"[1,{metadata.geometry.input_channels},{h},{w}]f32" for h, w in _sizes(metadata)]
    command = [str(program), source.name, "fp16=0", f"inputshape={shapes[0]}"]
    if len(shapes) > 1:
        command.append(f"inputshape2={shapes[1]}")
    done = subprocess.run(command, cwd=source.parent, capture_output=True, check=False)
    param = source.with_suffix(SUFFIX)
    if done.returncode != 0 or not param.is_file():
        raise InputError(
            f"pnnx cannot convert {metadata.recipe.model} to ncnn (it ended with code "
            f"{done.returncode}); use --file_format ONNX and engine onnxruntime"
        )
    text = param.read_text(encoding="utf-8")
    others = sorted({layer.kind for layer in read_layers(text)} - _LAYERS)
    if others:
        raise InputError(
            f"ncnn is not used for layers that {metadata.recipe.model} has: {', '.join(others)}; "
            "use --file_format ONNX and engine onnxruntime"
        )
    check_sum = _check_sum(text, param.with_suffix(".bin"))
    param.write_text(f"{text}{_MARK}{check_sum} {metadata.to_text()}\n", encoding="utf-8")
    return param


def is_dilated(param: Path) -> bool:
    """Return whether a .param has dilated convolutions, at which ncnn is slow."""
    layers = read_layers(param.read_text(encoding="utf-8"))
    return any(layer.kind in _CONVOLUTIONS and layer.number("2", 1) != 1 for layer in layers)


def _sizes(metadata: Metadata) -> list[tuple[int, int]]:
    """One (height, width) for pnnx where it is fixed, else two, by which it sees what depends."""
    side = metadata.geometry.side
    if metadata.shape or side:
        return [metadata.shape or (side or 0, side or 0)]
    least = -(-_LEAST_SIDE // metadata.geometry.size_multiple) * metadata.geometry.size_multiple
    return [(least, least), (2 * least, 3 * least)]


def _program() -> Path:
    """Return pnnx's program; its Python module is not imported, as that would load PyTorch."""
    found = find_spec("pnnx")
    if found is None or found.origin is None:
        raise InputError(_NEEDED)
    folder = Path(found.origin).parent
    programs = [folder / name for name in ("pnnx", "pnnx.exe") if (folder / name).is_file()]
    if not programs:
        raise InputError(_NEEDED)
    return programs[0]


def can_convert() -> bool:
    """Return whether ncnn and pnnx are installed, without importing them."""
    return NcnnEngine.is_installed() and find_spec("pnnx") is not None


def store(made: Path, path: Path) -> None:
    """Copy a .param and its .bin to ``path`` and beside it, both or none of them."""
    with atomic_write(path.with_suffix(".bin")) as model, atomic_write(path) as param:
        model.write_bytes(made.with_suffix(".bin").read_bytes())
        param.write_bytes(made.read_bytes())


def read(path: Path, vulkan: Optional[int] = None) -> tuple[Metadata, Engine]:
    """Read an exported .param: what it says of itself, and its engine.

    ``vulkan``: number of the GPU that computes; None: the CPU computes.
    """
    model = path.with_suffix(".bin")
    for needed in (path, model):
        if not needed.is_file():
            raise InputError(f"{needed}: no such file; ncnn takes a .param and its .bin beside it")
    try:
        graph, mark, described = path.read_text(encoding="utf-8").rpartition(_MARK)
    except ValueError:
        raise InputError(f"{path}: not text, as ncnn's .param is; export it again") from None
    written, _, text = described.partition(" ")
    if mark and written != _check_sum(graph, model):
        raise InputError(
            f"{path}: it or {model.name} is damaged, or they are of two exports; export it again"
        )
    metadata = Metadata.from_text(text, str(path))
    return metadata, NcnnEngine(path, model, metadata.geometry, metadata.shape, vulkan)


def _check_sum(graph: str, model: Path) -> str:
    return f"{zlib.crc32(model.read_bytes(), zlib.crc32(graph.encode())):08x}"
