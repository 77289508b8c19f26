"""A decoded picture, and the files that hold one."""

from __future__ import annotations

import dataclasses
from typing import Optional

import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")


@dataclasses.dataclass
class Picture:
    """A decoded picture, uint8 or uint16.

    Attributes:
        pixels: (H, W, 1 or 3), gray or RGB.
        alpha: opacity (H, W), or None.
        icc_profile: colour profile of the file, or None.
    """

    pixels: np.ndarray
    alpha: Optional[np.ndarray] = None
    icc_profile: Optional[bytes] = None
