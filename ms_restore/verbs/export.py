"""export: a checkpoint's network for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ms_restore import runtime
from ms_restore.errors import InputError
from ms_restore.export import mindir
from ms_restore.export.metadata import Metadata
from ms_restore.files import sha256
from ms_restore.inference.geometry import Geometry
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings, network_of
from ms_restore.weights import checkpoint as checkpoints


def export(
    checkpoint: PathLike,
    file_name: PathLike,
    *,
    file_format: str = "MINDIR",
    model: Optional[str] = None,
    height: Optional[int] = None,
    width: Optional[int] = None,
    device_target: Optional[str] = None,
    device_id: int = 0,
    settings: Optional[Settings] = None,
) -> Path:
    """Write the network for deployment, and check it by loading it back.

    The file takes images of any size, or with ``height`` and ``width`` of that size alone; in both
    cases sides must be multiples of the network's ``size_multiple``, to which infer and eval pad.
    Returns the file written: ``file_name`` with the format's suffix.
    """
    if file_format.upper() != "MINDIR":
        raise InputError(f"file_format {file_format!r} is not known; choose MINDIR")
    runtime.start(device_target, device_id)
    network, recipe = network_of(checkpoint, model, settings)
    geometry = Geometry.of(network)
    shape = shape_for(geometry, height, width)
    path = Path(file_name)
    if path.suffix != ".mindir":
        path = path.with_name(path.name + ".mindir")
    digest = sha256(checkpoints.locate(Path(checkpoint)))
    difference = mindir.export(network, path, Metadata(recipe, geometry, shape, digest))
    only = shape or (geometry.side and (geometry.side, geometry.side))
    size = f"{only[0]}x{only[1]} (height x width)" if only else "any size"
    say(f"{recipe.model} -> {path} ({size}; differs from the checkpoint by {difference:.1e})")
    return path


def shape_for(
    geometry: Geometry, height: Optional[int], width: Optional[int]
) -> Optional[tuple[int, int]]:
    """The only (height, width) of the file, None where it takes any that the network takes."""
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
