"""JPEG compression by libjpeg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation
from ms_restore.images.arrays import from_float, to_float

_BLOCK = 8  # side of the blocks that JPEG compresses


class JPEG(Degradation):
    """JPEG compression: y is x rounded to 8 bit, compressed and decompressed.

    Args:
        quality: of libjpeg, 1 to 100; a smaller number compresses more.
    """

    margin = _BLOCK
    baseline_name = "JPEG"

    def __init__(self, *, quality: Annotated[int, Field(ge=1, le=100)]) -> None:
        self.quality = quality

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return x (H, W, 1 or 3) compressed and decompressed, uint8."""
        return self.compress(x)

    def compress(self, x: np.ndarray) -> np.ndarray:
        """Return an image (H, W, 1 or 3) compressed and decompressed, uint8."""
        pixels = x if x.dtype == np.uint8 else from_float(to_float(x), np.dtype(np.uint8))
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        _, code = cv2.imencode(".jpg", pixels[:, :, ::-1], quality)  # OpenCV takes BGR
        y = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
        return np.ascontiguousarray(y.reshape(pixels.shape)[:, :, ::-1])

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return compressed patches, whose blocks begin at random as in a crop of a JPEG image."""
        y = np.empty((*x.shape[:2], *(side - 2 * self.margin for side in x.shape[2:])), np.uint8)
        for patch, window, rng in zip(y, x, rngs):
            top, left = rng.integers(_BLOCK, size=2)
            whole = self.compress(window[:, top:, left:].transpose(1, 2, 0)).transpose(2, 0, 1)
            first, second = _BLOCK - top, _BLOCK - left
            patch[:] = whole[:, first : first + y.shape[2], second : second + y.shape[3]]
        return y
