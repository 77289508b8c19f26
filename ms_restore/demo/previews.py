"""Small pictures for the page: what came, and before and after at one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ms_restore.images.arrays import from_float, to_float
from ms_restore.images.picture import Embedded, Picture
from ms_restore.images.resize import imresize
from ms_restore.images.writing import write_picture

_SIDE = 1600  # pixels; more than that few screens show
_BYTE = np.dtype(np.uint8)


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) at which a picture is shown: its own, or smaller."""
    factor = min(1.0, _SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def write_preview(path: Path, picture: Picture, height: int, width: int) -> None:
    """Write a picture as a PNG of 8 bit, resized bicubically where it has another size."""
    samples = picture.samples()
    if samples.dtype != _BYTE:
        samples = from_float(to_float(samples), _BYTE)
    if samples.shape[:2] != (height, width):
        samples = imresize(samples, height, width)
    shown = Picture.of(samples)
    shown.embedded = Embedded(icc_profile=picture.embedded.icc_profile)
    write_picture(path, shown)
