"""Random blur kernels for pictures whose blur is not known: Gaussian, generalised, plateau, sinc.

Wang, Xie, Dong, Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data", ICCV Workshops 2021, arXiv 2107.10833, sections 3.2 and 3.4. The shapes other than Gaussian
are of Liu, Zhang, Zhang, "Estimating Generalized Gaussian Blur Kernels for Out-of-Focus Image
Deblurring", IEEE TCSVT 2021.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.special import j1

_SMALL = 13  # kernels smaller than this keep more of the frequencies with a sinc
_SHAPES = ("gaussian", "gaussian", "generalised", "generalised", "plateau", "plateau")


def elliptic(size: int, sigmas: Sequence[float], angle: float) -> np.ndarray:
    """Return r^2 = c^T S^-1 c at each place c of a kernel, (size, size) float32.

    ``sigmas`` are the standard deviations along the two axes of the ellipse in pixels, which
    ``angle`` turns, in radians: S = R diag(sigmas^2) R^T.
    """
    along = np.arange(size, dtype=np.float32) - size // 2
    cosine, sine = np.cos(angle), np.sin(angle)
    first = (cosine * along + sine * along[:, None]) / sigmas[0]
    second = (cosine * along[:, None] - sine * along) / sigmas[1]
    return first * first + second * second


def gaussian(squares: np.ndarray) -> np.ndarray:
    """Return the Gaussian kernel exp(-r^2 / 2), normalised."""
    return _normalised(np.exp(-0.5 * squares))


def generalised(squares: np.ndarray, beta: float) -> np.ndarray:
    """Return the generalised Gaussian kernel exp(-(r^2)^beta / 2): flatter for a larger beta."""
    return _normalised(np.exp(-0.5 * squares**beta))


def plateau(squares: np.ndarray, beta: float) -> np.ndarray:
    """Return the plateau-shaped kernel 1 / (1 + (r^2)^beta), normalised."""
    return _normalised(1 / (1 + squares**beta))


def sinc(size: int, cutoff: float) -> np.ndarray:
    """Return the ideal low-pass filter, which rings: w J1(w r) / (2 pi r), normalised.

    ``cutoff`` is w in radians a pixel; frequencies above it are lost. J1 is a Bessel function.
    """
    radius = np.sqrt(elliptic(size, (1, 1), 0))
    radius[size // 2, size // 2] = 1
    kernel = cutoff * j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    return _normalised(kernel)


def _normalised(kernel: np.ndarray) -> np.ndarray:
    return (kernel / kernel.sum()).astype(np.float32)


def drawn_within(ends: Sequence[float], rng: np.random.Generator) -> float:
    """Return a number drawn uniformly from a range [low, high]."""
    low, high = ends
    return rng.uniform(low, high)


@dataclasses.dataclass(frozen=True)
class KernelRanges:
    """What random kernels are drawn from.

    Attributes:
        sizes: smallest and largest side, odd.
        shares: of the shapes, with both sigmas equal and with two, of each shape in turn:
            Gaussian, generalised Gaussian, plateau.
        sinc_share: how often a sinc is drawn instead.
        sinc_cutoffs: the lowest cut-off of a sinc, as a part of pi, for kernels below 13 pixels
            and for larger ones; the highest is pi.
        generalised_beta: range of the exponent of generalised Gaussians.
        plateau_beta: range of the exponent of plateaus.
    """

    sizes: Sequence[int]
    shares: Sequence[float]
    sinc_share: float
    sinc_cutoffs: Sequence[float]
    generalised_beta: Sequence[float]
    plateau_beta: Sequence[float]

    def blur(self, sigma: Sequence[float], rng: np.random.Generator) -> np.ndarray:
        """Draw a kernel (k, k) float32 whose deviations are within ``sigma``, in pixels."""
        if rng.random() < self.sinc_share:
            return self.sinc(rng)
        size = self._size(rng)
        kind = int(rng.choice(len(_SHAPES), p=np.divide(self.shares, np.sum(self.shares))))
        first = drawn_within(sigma, rng)
        sigmas = (first, drawn_within(sigma, rng) if kind % 2 else first)
        squares = elliptic(size, sigmas, rng.uniform(-np.pi, np.pi) if kind % 2 else 0.0)
        if _SHAPES[kind] == "gaussian":
            return gaussian(squares)
        if _SHAPES[kind] == "generalised":
            return generalised(squares, _either_side(self.generalised_beta, rng))
        return plateau(squares, _either_side(self.plateau_beta, rng))

    def sinc(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a sinc kernel (k, k) float32."""
        size = self._size(rng)
        lowest = self.sinc_cutoffs[0 if size < _SMALL else 1]
        return sinc(size, np.pi * rng.uniform(lowest, 1))

    def _size(self, rng: np.random.Generator) -> int:
        low, high = self.sizes
        return low + 2 * int(rng.integers((high - low) // 2 + 1))


def _either_side(beta: Sequence[float], rng: np.random.Generator) -> float:
    """Draw an exponent; those below 1, which make long tails, as often as those above."""
    low, high = beta
    if low < 1 < high:
        low, high = (low, 1) if rng.random() < 0.5 else (1, high)
    return rng.uniform(low, high)
