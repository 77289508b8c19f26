"""Brightness and colour of pictures: YCbCr of ITU-R BT.601 in its limited range, as MATLAB's."""

from __future__ import annotations

import numpy as np

_MATRIX = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]])
_TO = (_MATRIX / 255).astype(np.float32)
_FROM = np.linalg.inv(_MATRIX / 255).astype(np.float32)
_ZERO = np.array([16, 128, 128], np.float32) / 255


def to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """Return Y, Cb, Cr (H, W, 3) float32 of RGB (H, W, 3) in [0, 1]; Y is 16/255 to 235/255."""
    return rgb.astype(np.float32) @ _TO.T + _ZERO


def to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """Return RGB (H, W, 3) float32, not clipped, of Y, Cb, Cr as ``to_ycbcr`` gives them."""
    return (ycbcr - _ZERO) @ _FROM.T
