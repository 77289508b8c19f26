"""NIQE, which judges a picture by itself: how far its statistics are from natural pictures'.

Mittal, Soundararajan, Bovik, "Making a Completely Blind Image Quality Analyzer", IEEE Signal
Processing Letters 20(3), 2013. ``niqe_pristine.npz`` holds the numbers that the authors published
with it: the Gaussian (36 means, covariance 36x36) of the features of their undistorted pictures.
"""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
from scipy.ndimage import correlate1d
from scipy.special import gamma

from ms_restore.contracts import Figure, Metric
from ms_restore.images.resize import imresize
from ms_restore.metrics.quality import luma

_BLOCK = 96  # pixels of a side
SMALLEST = 2 * _BLOCK
"""The least side: the spread of features is that over the blocks, of which one has none."""
_SIGMA, _REACH = 7 / 6, 3  # of the Gaussian window, in pixels
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, below, and on both diagonals
_SHAPES = np.arange(200, 10001) / 1000  # of generalised Gaussians, as finely as the authors look
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))  # ascending


def niqe(image: np.ndarray) -> float:
    """Return the NIQE of a picture: 0 at best, about 2 to 5 for clean photos.

    Infinite where fewer than two blocks of 96x96 pixels are not flat. The values equal those of
    the authors' program within 0.001 for pictures of 8 bit.

    Args:
        image: (H, W, 1 or 3) in [0, 255]. Of colours the luma of BT.601 is judged, rounded; gray
            is judged as it is. What is beyond whole blocks, at the right and below, is left out.

    Raises:
        ValueError: a side is below 192 pixels.
    """
    if min(image.shape[:2]) < SMALLEST:
        raise ValueError(f"NIQE needs {SMALLEST} pixels along a side, got {image.shape}")
    plane = image[:, :, 0] if image.shape[2] == 1 else np.round(luma(image))
    rows, columns = (side // _BLOCK for side in plane.shape)
    # In float32 flat areas have no spread at all, where double precision leaves sizes of rounding
    # with random signs, which the features would take for structure.
    plane = plane[: rows * _BLOCK, : columns * _BLOCK].astype(np.float32)
    half = imresize(plane.astype(np.float64), rows * _BLOCK // 2, columns * _BLOCK // 2)
    scales = [plane, half.astype(np.float32)]
    features = np.hstack([_features(scale, rows, columns) for scale in scales])
    features = features[np.isfinite(features).all(axis=1)]
    if len(features) < 2:
        return float("inf")
    mean, covariance = _pristine()
    apart = features.mean(axis=0) - mean
    spread = (np.cov(features, rowvar=False) + covariance) / 2
    return float(np.sqrt(apart @ np.linalg.pinv(spread) @ apart))


@functools.cache
def _pristine() -> tuple[np.ndarray, np.ndarray]:
    """Return the means (36) and the covariance (36, 36) of undistorted pictures."""
    with resources.files("ms_restore.metrics").joinpath("niqe_pristine.npz").open("rb") as file:
        numbers = np.load(file)
        return numbers["mean"], numbers["covariance"]


def _features(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return 18 features of each block (blocks, 18) of a picture of rows x columns blocks."""
    mean = _smoothed(plane)
    deviation = np.sqrt(np.abs(_smoothed(plane * plane) - mean * mean))
    normal = ((plane - mean) / (deviation + 1)).astype(np.float64)
    side = len(plane) // rows
    blocks = normal.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    shape, left, right = _asymmetric_gaussian(blocks)
    found = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        shape, left, right = _asymmetric_gaussian(blocks * np.roll(blocks, shift, (1, 2)))
        found += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return np.stack(found, axis=1)


def _smoothed(plane: np.ndarray) -> np.ndarray:
    """Return a picture smoothed by the window, in float32; the edge pixels are repeated."""
    t = np.arange(-_REACH, _REACH + 1)
    window = np.exp(-(t**2) / (2 * _SIGMA**2))
    window /= window.sum()
    rows = correlate1d(plane.astype(np.float64), window, 0, mode="nearest")
    return correlate1d(rows, window, 1, mode="nearest").astype(np.float32)


def _asymmetric_gaussian(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit a generalised Gaussian with two widths to each block (n, h, w), by its moments.

    Returns its shape and its left and right width, each (n,); NaN for a block without values on
    both sides of zero.
    """
    flat = blocks.reshape(len(blocks), -1)
    below, above = np.minimum(flat, 0), np.maximum(flat, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt((below**2).sum(axis=1) / (flat < 0).sum(axis=1))
        right = np.sqrt((above**2).sum(axis=1) / (flat > 0).sum(axis=1))
        balance = left / right
        ratio = np.abs(flat).mean(axis=1) ** 2 / (flat**2).mean(axis=1)
        ratio *= (balance**3 + 1) * (balance + 1) / (balance**2 + 1) ** 2
    shape = np.round(np.interp(ratio, _RATIOS, _SHAPES), 3)
    width = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * width, right * width


NIQE = Metric(
    Figure("NIQE", digits=2, higher_is_better=False, infinite="flat all over"),
    lambda x_hat, x: niqe(x_hat),
    by_protocol=False,
    needs_reference=False,
    smallest=SMALLEST,
)
