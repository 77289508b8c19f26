"""infer: pictures restored by a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional, Union

from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.images import raw
from ms_restore.images.picture import SUFFIXES as PICTURES
from ms_restore.images.picture import PictureSequence
from ms_restore.images.raw import RawFrame
from ms_restore.images.reading import decoded_bytes, read_pictures
from ms_restore.images.writing import check_output, fitting, write_pictures
from ms_restore.inference import picture_folder
from ms_restore.inference.engine_selection import EngineOptions, is_exported
from ms_restore.inference.noise_level import noise_level
from ms_restore.inference.raw_development import Bits, RawDeveloper, takes_raw
from ms_restore.inference.restorer import Restorer
from ms_restore.inference.tiling import TileLike
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings, restorer_of
from ms_restore.verbs.picture_paths import Naming, PathsLike, check_kept, pairs_of
from ms_restore.weights import catalogue, run_checkpoints

_SHOWN = 10  # problems of a folder, each in its line
_SMALL = 4 * 256**2  # bytes of a picture for which ncnn's memory costs as much time as it saves


def infer(
    checkpoint: PathLike,
    input: PathsLike,
    output: PathLike,
    *,
    model: Optional[str] = None,
    recursive: bool = False,
    format: Optional[str] = None,
    name_suffix: str = "",
    ratio: Optional[float] = None,
    bits: Bits = 8,
    engine: str = "auto",
    tile: TileLike = None,
    self_ensemble: bool = False,
    sigma_255: Union[float, Literal["auto"], None] = None,
    sigma_map: Optional[PathLike] = None,
    luma: bool = False,
    overwrite: bool = False,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
    settings: Optional[Settings] = None,
) -> list[Path]:
    """Restore a picture to a file, or pictures and folders of them to a folder.

    Gray, 16 bit, transparency, colour profile, EXIF, XMP and resolution are kept, and every frame
    of an animation or page of a document, where the format of the file can hold them. Pictures are
    turned upright. Large ones are computed in tiles, with the same result; ``engine`` is explained
    at load_model, ``tile`` and ``self_ensemble`` at Restorer. A model for raw files takes those;
    ``ratio`` and ``bits`` are explained at RawDeveloper.

    Of a folder, what this checkpoint has written there before is skipped, unless ``overwrite``. A
    picture that cannot be read or restored is reported at the end by InputError, after the others.
    Returns the files, those skipped included.

    Args:
        checkpoint: a file, run folder or model's name, see load_model.
        input: a picture or a folder, or a list of them.
        output: the file to write, or the folder.
        model: needed for a checkpoint that carries no recipe.
        recursive: pictures of subfolders too; the folders are kept.
        format: of the files in a folder: "png", "jpg", "webp" or "tif"; none: PNG, and TIFF for
            documents of several pages.
        name_suffix: added to the files' names, as in photo_x2.png.
        ratio: of raw files: how many times as long an exposure is wanted.
        bits: of raw files: depth of the pictures, 8 or 16.
        engine: what computes.
        tile: side of the windows in pixels, or a tuple of it and their context.
        self_ensemble: average over flips and rotations.
        sigma_255: for a network that is told the noise: its standard deviation on a scale of 0 to
            255, or "auto", which estimates it for each picture.
        sigma_map: the same for each pixel: a .npy file (height, width), or a gray picture whose
            levels are the standard deviation.
        luma: a gray network restores the brightness of colour pictures; colours are kept.
        overwrite: of a folder: restore all of it again.
        device_target: CPU, Ascend or GPU; none: an Ascend where there is one, else the CPU.
        device_id: which device; none: that of the variable DEVICE_ID, else the first.
        mode: "graph" (compiled) or "pynative" (operation by operation, for debugging).
        settings: recipe keys such as ``{"runtime.max_megapixels": 1000}``.
    """
    naming = Naming(format, name_suffix, recursive)
    inputs = _inputs(input)
    found = catalogue.resolve(checkpoint)
    options = EngineOptions(engine, device_target, device_id, mode)
    noise = noise_level(sigma_255, None if sigma_map is None else Path(sigma_map))
    restorer = restorer_of(
        found, model, settings, options, tile, self_ensemble, noise, luma, _is_small(inputs)
    )
    develop = RawDeveloper(restorer, ratio, bits) if takes_raw(restorer.recipe) else None
    if develop is None and (ratio is not None or bits != 8):
        raise InputError(
            f"{restorer.recipe.model} takes pictures: --ratio and --bits are for models of raw "
            "files, such as sid_sony"
        )
    pairs = pairs_of(inputs, output, raw.SUFFIXES if develop else PICTURES, naming)
    check_kept([sigma_map], [target for _, target in pairs])
    record = None
    left = pairs
    if len(inputs) > 1 or Path(inputs[0]).is_dir():
        path = found if is_exported(found) else run_checkpoints.locate(found)
        made = [sha256(path), model, settings or {}, self_ensemble, ratio, bits]
        if noise is not None:
            made += [sigma_255, None if sigma_map is None else sha256(Path(sigma_map))]
        made += ["luma"] if luma else []
        made += [] if restorer.context is None else [f"tile {tile}"]
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


def _inputs(input: PathsLike) -> list[PathLike]:
    inputs = [input] if isinstance(input, (str, os.PathLike)) else list(input)
    missing = [f"{path}: no such file or folder" for path in inputs if not Path(path).exists()]
    if missing:
        raise InputError(*missing)
    return inputs


def _is_small(inputs: list[PathLike]) -> bool:
    """Tell whether the only input is a small picture; a pipe is not opened, since it would wait."""
    files = [Path(path) for path in inputs if Path(path).is_file()]
    return len(inputs) == len(files) == 1 and decoded_bytes(files[0]) <= _SMALL


class Restoration:
    """The restoration of pictures to files: what is read, computed, written and said of each.

    Args:
        restorer: restores them.
        record: of the folder, to which written files are added.
        develop: where the files are raw, develops them.
    """

    def __init__(
        self,
        restorer: Restorer,
        record: Optional[picture_folder.ResumeRecord],
        develop: Optional[RawDeveloper],
    ) -> None:
        self._restorer, self._record, self._develop = restorer, record, develop

    def read(self, source: Path) -> Union[PictureSequence, RawFrame]:
        """Return what a file holds; raise InputError where it is damaged, or of another kind."""
        return self._develop.read(source) if self._develop else read_pictures(source)

    def compute(self, pair: picture_folder.Pair, read: Any) -> PictureSequence:
        """Return what was read of the pair's source restored, as the pair's target can hold it."""
        source, target = pair
        if self._develop is not None:
            check_output(target, self._develop.empty_picture)
            return PictureSequence([self._develop(source, read)])
        frames = fitting(target, read)
        for picture in frames.pictures:
            check_output(target, picture)
        try:
            restored = [self._restorer.picture(picture) for picture in frames.pictures]
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        return dataclasses.replace(frames, pictures=restored)

    def write(self, target: Path, restored: PictureSequence) -> Written:
        """Write restored pictures to a file, and return what was written."""
        write_pictures(target, restored)
        height, width = restored.pictures[0].pixels.shape[:2]
        return Written(height, width, len(restored.pictures), restored.left_out)

    def finished(self, pair: picture_folder.Pair, written: Written) -> None:
        """Note that a file is written, and say so."""
        source, target = pair
        if self._record is not None:
            self._record.add(pair)
        frames = f", {written.frames} frames" if written.frames > 1 else ""
        say(f"{source} -> {target} ({written.width}x{written.height}{frames})")
        if written.left_out:
            say(
                f"warning: {source} holds {written.left_out} more frames or pages, left out: "
                f"{target.suffix} cannot hold them as they are"
            )

    def picture_bytes(self, source: Path) -> int:
        """Return the bytes in memory of a file's pictures, read and restored."""
        if self._develop:
            return self._develop.picture_bytes(source)
        return decoded_bytes(source) * (1 + self._restorer.scale**2)


class Written(NamedTuple):
    """Height and width of a written file's pictures, how many there are, and how many are not."""

    height: int
    width: int
    frames: int
    left_out: int


def restore_pictures(
    restorer: Restorer,
    pairs: list[picture_folder.Pair],
    record: Optional[picture_folder.ResumeRecord],
    develop: Optional[RawDeveloper],
) -> None:
    """Restore pictures to files, and report those that could not be, by InputError at the end."""
    job = Restoration(restorer, record, develop)
    before, began = restorer.busy, time.perf_counter()
    outcome = picture_folder.run(
        pairs, job.read, job.compute, job.write, job.picture_bytes, job.finished
    )
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
