"""Undersampling of MRI's k-space, after Lehtinen et al. 2018 (arXiv 1803.04189), section 3.4."""

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
    """y = F^-1(m / p F x): each frequency measured with probability p, its weight then 1 / p.

    p = p_at_edge^(r / r_max), r the distance from frequency 0 and r_max half the side. The mask m
    is symmetric, so y is real. Behind y comes, for every frequency in the order of
    ``np.fft.fft2``, its p where it was measured, else 0: (H, W, 2) from (H, W, 1).

    Args:
        p_at_edge: the probability at r_max.
    """

    baseline_name = "zero-filled"

    def __init__(self, *, p_at_edge: Annotated[float, Field(gt=0, le=1)] = 0.025) -> None:
        self._p_at_edge = p_at_edge

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.patches(x.transpose(2, 0, 1)[None], [rng])[0].transpose(1, 2, 0)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """The measured frequencies as they are, the others 0."""
        spectrum = scipy.fft.fft2(y[:, :, 0]) * y[:, :, 1]
        return scipy.fft.ifft2(spectrum).real.astype(np.float32)[:, :, None]

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        return self.spectral_patches(x, rngs, _half_spectra(x))

    def pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """``patches`` and the images of others that are independent of them, of one transform."""
        return self.spectral_pairs(x, rngs, _half_spectra(x))

    def spectral_patches(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> np.ndarray:
        p = probability(*x.shape[2:], self._p_at_edge)
        y = np.empty((len(x), 2, *p.shape), np.float32)
        for spectrum, (image, known), rng in zip(spectra, y, rngs):
            self._measure(spectrum, p, rng, image, known)
        return y

    def spectral_pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        p = probability(*x.shape[2:], self._p_at_edge)
        y = np.empty((len(x), 2, *p.shape), np.float32)
        targets = np.empty((len(x), 1, *p.shape), np.float32)
        for spectrum, (image, known), (other,), rng in zip(spectra, y, targets, rngs):
            self._measure(spectrum, p, rng, image, known)
            self._measure(spectrum, p, rng, other, None)
        return y, targets

    def _measure(
        self,
        spectrum: np.ndarray,
        p: np.ndarray,
        rng: np.random.Generator,
        image: np.ndarray,
        known: Optional[np.ndarray],
    ) -> None:
        """Draw a mask, and write the image that it leaves and p where it is."""
        measured = mask(p, rng)
        if known is not None:
            np.multiply(p, measured, out=known)
        half = np.s_[:, : spectrum.shape[1]]
        image[:] = scipy.fft.irfft2(spectrum * (measured[half] / p[half]), s=p.shape)


def _half_spectra(x: np.ndarray) -> np.ndarray:
    """(N, 1, H, W) to (N, H, W // 2 + 1)."""
    return scipy.fft.rfft2(to_float(x)[:, 0])


def stored(x: np.ndarray) -> np.ndarray:
    """The half spectrum of (H, W, 1) integers: (H, W // 2 + 1) complex64, as ``rfft2``."""
    return scipy.fft.rfft2(to_float(x)[:, :, 0])


def stored_bytes(height: int, width: int) -> int:
    return height * (width // 2 + 1) * np.dtype(np.complex64).itemsize


def read(data: np.ndarray, height: int, width: int) -> np.ndarray:
    """The half spectrum of an image of this size from its bytes."""
    return data.view(np.complex64).reshape(height, width // 2 + 1)


def moved(spectra: np.ndarray, moves: Sequence[np.ndarray], size: tuple[int, ...]) -> np.ndarray:
    """The half spectra (N, H, W // 2 + 1) of images that were rolled by (rows, columns)."""
    height, width = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    turned = np.empty_like(spectra)
    for spectrum, (down, right), result in zip(spectra, moves, turned):
        phases = np.exp(-2j * np.pi * down * rows), np.exp(-2j * np.pi * right * columns)
        first, second = (phase.astype(np.complex64) for phase in phases)
        np.multiply(spectrum, first, out=result)
        result *= second
    return turned


@lru_cache(maxsize=4)
def probability(height: int, width: int, p_at_edge: float) -> np.ndarray:
    """p of every frequency, (height, width) float32, in the order of ``np.fft.fft2``."""
    rows, columns = (np.fft.fftfreq(side, 1 / side) / (side / 2) for side in (height, width))
    r = np.hypot(rows[:, None], columns)
    return (p_at_edge**r).astype(np.float32)


def mask(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which frequencies are measured, k and -k together; each with its probability p.

    Drawn with the square root of p for each of the two, and measured where both are.
    """
    drawn = rng.random(p.shape, np.float32) ** 2 < p
    opposite = np.roll(drawn[::-1, ::-1], 1, axis=(0, 1))
    measured = drawn & opposite
    measured[0, 0] = drawn[0, 0]  # its own opposite
    return measured
