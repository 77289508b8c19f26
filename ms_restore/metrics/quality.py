"""PSNR, SSIM and luma in floating-point arithmetic."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from ms_restore.contracts import Figure, Metric

_SSIM_WINDOW = 11
_ROUNDING = 1.5e-14  # mean squared error of values in [0, 1] that were rounded to float32, or less


def psnr(x_hat: np.ndarray, x: np.ndarray, peak: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio 10 log10(peak^2 / mean((x_hat - x)^2)) in dB.

    ``peak`` is the largest value of the images' scale. Equal images give infinity, also where they
    differ by the rounding of float32 (138 dB, or one level of 8 bit in 1000 million values).
    """
    error = float(np.mean((x_hat.astype(np.float64) - x.astype(np.float64)) ** 2))
    return float("inf") if error <= _ROUNDING * peak**2 else 10 * float(np.log10(peak**2 / error))


def ssim(x_hat: np.ndarray, x: np.ndarray, peak: float = 255.0) -> float:
    """Return the structural similarity of two images (H, W) or (H, W, C), at most 1.

    After Wang et al. 2004: Gaussian windows of 11x11 pixels and standard deviation 1.5, K1 = 0.01,
    K2 = 0.03, only windows inside the image, mean over channels. Sides are at least 11 pixels, and
    ``peak`` is the largest value of the images' scale.
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
    """Return the limited-range BT.601 luma (H, W), in [16, 235] and not rounded.

    ``rgb`` is (H, W, 1 or 3) in [0, 255].
    """
    if rgb.shape[2] == 1:
        return 16 + rgb[:, :, 0].astype(np.float64) * (219 / 255)
    return 16 + rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


PSNR = Metric(Figure("PSNR", "dB", digits=2), psnr)
SSIM = Metric(Figure("SSIM"), ssim, smallest=_SSIM_WINDOW)
