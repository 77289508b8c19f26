"""export: a checkpoint's network for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ms_restore import recipe as recipes
from ms_restore import runtime
from ms_restore.contracts import Geometry
from ms_restore.deploy import mindir, ncnn, onnx
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import catalogue, run_checkpoints

_FORMATS = {
    "MINDIR": (".mindir", mindir.export),
    "ONNX": (".onnx", onnx.export),
    "NCNN": (ncnn.SUFFIX, ncnn.export),
}


def export(
    checkpoint: PathLike,
    file_name: PathLike,
    *,
    file_format: Optional[str] = None,
    model: Optional[str] = None,
    height: Optional[int] = None,
    width: Optional[int] = None,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> Path:
    """Write the network for deployment, and check it by loading it back.

    The file takes images of any size, or with ``height`` and ``width`` of that size alone; in both
    cases sides must be multiples of the network's ``size_multiple``, to which infer and eval pad.
    ``checkpoint`` is a file, a run folder, or a model's name, see load_model.
    ``file_format``: MINDIR, ONNX or NCNN; none: that of the suffix of ``file_name``, else MINDIR.
    Returns the file written: ``file_name`` with the format's suffix; of NCNN NAME.ncnn.param,
    beside which NAME.ncnn.bin has the weights.
    """
    path, format_name = _destination(Path(file_name), file_format)
    checkpoint = run_checkpoints.locate(catalogue.resolve(checkpoint))
    runtime.start(device_target, device_id, settings=recipes.runtime_of(settings))
    network, recipe = network_of(checkpoint, model, settings)
    geometry = Geometry.of(network)
    shape = shape_for(geometry, height, width)
    metadata = Metadata(recipe, geometry, shape, sha256(checkpoint))
    difference = _FORMATS[format_name][1](network, path, metadata)
    only = shape or (geometry.side and (geometry.side, geometry.side))
    size = f"{only[0]}x{only[1]} (height x width)" if only else "any size"
    if not only and geometry.size_multiple > 1:
        size += f" whose sides are multiples of {geometry.size_multiple}"
    say(f"{recipe.model} -> {path} ({size}; differs from the checkpoint by {difference:.1e})")
    return path


def _destination(path: Path, file_format: Optional[str]) -> tuple[Path, str]:
    """Return the file to write, with its format's suffix, and the format."""
    suffixes = {f".{name.lower()}": name for name in _FORMATS} | {".param": "NCNN"}
    of_suffix = suffixes.get(path.suffix.lower())
    name = (file_format or of_suffix or "MINDIR").upper()
    if name == "AIR":
        raise InputError(
            "AIR is written on an Ascend host alone, and MindSpore has deprecated it; "
            "choose MINDIR or ONNX"
        )
    if name not in _FORMATS:
        raise InputError(f"file_format {file_format!r} is not known; choose MINDIR, ONNX or NCNN")
    if of_suffix not in (None, name):
        raise InputError(
            f"{path}: its suffix is that of {of_suffix}, but file_format is {name}; "
            "leave one of the two out"
        )
    if name == "NCNN":
        stem = path.name[: -len(".param")] if path.suffix.lower() == ".param" else path.name
        stem = stem[: -len(".ncnn")] if stem.lower().endswith(".ncnn") else stem
        return path.with_name(stem + ncnn.SUFFIX), name
    return (path if of_suffix else path.with_name(path.name + _FORMATS[name][0])), name


def shape_for(
    geometry: Geometry, height: Optional[int], width: Optional[int]
) -> Optional[tuple[int, int]]:
    """Return the only (height, width) that the file is to take; None: as the network."""
    multiple, side = geometry.size_multiple, geometry.side
    if height is None and width is None:
        return None
    if height is None or width is None:
        raise InputError("--height and --width belong together; give both, or none for any size")
    if side and (height, width) != (side, side):
        raise InputError(
            f"height {height}, width {width}: "
            f"this network takes {side}x{side} alone; leave them out"
        )
    if min(height, width) < 1 or height % multiple or width % multiple:
        raise InputError(
            f"height {height}, width {width}: expected multiples of {multiple} for this network"
        )
    return height, width
