"""Noise, never clipped and never rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Optional, Union

import numpy as np
from pydantic import Field
from scipy.special import gammaln

from ms_restore.contracts import Degradation
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float

Sigma = Annotated[float, Field(ge=0, le=255)]
Photons = Annotated[float, Field(gt=0, le=1e6)]
_TABLE_PHOTONS = 200  # beyond, the tables cost more than they save
_BINS = 1024
_UNDECIDED = 65535


def _range(key: str, value: Union[float, list[float]]) -> tuple[float, float]:
    """The ends of what a recipe gives as a number or as [low, high]."""
    low, high = value if isinstance(value, list) else (value, value)
    if low > high:
        raise InputError(
            f"degradation.{key} {value}: expected a number or [low, high], "
            f"such as [{high:g}, {low:g}]"
        )
    return low, high


class Gaussian(Degradation):
    """y = x + sigma n, n white Gaussian noise of deviation 1.

    Args:
        sigma_255: the noise's deviation on a scale of 0 to 255, or [low, high]: each training
            patch draws its own, uniformly.
        eval_sigma_255: that of evaluation; by default ``sigma_255``, or the end of its range.
    """

    baseline_name = "noisy"

    def __init__(
        self,
        *,
        sigma_255: Union[Sigma, Annotated[list[Sigma], Field(min_length=2, max_length=2)]] = 25.0,
        eval_sigma_255: Optional[Sigma] = None,
    ) -> None:
        self._low, self._high = _range("sigma_255", sigma_255)
        self.eval_sigma_255 = self._high if eval_sigma_255 is None else eval_sigma_255

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal(x.shape, np.float32)
        return to_float(x) + noise * np.float32(self.eval_sigma_255 / 255)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        y = np.empty(x.shape, np.float32)
        sigmas = np.empty((len(x), 1, 1, 1), np.float32)
        for noise, sigma, rng in zip(y, sigmas, rngs):
            sigma[:] = rng.uniform(self._low, self._high) / 255
            rng.standard_normal(out=noise, dtype=np.float32)
        y *= sigmas
        y += to_float(x)
        return y


class Poisson(Degradation):
    """y = Poisson(lambda x) / lambda: photon noise, the smaller lambda the stronger.

    Args:
        photons: lambda, the photons of a white pixel, or [low, high]: each training patch draws its
            own, uniformly.
        eval_photons: that of evaluation; by default ``photons``, or the end of its range.
    """

    baseline_name = "noisy"

    def __init__(
        self,
        *,
        photons: Union[Photons, Annotated[list[Photons], Field(min_length=2, max_length=2)]],
        eval_photons: Optional[Photons] = None,
    ) -> None:
        self._low, self._high = _range("photons", photons)
        self.eval_photons = self._high if eval_photons is None else eval_photons

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (rng.poisson(to_float(x) * self.eval_photons) / self.eval_photons).astype(np.float32)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        y = np.empty(x.shape, np.float32)
        for made, patch, rng in zip(y, x, rngs):
            photons = rng.uniform(self._low, self._high)
            if x.dtype == np.uint8 and photons <= _TABLE_PHOTONS:
                counts = poisson_of_levels(patch, np.arange(256) * (photons / 255), rng)
            else:
                counts = rng.poisson(to_float(patch) * photons)
            np.divide(counts, np.float32(photons), out=made)
        return y


def poisson_of_levels(
    levels: np.ndarray, means: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A Poisson number of mean ``means[level]`` for each level, of the levels' shape.

    The distribution functions are inverted in double precision. The first bits of a random number
    mostly decide (Chen and Asau, "On generating random variates from an empirical distribution",
    AIIE Transactions 1974); where they do not, the others are drawn. About four times as fast as
    ``rng.poisson`` where there are many numbers for few means.
    """
    below = _distribution(means)
    most = below.shape[1]
    edges = np.ceil(below * _BINS).astype(np.intp)
    edges += (_BINS + 1) * np.arange(len(means))[:, None]
    counts = np.bincount(edges.ravel(), minlength=len(means) * (_BINS + 1))
    first = counts.reshape(len(means), _BINS + 1).cumsum(axis=1)  # number at the start of a bin
    table = np.where(first[:, :-1] == first[:, 1:], first[:, :-1], _UNDECIDED).astype(np.uint16)
    bins = rng.integers(0, _BINS, levels.shape, np.uint16)
    drawn = table.ravel().take(levels.astype(np.int32) * _BINS + bins)
    rest = np.flatnonzero(drawn == _UNDECIDED)
    rows = levels.ravel()[rest].astype(np.intp)
    exact = (bins.ravel()[rest] + rng.random(len(rest))) / _BINS
    found = np.searchsorted((below + np.arange(len(means))[:, None]).ravel(), exact + rows, "right")
    drawn.ravel()[rest] = np.minimum(found - rows * most, most - 1)
    return drawn


def _distribution(means: np.ndarray) -> np.ndarray:
    """P(number <= k) for every mean and k up to where it is 1, (means, k)."""
    mean = means.max()
    k = np.arange(int(mean + 12 * np.sqrt(mean) + 40))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = k * np.log(means)[:, None]
    logs[:, 0] = 0
    below = np.exp(logs - means[:, None] - gammaln(k + 1)).cumsum(axis=1)
    below[:, -1] = 1
    return np.minimum(below, 1)
