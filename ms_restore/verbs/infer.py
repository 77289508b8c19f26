"""infer: pictures restored by a checkpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ms_restore.errors import InputError, comma_list
from ms_restore.files import sha256
from ms_restore.images import raw
from ms_restore.images.picture import SUFFIXES as PICTURES
from ms_restore.images.picture import Picture
from ms_restore.images.reading import decoded_bytes, list_pictures, read_picture
from ms_restore.images.writing import check_output, write_picture
from ms_restore.inference import picture_folder
from ms_restore.inference.engine_selection import EngineOptions, is_exported
from ms_restore.inference.raw_development import Bits, RawDeveloper, takes_raw
from ms_restore.inference.restorer import Restorer
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings, restorer_of
from ms_restore.weights import checkpoint as checkpoints

_SHOWN = 10  # problems of a folder, each in its line


def infer(
    checkpoint: PathLike,
    input: PathLike,
    output: PathLike,
    *,
    model: Optional[str] = None,
    ratio: Optional[float] = None,
    bits: Bits = 8,
    engine: str = "auto",
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    overwrite: bool = False,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
    settings: Optional[Settings] = None,
) -> list[Path]:
    """Restore a picture to a file, or a folder of pictures to PNG files of the same names.

    Gray, 16 bit and transparency are kept. Large pictures are computed in tiles, with the same
    result; ``engine`` is explained at load_model, ``tile`` and ``self_ensemble`` at Restorer. A
    model for raw files takes those; ``ratio`` and ``bits`` are explained at RawDeveloper.

    Of a folder, what this checkpoint has written there before is skipped, unless ``overwrite``. A
    picture that cannot be read or restored is reported at the end by InputError, after the others.
    Returns the files, those skipped included.
    """
    if not Path(input).exists():
        raise InputError(f"{input}: no such file or folder")
    found = Path(checkpoint)
    options = EngineOptions(engine, device_target, device_id, mode)
    restorer = restorer_of(found, model, settings, options, tile, self_ensemble)
    develop = RawDeveloper(restorer, ratio, bits) if takes_raw(restorer.recipe) else None
    if develop is None and (ratio is not None or bits != 8):
        raise InputError(
            f"{restorer.recipe.model} takes pictures: --ratio and --bits are for models of raw "
            "files, such as sid_sony"
        )
    pairs = pairs_of(Path(input), Path(output), raw.SUFFIXES if develop else PICTURES)
    record = None
    left = pairs
    if Path(input).is_dir():
        path = found if is_exported(found) else checkpoints.locate(found)
        made = [sha256(path), model, settings or {}, self_ensemble, ratio, bits]
        key = json.dumps(made, sort_keys=True)
        record = picture_folder.ResumeRecord(Path(output), key)
        left = [pair for pair in pairs if overwrite or not record.done(pair)]
    if len(left) < len(pairs):
        say(
            f"{len(pairs) - len(left)} of {len(pairs)} already restored by this checkpoint in "
            f"{output}, skipped; --overwrite redoes them"
        )
    if left:
        restore_pictures(restorer, left, record, develop)
    return [target for _, target in pairs]


def restore_pictures(
    restorer: Restorer,
    pairs: list[picture_folder.Pair],
    record: Optional[picture_folder.ResumeRecord] = None,
    develop: Optional[RawDeveloper] = None,
) -> None:
    """Restore pictures to files, and report those that could not be, by InputError at the end.

    What is written is added to the ``record`` of the folder.
    """

    def compute(pair: picture_folder.Pair, read: Any) -> Picture:
        source, target = pair
        if develop:
            check_output(target, develop.empty_picture)
            return develop(source, read)
        check_output(target, read)
        try:
            return restorer.picture(read)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None

    def write(target: Path, restored: Picture) -> tuple[int, int]:
        write_picture(target, restored)
        height, width = restored.pixels.shape[:2]
        return height, width

    def finished(pair: picture_folder.Pair, size: tuple[int, int]) -> None:
        source, target = pair
        if record is not None:
            record.add(pair)
        height, width = size
        say(f"{source} -> {target} ({width}x{height})")

    def picture_bytes(source: Path) -> int:
        if develop:
            return develop.picture_bytes(source)
        return decoded_bytes(source) * (1 + restorer.scale**2)

    before, began = restorer.busy, time.perf_counter()
    read = develop.read if develop else read_picture
    outcome = picture_folder.run(pairs, read, compute, write, picture_bytes, finished)
    seconds = time.perf_counter() - began
    if len(pairs) > 1:
        busy = (restorer.busy - before) / seconds
        say(
            f"{len(outcome.written)} pictures in {seconds:.1f} s, engine {restorer.engine} busy "
            f"{busy:.0%} of them"
        )
    if outcome.problems:
        lines = outcome.problems[:_SHOWN]
        more = len(outcome.problems) - len(lines)
        if len(pairs) > 1:
            others = f"and {more} more; " if more else ""
            lines.append(f"{others}{len(outcome.written)} of {len(pairs)} pictures were restored")
        raise InputError(*lines)


def pairs_of(
    source: Path, target: Path, suffixes: Sequence[str] = PICTURES
) -> list[tuple[Path, Path]]:
    """Return each input file with its output file; raise InputError if two would share one."""
    if source.is_dir():
        pictures = list_pictures(source, suffixes)
        pairs = [(path, target / f"{path.stem}.png") for path in pictures]
        names = [written.name for _, written in pairs]
        shared = sorted({name for name in names if names.count(name) > 1})
        if shared:
            raise InputError(
                f"{source}: several images would be written as {comma_list(shared)}; "
                "rename them or put them in folders of their own"
            )
        if target.resolve() == source.resolve():
            raise InputError(f"{target} is the input folder itself; name another output")
        if target.is_file():
            raise InputError(f"{target} is a file; name a folder for the pictures of {source}")
        return pairs
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if target.is_dir() or not target.suffix:
        target = target / f"{source.stem}.png"
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the input itself; name another output")
    return [(source, target)]
