"""Conversion of pixel arrays between integers and floats, and between gray and RGB."""

from __future__ import annotations

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Return an image (H, W, 1 or 3) with 1 channel (BT.601 luma) or 3 (gray replicated).

    The dtype is kept.
    """
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    gray = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue  # same sum in any crop
    return np.round(gray).astype(pixels.dtype)[:, :, None]


def is_gray(pixels: np.ndarray) -> bool:
    """Return whether an image (H, W, 3) has three equal channels."""
    first = pixels[:, :, :1]
    return bool((pixels[:, :, 1:2] == first).all() and (pixels[:, :, 2:] == first).all())


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Return integer pixels as float32 in [0, 1], and floating-point ones as float32 unscaled."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32, copy=False)
    values = pixels.astype(np.float32)
    values /= np.float32(np.iinfo(pixels.dtype).max)
    return values


def from_float(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return values clipped to [0, 1], scaled to the range of an integer dtype and rounded."""
    scaled = np.clip(values, 0, 1)
    scaled *= np.iinfo(dtype).max
    return np.round(scaled, out=scaled).astype(dtype)
