"""PSNR, SSIM and luma, in floating point."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity


def psnr(x_hat: np.ndarray, x: np.ndarray, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(peak^2 / mean((x_hat - x)^2)); inf if equal."""
    error = float(np.mean((x_hat.astype(np.float64) - x.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(peak**2 / error))


def ssim(x_hat: np.ndarray, x: np.ndarray, peak: float = 255.0) -> float:
    """Structural similarity of (H, W) or (H, W, C), both sides at least 11 pixels.

    Wang et al. 2004: Gaussian window 11x11 of deviation 1.5, K1 = 0.01, K2 = 0.03, windows inside
    the image only, mean over channels.
    """
    return float(
        structural_similarity(
            x_hat.astype(np.float64),
            x.astype(np.float64),
            data_range=peak,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2 if x.ndim == 3 else None,
        )
    )


def luma(rgb: np.ndarray) -> np.ndarray:
    """Y of limited-range BT.601, in [16, 235], from (H, W, 1 or 3) in [0, 255]; not rounded."""
    if rgb.shape[2] == 1:
        return 16 + rgb[:, :, 0].astype(np.float64) * (219 / 255)
    return 16 + rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255
