"""The examination of a folder of pictures, raw files or prepared sets."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ms_restore.data.prepared import manifest
from ms_restore.data.prepared.frame_set import PreparedFrames
from ms_restore.data.prepared.image_set import PreparedSet
from ms_restore.errors import InputError, comma_list
from ms_restore.images.listing import list_folder
from ms_restore.images.picture import SUFFIXES, Picture
from ms_restore.images.raw import SUFFIXES as RAW_SUFFIXES
from ms_restore.images.reading import read_picture
from ms_restore.preparation import image_pairs
from ms_restore.verbs.diagnosis.finding import Finding

_SHOWN = 5  # damaged files that are named one by one
_SMALL = 64  # pixels: a usual patch, and smaller sides train badly


def examine(folder: Path) -> Iterator[Finding]:
    """Examine a folder as train and eval would read it."""
    try:
        prepared = folder.is_dir() and manifest.is_prepared(folder)
        yield from _prepared(folder) if prepared else _pictures(folder)
    except InputError as error:
        for problem in error.problems:
            yield Finding("problem", problem)


def _prepared(folder: Path) -> Iterator[Finding]:
    layout = manifest.layout_of(folder)
    if layout == manifest.FRAMES:
        count = f"{len(PreparedFrames(folder))} raw frames"
    elif layout is None:
        count = f"{len(PreparedSet(folder).images)} images"
    else:
        shards = manifest.read_manifest(folder).get("shards", [])
        count = f"patches in {len(shards)} files"
    yield Finding("ok", f"{folder}: a prepared set (MindRecord), {count}; its files are whole")


def _pictures(folder: Path) -> Iterator[Finding]:
    listing = list_folder(folder, (*SUFFIXES, *RAW_SUFFIXES))
    raw = [path for path in listing.pictures if path.suffix.lower() in RAW_SUFFIXES]
    pictures = [path for path in listing.pictures if path not in raw]
    yield Finding("ok", f"{folder}: {len(pictures)} pictures, {len(raw)} raw files")
    note = listing.note(folder)
    if note:
        yield Finding("note", note.removeprefix("note: "))
    sizes: collections.Counter[tuple[int, int]] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    damaged = []
    for path in pictures:
        try:
            picture = read_picture(path)
        except InputError as error:
            damaged.append(str(error))
            continue
        height, width = picture.pixels.shape[:2]
        sizes[height, width] += 1
        kinds[_kind(picture)] += 1
    yield from _damage(damaged, len(pictures))
    if sizes:
        yield from _sizes(sizes, kinds)
    yield from _pairs(folder)


def _kind(picture: Picture) -> str:
    depth = f"{8 * picture.pixels.dtype.itemsize} bit"
    colour = "gray" if picture.pixels.shape[2] == 1 else "colour"
    return f"{colour} {depth}" + (" with alpha" if picture.alpha is not None else "")


def _damage(damaged: list[str], count: int) -> Iterator[Finding]:
    remedy = "remove or replace them; prepare --skip_bad leaves them out"
    for problem in damaged[:_SHOWN]:
        yield Finding("problem", problem, remedy if problem is damaged[0] else None)
    if len(damaged) > _SHOWN:
        yield Finding("problem", f"and {len(damaged) - _SHOWN} more of {count} cannot be read")


def _sizes(sizes: Any, kinds: Any) -> Iterator[Finding]:
    heights, widths = zip(*sizes)
    yield Finding(
        "ok",
        f"sizes: {min(widths)} to {max(widths)} wide, {min(heights)} to {max(heights)} high; "
        + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
    )
    small = sum(count for size, count in sizes.items() if min(size) < _SMALL)
    if small:
        text = f"{small} pictures have a side below {_SMALL} pixels"
        yield Finding("note", text, "--data.patch_size must fit the smallest side")


def _pairs(folder: Path) -> Iterator[Finding]:
    """Whether low-resolution pictures that lie beside are the pictures' partners."""
    for scale in (2, 3, 4):
        low = image_pairs.unused_low_resolution_folder(folder, scale)
        if low is None:
            continue
        names, partners = (list_folder(path).pictures for path in (folder, low))
        if len(names) == len(partners):
            command = f"ms-restore prepare --source {folder} --lr_source {low} ..."
            yield Finding("note", f"{low}: pictures for x{scale} of the same number", command)
        else:
            few = comma_list([path.name for path in partners], 3)
            text = f"{low}: {len(partners)} pictures for {len(names)} of {folder} ({few})"
            yield Finding("problem", text, "make the two folders hold the same pictures")
