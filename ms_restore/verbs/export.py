"""export: a checkpoint's network for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ms_restore import recipe as recipes
from ms_restore import runtime
from ms_restore.contracts import Geometry
from ms_restore.deploy import mindir, onnx
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import catalogue, run_checkpoints

_FORMATS = {"MINDIR": mindir.export, "ONNX": onnx.export}


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
    ``file_format``: MINDIR or ONNX; none: that of the suffix of ``file_name``, else MINDIR.
    Returns the file written: ``file_name`` with the format's suffix.
    """
    path = Path(file_name)
    of_suffix = path.suffix[1:].upper() if path.suffix[1:].upper() in _FORMATS else None
    format_name = (file_format or of_suffix or "MINDIR").upper()
    if format_name == "AIR":
        raise InputError(
            "AIR is written on an Ascend host alone, and MindSpore has deprecated it; "
            "choose MINDIR or ONNX"
        )
    if format_name not in _FORMATS:
        raise InputError(f"file_format {file_format!r} is not known; choose MINDIR or ONNX")
    if of_suffix not in (None, format_name):
        raise InputError(
            f"{path}: its suffix is that of {of_suffix}, but file_format is {format_name}; "
            "leave one of the two out"
        )
    checkpoint = run_checkpoints.locate(catalogue.resolve(checkpoint))
    runtime.start(device_target, device_id, settings=recipes.runtime_of(settings))
    network, recipe = network_of(checkpoint, model, settings)
    geometry = Geometry.of(network)
    shape = shape_for(geometry, height, width)
    suffix = f".{format_name.lower()}"
    if of_suffix is None:
        path = path.with_name(path.name + suffix)
    metadata = Metadata(recipe, geometry, shape, sha256(checkpoint))
    difference = _FORMATS[format_name](network, path, metadata)
    only = shape or (geometry.side and (geometry.side, geometry.side))
    size = f"{only[0]}x{only[1]} (height x width)" if only else "any size"
    if not only and geometry.size_multiple > 1:
        size += f" whose sides are multiples of {geometry.size_multiple}"
    say(f"{recipe.model} -> {path} ({size}; differs from the checkpoint by {difference:.1e})")
    return path


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
