"""export: a checkpoint's network for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ms_restore import runtime
from ms_restore.errors import InputError
from ms_restore.export import mindir
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings, network_of


def export(
    checkpoint: PathLike,
    file_name: PathLike,
    *,
    file_format: str = "MINDIR",
    model: Optional[str] = None,
    device_target: Optional[str] = None,
    device_id: int = 0,
    settings: Optional[Settings] = None,
) -> Path:
    """Write the network for deployment, with any height and width, and check it by loading it back.

    Returns the file written: ``file_name`` with the format's suffix.
    """
    if file_format.upper() != "MINDIR":
        raise InputError(f"file_format {file_format!r} is not known; choose MINDIR")
    runtime.start(device_target, device_id)
    network, recipe = network_of(checkpoint, model, settings)
    path = Path(file_name)
    if path.suffix != ".mindir":
        path = path.with_name(path.name + ".mindir")
    difference = mindir.export(network, path)
    say(f"{recipe.model} -> {path} (differs from the checkpoint by {difference:.1e} at most)")
    return path
