"""Bicubic resizing as MATLAB's imresize does it.

Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -0.5; for
downscaling the kernel is stretched by the factor (antialiasing). Half-pixel centres, borders
mirrored with the edge pixel repeated. Integer images are rounded after each of the two passes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Optional

import numpy as np
from scipy import sparse


def _cubic(t: np.ndarray) -> np.ndarray:
    t = np.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t <= 1, near, np.where(t <= 2, far, 0.0))


@lru_cache(maxsize=64)
def resize_matrix(length: int, new_length: int, scale: Optional[float] = None) -> sparse.csr_matrix:
    """The (new_length, length) matrix that resizes a line of pixels; every row sums to 1.

    ``scale`` is new_length / length unless the new length was rounded from it.
    """
    scale = new_length / length if scale is None else scale
    shrink = min(scale, 1.0)
    centres = (np.arange(new_length) + 0.5) / scale - 0.5
    reach = 2.0 / shrink
    first = np.floor(centres - reach).astype(int)
    taps = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    weights = _cubic(shrink * (centres[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(new_length)[:, None], taps.shape)
    entries = (weights.ravel(), (rows.ravel(), mirror(taps, length).ravel()))
    return sparse.csr_matrix(entries, shape=(new_length, length))


def mirror(index: np.ndarray, length: int) -> np.ndarray:
    """Indices outside [0, length) reflected at the borders, the edge pixel repeated."""
    index = np.mod(index, 2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def imresize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (H, W) or (H, W, C) to (height, width[, C]), in the image's own dtype.

    Equals MATLAB ``imresize(image, [height width])``: integers are rounded and clipped after each
    pass, and the direction that shrinks more is resized first.
    """
    flat = image.reshape(*image.shape[:2], -1)
    rows_first = height * image.shape[1] <= width * image.shape[0]
    for axis in (0, 1) if rows_first else (1, 0):
        matrix = resize_matrix(flat.shape[axis], (height, width)[axis])
        if matrix.shape[0] == matrix.shape[1]:
            continue
        lines = np.moveaxis(flat, axis, 0)
        shape = (matrix.shape[0], *lines.shape[1:])
        resized = (matrix @ lines.reshape(len(lines), -1).astype(np.float64)).reshape(shape)
        flat = np.moveaxis(as_dtype(resized, image.dtype), 0, axis)
    return np.ascontiguousarray(flat).reshape(height, width, *image.shape[2:])


def interpolate(image: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, C) floating to (scale H, scale W, C) by Keys' cubic, pixel i at scale i.

    Where a picture was made of every ``scale``-th pixel, this puts its pixels back into their
    places, which ``imresize`` does not: there they are the means of blocks.
    """
    for axis in (0, 1):
        length = image.shape[axis]
        positions = np.arange(scale * length) / scale
        taps = np.floor(positions).astype(int)[:, None] + np.arange(-1, 3)
        weights = _cubic(positions[:, None] - taps)
        lines = np.moveaxis(image, axis, 0)[np.clip(taps, 0, length - 1)]
        resized = np.einsum("it,it...->i...", weights, lines)
        image = np.moveaxis(resized, 0, axis).astype(image.dtype)
    return image


def as_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floating values in the range of ``dtype``; integers rounded (half up) and clipped."""
    if np.issubdtype(dtype, np.integer):
        values = np.clip(np.floor(values + 0.5), 0, np.iinfo(dtype).max)
    return values.astype(dtype)


def rescaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) of an image resized by a factor, rounded up as MATLAB's imresize does."""
    height, width = (int(np.ceil(round(side * scale, 6))) for side in size)
    return height, width
