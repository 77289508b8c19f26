"""What is prepared: the images of a folder, each with its low-resolution partner where given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Optional

import PIL.Image

from ms_restore.errors import InputError, comma_list
from ms_restore.images.reading import list_pictures


@dataclasses.dataclass(frozen=True)
class Pair:
    """The file of a clean image x, that of its low-resolution y, and why it cannot be used."""

    x: Path
    y: Optional[Path] = None
    problem: Optional[str] = None


def low_folder(low: Path, part: Optional[str], scale: int) -> Path:
    """The folder of low-resolution images inside ``low``; ``part`` names a part of a layout.

    Of DIV2K_train_HR that is DIV2K_train_LR_bicubic/X2, or the folder of the part's own name.
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


def unused_low_folder(folder: Path, scale: int) -> Optional[Path]:
    """DIV2K's low-resolution images that lie beside this folder of clean ones, if any."""
    name = folder.name.replace("_HR", "_LR_bicubic")
    beside = folder.parent / name / f"X{scale}"
    return beside if name != folder.name and beside.is_dir() else None


def find(
    folder: Path, low: Optional[Path], scale: int, smallest: int
) -> tuple[list[Pair], list[str]]:
    """The images of a folder sorted by name, and what is wrong with them, a line for each kind.

    Looks at names and headers only. With ``low``, image ``a.png`` pairs with ``ax2.png`` (the
    scale) or ``a.png`` there, of 1/scale its size (cropped to a multiple of the scale).
    """
    paths = list_pictures(folder)
    partners = {path.stem: path for path in list_pictures(low)} if low else {}
    pairs = []
    for path in paths:
        y = partners.get(f"{path.stem}x{scale}", partners.get(path.stem))
        problem = None
        if low and y is None:
            problem = f"no partner in {low.name} (such as {path.stem}x{scale}{path.suffix})"
        else:
            problem = unfit(_size(path), _size(y) if y else None, scale, smallest)
        pairs.append(Pair(path, y, problem))
    lines = []
    bad = [f"{pair.x.name}: {pair.problem}" for pair in pairs if pair.problem]
    if bad:
        lines.append(
            f"{folder}: {len(bad)} of {len(paths)} images cannot be used: {comma_list(bad, 20)}"
        )
    used = {pair.y for pair in pairs}
    unused = [path.name for path in partners.values() if path not in used]
    if unused:
        lines.append(
            f"{low}: {len(unused)} of {len(partners)} images have no clean partner in {folder}: "
            f"{comma_list(unused, 20)}"
        )
    return pairs, lines


def unfit(
    x: Optional[tuple[int, int]], y: Optional[tuple[int, int]], scale: int, smallest: int
) -> Optional[str]:
    """Why an image of this (height, width) and its partner cannot be used; None where unknown."""
    if x and min(x) < smallest:
        return f"{x[1]}x{x[0]} pixels, smaller than the {smallest} of a patch"
    if x and y and (x[0] // scale, x[1] // scale) != y:
        return (
            f"{x[1]}x{x[0]} pixels, its partner {y[1]}x{y[0]}; "
            f"expected {x[1] // scale}x{x[0] // scale} for scale {scale}"
        )
    return None


def _size(path: Path) -> Optional[tuple[int, int]]:
    """(height, width) by the header; None where it cannot be read, or may not lie upright."""
    try:
        with PIL.Image.open(path) as file:
            return None if "exif" in file.info else (file.height, file.width)
    except Exception:  # decoding says what is wrong
        return None
