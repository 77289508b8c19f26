"""Pairs of a clean image's file and its low-resolution partner, matched by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable, Optional

import PIL.Image

from ms_restore.errors import InputError, comma_list
from ms_restore.images.listing import list_folder, list_pictures
from ms_restore.report.terminal import say


@dataclasses.dataclass(frozen=True)
class Pair:
    """A clean image's file x and its low-resolution partner's file y.

    ``problem`` says why the pair cannot be used; None where nothing wrong was found.
    """

    x: Path
    y: Optional[Path] = None
    problem: Optional[str] = None


def low_resolution_folder(low: Path, part: Optional[str], scale: int) -> Path:
    """Return the folder of low-resolution images inside ``low``.

    Args:
        low: the folder in which to look.
        part: name of the subfolder of clean images, such as DIV2K_train_HR, whose partners are
            in DIV2K_train_LR_bicubic/X2 or in a folder of the same name; None if the clean images
            are in no subfolder.
        scale: pixels of a clean image for each pixel of its partner along a side.

    Raises:
        InputError: there is no folder for the part.
    """
    if part is None:
        inner = low / f"X{scale}"
        return inner if inner.is_dir() else low
    bicubic = low / part.replace("_HR", "_LR_bicubic")
    for folder in (bicubic / f"X{scale}", bicubic, low / part):
        if folder.is_dir():
            return folder
    raise InputError(
        f"{low}: no low-resolution images for {part}; expected them in "
        f"{bicubic.name}/X{scale}/ or {part}/ of this folder"
    )


def unused_low_resolution_folder(folder: Path, scale: int) -> Optional[Path]:
    """Return the folder of DIV2K's low-resolution images beside that of clean ones, or None."""
    name = folder.name.replace("_HR", "_LR_bicubic")
    beside = folder.parent / name / f"X{scale}"
    return beside if name != folder.name and beside.is_dir() else None


def find(
    folder: Path, low: Optional[Path], scale: int, smallest: int
) -> tuple[list[Pair], list[str]]:
    """Return the images of a folder sorted by name, and a line for each kind of problem with them.

    Only names and headers are read.

    Args:
        folder: of the clean images.
        low: folder of their partners, see ``_partners``; None if there are none.
        scale: a partner has 1/scale of the image's size, rounded down.
        smallest: the least height and width in pixels.
    """
    listing = list_folder(folder)
    note = listing.note(folder)
    if note:
        say(note)
    paths = listing.pictures
    lows = list_pictures(low) if low else []
    partners = _partners(paths, lows, scale)
    pairs = []
    for path in paths:
        y = partners.get(path)
        problem = None
        if low and y is None:
            problem = f"no partner in {low.name} (such as {path.stem}x{scale}{path.suffix})"
        else:
            problem = size_problem(_size(path), _size(y) if y else None, scale, smallest)
        pairs.append(Pair(path, y, problem))
    lines = []
    bad = [f"{pair.x.name}: {pair.problem}" for pair in pairs if pair.problem]
    if bad:
        lines.append(
            f"{folder}: {len(bad)} of {len(paths)} images cannot be used: {comma_list(bad, 20)}"
        )
    used = {pair.y for pair in pairs}
    unused = [path.name for path in lows if path not in used]
    if unused:
        lines.append(
            f"{low}: {len(unused)} of {len(lows)} images have no clean partner in {folder}: "
            f"{comma_list(unused, 20)}"
        )
    return pairs, lines


def _partners(paths: list[Path], lows: list[Path], scale: int) -> dict[Path, Path]:
    """Return the low-resolution file of each image that has one; no file serves twice.

    A partner has the image's file name, or that with another suffix, or that with the scale: for
    ``a.png`` these are ``a.png``, ``a.jpg`` and ``ax2.png``. The first of these ways by which every
    image has a partner is taken for all; where there is none, each image takes the first that is
    left.
    """
    ways: list[Callable[[Path], list[Path]]] = [
        lambda path: [low for low in by_stem.get(path.stem, []) if low.name == path.name],
        lambda path: by_stem.get(path.stem, []),
        lambda path: by_stem.get(f"{path.stem}x{scale}", []),
    ]
    by_stem: dict[str, list[Path]] = {}
    for low in lows:
        by_stem.setdefault(low.stem, []).append(low)
    for way in ways:
        found = _served([way], paths)
        if len(found) == len(paths):
            return found
    return _served(ways, paths)


def _served(ways: list[Callable[[Path], list[Path]]], paths: list[Path]) -> dict[Path, Path]:
    """Give each image the first partner that is left, by the first way for all images first."""
    found: dict[Path, Path] = {}
    used: set[Path] = set()
    for way in ways:
        for path in paths:
            left = [low for low in way(path) if low not in used]
            if path not in found and left:
                found[path] = left[0]
                used.add(left[0])
    return found


def size_problem(
    x: Optional[tuple[int, int]], y: Optional[tuple[int, int]], scale: int, smallest: int
) -> Optional[str]:
    """Return what is wrong with the (height, width) of an image and its partner, or None."""
    if x and min(x) < smallest:
        return f"{x[1]}x{x[0]} pixels, smaller than the {smallest} of a patch"
    if x and y and (x[0] // scale, x[1] // scale) != y:
        return (
            f"{x[1]}x{x[0]} pixels, its partner {y[1]}x{y[0]}; "
            f"expected {x[1] // scale}x{x[0] // scale} for scale {scale}"
        )
    return None


def _size(path: Path) -> Optional[tuple[int, int]]:
    """Return (height, width) from a file's header, or None if unreadable or perhaps rotated."""
    try:
        with PIL.Image.open(path) as file:
            return None if "exif" in file.info else (file.height, file.width)
    except Exception:  # decoding reports what is wrong
        return None
