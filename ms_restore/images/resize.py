"""Bicubic resizing with the results of MATLAB's imresize.

The kernel is that of Keys, "Cubic convolution interpolation for digital image processing", 1981,
with a = -0.5; for downscaling it is stretched by the factor (antialiasing). Pixel centres lie at
half pixels, and borders are mirrored with the edge pixel repeated. Integer images are rounded after
each of the two passes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Optional

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse


def _cubic(t: np.ndarray) -> np.ndarray:
    t = np.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t <= 1, near, np.where(t <= 2, far, 0.0))


@lru_cache(maxsize=64)
def resize_matrix(length: int, new_length: int, scale: Optional[float] = None) -> sparse.csr_matrix:
    """Return the matrix (new_length, length) that resizes a line of pixels; its rows sum to 1.

    ``scale`` is the exact factor where the new length was rounded, by default new_length / length.
    """
    from scipy import sparse  # for which pictures that are not resized do not wait

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
    """Return indices of pixels with those outside [0, length) mirrored, the edge pixel repeated."""
    index = np.mod(index, 2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def imresize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image (H, W) or (H, W, C) resized to (height, width[, C]), in its own dtype.

    The result is that of MATLAB's ``imresize(image, [height width])``: the direction that shrinks
    more is resized first, and integers are rounded and clipped after each of the two passes.
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
        flat = np.moveaxis(round_to_dtype(resized, image.dtype), 0, axis)
    return np.ascontiguousarray(flat).reshape(height, width, *image.shape[2:])


def interpolate(image: np.ndarray, scale: int) -> np.ndarray:
    """Return a floating-point image (H, W, C) enlarged to (scale H, scale W, C) by Keys' cubic.

    Pixel i of the image is pixel scale * i of the result, as where the image holds every
    ``scale``-th pixel of a larger one; for ``imresize``, pixels are means of blocks instead.
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


def round_to_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return floating-point values as ``dtype``; for integers they are rounded and clipped.

    Values are on the scale of the dtype, and halves are rounded up.
    """
    if np.issubdtype(dtype, np.integer):
        values = np.clip(np.floor(values + 0.5), 0, np.iinfo(dtype).max)
    return values.astype(dtype)


def rescaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the (height, width) of an image resized by a factor, rounded up as in MATLAB."""
    height, width = (int(np.ceil(round(side * scale, 6))) for side in size)
    return height, width
