"""Undersampling of MRI's k-space, after Lehtinen et al. 2018 (arXiv 1803.04189), section 3.4."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import numpy as np
import scipy.fft
from pydantic import Field

from ms_restore.data.images import to_float


class Undersampled:
    """y = F^-1(m / p F x): each frequency measured with probability p, its weight then 1 / p.

    p = p_at_edge^(r / r_max), r the distance from frequency 0 and r_max half the side. The mask m
    is symmetric, so y is real. Behind y comes, for every frequency in the order of
    ``np.fft.fft2``, its p where it was measured, else 0: (H, W, 2) from (H, W, 1).

    Args:
        p_at_edge: the probability at r_max.
    """

    scale = factor = 1
    margin = 0
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
        planes = to_float(x)[:, 0]
        p = probability(*planes.shape[1:], self._p_at_edge)
        spectra = scipy.fft.rfft2(planes)
        y = np.empty((len(x), 2, *planes.shape[1:]), np.float32)
        for spectrum, made, rng in zip(spectra, y, rngs):
            measured = mask(p, rng)
            made[1] = p * measured
            half = np.s_[:, : spectrum.shape[1]]
            weighted = spectrum * (measured[half] / p[half])
            made[0] = scipy.fft.irfft2(weighted, s=planes.shape[1:])
        return y

    def targets(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        return self.patches(x, rngs)[:, :1]


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
