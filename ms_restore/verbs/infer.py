"""infer: pictures restored by a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ms_restore import runtime
from ms_restore.data.images import check_output, list_pictures, read_picture, write_picture
from ms_restore.errors import InputError, listed
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings, restorer_of


def infer(
    checkpoint: PathLike,
    input: PathLike,
    output: PathLike,
    *,
    model: Optional[str] = None,
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
    settings: Optional[Settings] = None,
) -> list[Path]:
    """Restore a picture to a file, or a folder of pictures to PNG files of the same names.

    Gray, 16 bit and transparency are kept. Large pictures are computed in tiles, with the same
    result; ``tile`` and ``self_ensemble`` are explained at Restorer. Returns the files written.
    """
    pairs = pairs_of(Path(input), Path(output))
    runtime.start(device_target, device_id, mode)
    restorer = restorer_of(checkpoint, model, settings, tile, self_ensemble)
    for source, target in pairs:
        picture = read_picture(source)
        check_output(target, picture)
        try:
            restored = restorer.picture(picture)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        write_picture(target, restored)
        height, width = restored.pixels.shape[:2]
        say(f"{source} -> {target} ({width}x{height})")
    return [target for _, target in pairs]


def pairs_of(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Each input file with its output file; InputError if two would share one."""
    if source.is_dir():
        pictures = list_pictures(source)
        pairs = [(path, target / f"{path.stem}.png") for path in pictures]
        names = [written.name for _, written in pairs]
        shared = sorted({name for name in names if names.count(name) > 1})
        if shared:
            raise InputError(
                f"{source}: several images would be written as {listed(shared)}; "
                "rename them or put them in folders of their own"
            )
        return pairs
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if target.is_dir() or not target.suffix:
        target = target / f"{source.stem}.png"
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the input itself; name another output")
    return [(source, target)]
