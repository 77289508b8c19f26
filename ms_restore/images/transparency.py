"""Colours of transparent pixels."""

from __future__ import annotations

import cv2
import numpy as np

from ms_restore.images.resize import round_to_dtype


def divide_by_alpha(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, C) that were stored multiplied by their opacity (H, W) as they are.

    Where the opacity is 0, so is the colour.
    """
    most = np.iinfo(pixels.dtype).max
    factors = most / np.maximum(alpha, 1, dtype=np.float32)
    return round_to_dtype(pixels * factors[:, :, None], pixels.dtype)


def bleed_colours(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, C) whose fully transparent ones have the colours of opaque ones nearby.

    A network would otherwise mix the hidden colour, often black, into the edge of what is seen. The
    colours are means over blocks of twice the side each time, until every block has one.

    Args:
        pixels: uint8 or uint16.
        alpha: opacity (H, W) of the same dtype.
    """
    seen = alpha > 0
    if seen.all() or not seen.any():
        return pixels
    weights = seen.astype(np.float32)
    filled = _filled(pixels.astype(np.float32) * weights[:, :, None], weights)
    bled = round_to_dtype(filled.reshape(pixels.shape), pixels.dtype)
    return np.where(seen[:, :, None], pixels, bled)


def _filled(total: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean colour at each pixel, from coarser means where its weight is 0.

    ``total`` (H, W, C) is the sum of colours, ``weights`` (H, W) how many were added.
    """
    height, width = weights.shape
    total = total.reshape(height, width, -1)
    empty = weights == 0
    mean = total / np.where(empty, 1, weights)[:, :, None]
    if not empty.any():
        return mean
    half = ((width + 1) // 2, (height + 1) // 2)
    padded = [np.pad(a, ((0, height % 2), (0, width % 2))) for a in np.moveaxis(total, 2, 0)]
    sums = [4 * cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in padded]
    count = np.pad(weights, ((0, height % 2), (0, width % 2)))
    counts = 4 * cv2.resize(count, half, interpolation=cv2.INTER_AREA)
    coarse = _filled(np.stack(sums, axis=2), counts)
    doubled = cv2.resize(coarse, (2 * half[0], 2 * half[1]), interpolation=cv2.INTER_LINEAR)
    doubled = doubled.reshape(2 * half[1], 2 * half[0], -1)[:height, :width]
    mean[empty] = doubled[empty]
    return mean
