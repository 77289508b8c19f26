"""Undersampling of MRI's k-space after Lehtinen et al. 2018 (arXiv 1803.04189), section 3.4.

Half spectra are (H, W // 2 + 1) complex64, in the order of ``np.fft.rfft2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Optional

import numpy as np
import scipy.fft
from pydantic import Field

from ms_restore.contracts import SpectralDegradation
from ms_restore.images.arrays import to_float


class Undersampled(SpectralDegradation):
    """Random undersampling of frequencies: y = F^-1(m / p F x), (H, W, 2) from x (H, W, 1).

    Each frequency is measured with probability p = p_at_edge^(r / r_max), where r is its distance
    from frequency 0 and r_max half the side, and then weighted by 1 / p. The mask m of the measured
    frequencies is symmetric, so the image is real. It is the first channel of y; the second holds
    p for the measured frequencies and 0 for the others, in the order of ``np.fft.fft2``.

    Args:
        p_at_edge: the probability at r_max.
    """

    baseline_name = "zero-filled"

    def __init__(self, *, p_at_edge: Annotated[float, Field(gt=0, le=1)] = 0.025) -> None:
        self._p_at_edge = p_at_edge

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return y (H, W, 2) float32 for a slice x (H, W, 1)."""
        return self.patches(x.transpose(2, 0, 1)[None], [rng])[0].transpose(1, 2, 0)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return the zero-filled image (H, W, 1): measured frequencies unweighted, others 0."""
        spectrum = scipy.fft.fft2(y[:, :, 0]) * y[:, :, 1]
        return scipy.fft.ifft2(spectrum).real.astype(np.float32)[:, :, None]

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return y (N, 2, H, W) float32 for slices x (N, 1, H, W)."""
        return self.spectral_patches(x, rngs, _half_spectra(x))

    def pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return y and the images of independent undersamplings, with one transform for both."""
        return self.spectral_pairs(x, rngs, _half_spectra(x))

    def spectral_patches(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> np.ndarray:
        """Return what ``patches`` does, from the half spectra of x."""
        p = sampling_probability(*x.shape[2:], self._p_at_edge)
        y = np.empty((len(x), 2, *p.shape), np.float32)
        for spectrum, (image, known), rng in zip(spectra, y, rngs):
            self._measure(spectrum, p, rng, image, known)
        return y

    def spectral_pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what ``pairs`` does, from the half spectra of x."""
        p = sampling_probability(*x.shape[2:], self._p_at_edge)
        y = np.empty((len(x), 2, *p.shape), np.float32)
        targets = np.empty((len(x), 1, *p.shape), np.float32)
        for spectrum, (image, known), (target,), rng in zip(spectra, y, targets, rngs):
            self._measure(spectrum, p, rng, image, known)
            self._measure(spectrum, p, rng, target, None)
        return y, targets

    def _measure(
        self,
        spectrum: np.ndarray,
        p: np.ndarray,
        rng: np.random.Generator,
        image: np.ndarray,
        known: Optional[np.ndarray],
    ) -> None:
        """Draw a mask; write its image to ``image``, and p where measured to ``known``."""
        measured = draw_mask(p, rng)
        if known is not None:
            np.multiply(p, measured, out=known)
        half = np.s_[:, : spectrum.shape[1]]
        image[:] = scipy.fft.irfft2(spectrum * (measured[half] / p[half]), s=p.shape)


def _half_spectra(x: np.ndarray) -> np.ndarray:
    """Return the half spectra (N, H, W // 2 + 1) of images (N, 1, H, W)."""
    return scipy.fft.rfft2(to_float(x)[:, 0])


def half_spectrum(x: np.ndarray) -> np.ndarray:
    """Return the half spectrum (H, W // 2 + 1) complex64 of an image (H, W, 1)."""
    return scipy.fft.rfft2(to_float(x)[:, :, 0])


def spectrum_bytes(height: int, width: int) -> int:
    """Return the size in bytes of the half spectrum of an image."""
    return height * (width // 2 + 1) * np.dtype(np.complex64).itemsize


def spectrum_from_bytes(data: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the half spectrum of an image of this size from its bytes, a uint8 array."""
    return data.view(np.complex64).reshape(height, width // 2 + 1)


def shift_spectra(
    spectra: np.ndarray, moves: Sequence[np.ndarray], size: tuple[int, ...]
) -> np.ndarray:
    """Return the half spectra (N, H, W // 2 + 1) of images shifted cyclically.

    Args:
        spectra: half spectra of the images before.
        moves: rows down and columns right, for each image.
        size: height and width of the images.
    """
    height, width = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    shifted = np.empty_like(spectra)
    for spectrum, (down, right), result in zip(spectra, moves, shifted):
        phases = np.exp(-2j * np.pi * down * rows), np.exp(-2j * np.pi * right * columns)
        first, second = (phase.astype(np.complex64) for phase in phases)
        np.multiply(spectrum, first, out=result)
        result *= second
    return shifted


@lru_cache(maxsize=4)
def sampling_probability(height: int, width: int, p_at_edge: float) -> np.ndarray:
    """Return the probability p of each frequency to be measured, (height, width) float32.

    The frequencies are in the order of ``np.fft.fft2``.
    """
    rows, columns = (np.fft.fftfreq(side, 1 / side) / (side / 2) for side in (height, width))
    r = np.hypot(rows[:, None], columns)
    return (p_at_edge**r).astype(np.float32)


def draw_mask(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw which frequencies are measured, each with its probability p, as a boolean array.

    A frequency k and its opposite -k are measured together: each of the two is drawn with
    probability sqrt(p), and they are measured if both were drawn.
    """
    drawn = rng.random(p.shape, np.float32) ** 2 < p
    opposite = np.roll(drawn[::-1, ::-1], 1, axis=(0, 1))
    measured = drawn & opposite
    measured[0, 0] = drawn[0, 0]  # its own opposite
    return measured
