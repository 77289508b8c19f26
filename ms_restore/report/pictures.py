"""Comparison pictures: baseline, restored and original side by side, with an enlarged detail."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from scipy.ndimage import uniform_filter

from ms_restore.errors import InputError
from ms_restore.images.arrays import from_float, to_channels
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture

_PANEL = 480  # width of a panel in pixels
_DETAIL = 96  # side of the enlarged square in pixels of the image
_CAPTION = 30  # height of a caption in pixels
_GAP = 8  # between panels, in pixels
_FRAME = (255, 200, 0)


class Panels(NamedTuple):
    """What a comparison picture shows, in uint8.

    Attributes:
        wholes: the images (h, 480, 3), in their order, with a frame around the detail.
        details: the square of each in which the first two differ most (side, side, 3), pixel for
            pixel.
    """

    wholes: list[np.ndarray]
    details: list[np.ndarray]


def comparison(path: Path, panels: list[tuple[str, np.ndarray]]) -> None:
    """Write a picture that shows images side by side, with a detail of each enlarged below.

    Args:
        path: file to write.
        panels: captions and images (H, W, 1 or 3) in [0, 1], all of the same size. The first is
            the baseline, the second the restored image; the detail is the square in which these
            two differ most, for better or worse.
    """
    images = [to_channels(from_float(image, np.dtype(np.uint8)), 3) for _, image in panels]
    height, width = images[0].shape[:2]
    side = min(_DETAIL, height, width)
    top, left = _most_different_square(panels[0][1], panels[1][1], side)
    panel_height = round(height * _PANEL / width)
    full = _CAPTION + panel_height + _GAP + _PANEL
    sheet = PIL.Image.new("RGB", (len(panels) * (_PANEL + _GAP) - _GAP, full), "white")
    draw = PIL.ImageDraw.Draw(sheet)
    font = PIL.ImageFont.load_default(18)
    for index, ((caption, _), image) in enumerate(zip(panels, images)):
        x = index * (_PANEL + _GAP)
        shown = caption.encode("utf-8", "backslashreplace").decode()
        draw.text((x + 4, 4), shown, fill="black", font=font)
        whole = PIL.Image.fromarray(image).resize(
            (_PANEL, panel_height), PIL.Image.Resampling.LANCZOS
        )
        sheet.paste(whole, (x, _CAPTION))
        zoom = _PANEL / width
        corner = (x + left * zoom, _CAPTION + top * zoom)
        opposite = (corner[0] + side * zoom, corner[1] + side * zoom)
        draw.rectangle((*corner, *opposite), outline=_FRAME, width=2)
        detail = PIL.Image.fromarray(image[top : top + side, left : left + side])
        enlarged = detail.resize((_PANEL, _PANEL), PIL.Image.Resampling.NEAREST)
        sheet.paste(enlarged, (x, _CAPTION + panel_height + _GAP))
    write_picture(path, Picture(np.asarray(sheet)))


def read_comparison(path: Path) -> Panels:
    """Read the images of a comparison picture back.

    Raises InputError where the file cannot be read or is no such picture.
    """
    sheet = read_picture(path).pixels
    below = sheet.shape[0] - _PANEL
    top = below - _GAP
    count, rest = divmod(sheet.shape[1] + _GAP, _PANEL + _GAP)
    if sheet.dtype != np.uint8 or sheet.shape[2:] != (3,) or rest or count < 2 or top <= _CAPTION:
        raise InputError(f"{path}: not a comparison picture of eval; run eval again")
    starts = [index * (_PANEL + _GAP) for index in range(count)]
    enlarged = np.stack([sheet[below:, x : x + _PANEL] for x in starts])
    places = _detail_places(enlarged)
    return Panels(
        [sheet[_CAPTION:top, x : x + _PANEL] for x in starts],
        [detail[places][:, places] for detail in enlarged],
    )


def _detail_places(enlarged: np.ndarray) -> np.ndarray:
    """Return a row of enlarged squares for each row of pixels that they were made from.

    A detail smaller than usual may be found in a multiple of its size, which shows the same.
    """
    for side in range(_DETAIL, 0, -1):
        numbers = PIL.Image.fromarray(np.arange(side, dtype=np.uint8)[None])
        spread = numbers.resize((_PANEL, 1), PIL.Image.Resampling.NEAREST)
        source = np.asarray(spread)[0]  # the pixel that each row was made from
        places = np.searchsorted(source, np.arange(side))
        if np.array_equal(enlarged[:, places[source]], enlarged) and np.array_equal(
            enlarged[:, :, places[source]], enlarged
        ):
            return places
    return np.arange(_PANEL)


def _most_different_square(a: np.ndarray, b: np.ndarray, side: int) -> tuple[int, int]:
    """Return the top and left of the square with the largest mean squared difference."""
    difference = uniform_filter(np.mean((a - b) ** 2, axis=2), side, mode="constant")
    height, width = difference.shape
    half = side // 2
    inside = difference[half : height - side + half + 1, half : width - side + half + 1]
    top, left = np.unravel_index(np.argmax(inside), inside.shape)
    return int(top), int(left)
