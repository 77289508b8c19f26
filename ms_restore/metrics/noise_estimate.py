"""Estimation of the noise in an image."""

from __future__ import annotations

import numpy as np

_SIDE = 8  # of a patch, in pixels
_MOST_PATCHES = 40_000


def estimate_sigma(image: np.ndarray) -> float:
    """Estimate the standard deviation of an image's white Gaussian noise, in the image's range.

    Chen, Zhu, Heng, "An Efficient Statistical Method for Image Noise Level Estimation", ICCV 2015:
    patches of a natural image lie near a subspace, so that the small eigenvalues of their
    covariance are those of the noise; the larger ones are left out until mean and median of the
    rest agree.

    Args:
        image: (H, W, C) floats; C of 1 or 3, of equally strong noise.

    Returns:
        The estimate. For images too small to hold patches it is 0.
    """
    height, width, channels = image.shape
    if min(height, width) < 2 * _SIDE:
        return 0.0
    windows: np.ndarray = np.lib.stride_tricks.sliding_window_view(  # type: ignore[call-overload]
        image, (_SIDE, _SIDE), axis=(0, 1)
    )
    step = max(1, int(np.sqrt(windows.shape[0] * windows.shape[1] / _MOST_PATCHES)))
    patches = windows[::step, ::step].reshape(-1, channels * _SIDE**2).astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(patches, rowvar=False))  # in ascending order
    for count in range(len(values), 0, -1):
        mean = values[:count].mean()
        if mean <= np.median(values[:count]):
            break
    return float(np.sqrt(max(mean, 0.0)))
