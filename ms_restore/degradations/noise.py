"""Gaussian and Poisson noise; the noisy images are neither clipped nor rounded."""

from __future__ import annotations

import functools
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
_TABLE_PHOTONS = 200  # with more photons, the tables cost more than they save
_BINS = 1024  # intervals of [0, 1) in the table of Poisson numbers
_UNDECIDED = 65535  # entry of the table for an interval that holds several numbers


def _range_ends(key: str, value: Union[float, list[float]]) -> tuple[float, float]:
    """Return the ends of a setting that is a number or [low, high]."""
    low, high = value if isinstance(value, list) else (value, value)
    if low > high:
        raise InputError(
            f"degradation.{key} {value}: expected a number or [low, high], "
            f"such as [{high:g}, {low:g}]"
        )
    return low, high


class Gaussian(Degradation):
    """White Gaussian noise: y = x + sigma n, n of standard deviation 1.

    Args:
        sigma_255: standard deviation of the noise on a scale of 0 to 255, or a range [low, high]
            from which each training patch draws its own, uniformly.
        eval_sigma_255: the same for evaluation; by default ``sigma_255``, or the upper end of its
            range.
        noise_map: y has one more channel, the standard deviation at each pixel; by default where
            the network is told the noise.
    """

    baseline_name = "noisy"
    follows_network = ("noise_map",)

    def __init__(
        self,
        *,
        sigma_255: Union[Sigma, Annotated[list[Sigma], Field(min_length=2, max_length=2)]] = 25.0,
        eval_sigma_255: Optional[Sigma] = None,
        noise_map: Optional[bool] = None,
    ) -> None:
        self.noise_map = bool(noise_map)
        self._low, self._high = _range_ends("sigma_255", sigma_255)
        self.eval_sigma_255 = self._high if eval_sigma_255 is None else eval_sigma_255

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return x (H, W, C) with the noise of evaluation, float32, and its map behind it."""
        noise = rng.standard_normal(x.shape, np.float32)
        sigma = np.float32(self.eval_sigma_255 / 255)
        y = to_float(x) + noise * sigma
        if self.noise_map:
            y = np.concatenate((y, np.broadcast_to(sigma, (*x.shape[:2], 1))), axis=2)
        return y

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the noisy patches (N, C, H, W) float32, each with a sigma of its own."""
        return self._noisy(x, rngs, self.noise_map)

    def targets(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return noisy patches without a map, (N, C, H, W) float32."""
        return self._noisy(x, rngs, noise_map=False)

    def _noisy(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], noise_map: bool
    ) -> np.ndarray:
        count, channels, height, width = x.shape
        y = np.empty((count, channels + noise_map, height, width), np.float32)
        sigmas = np.empty((count, 1, 1, 1), np.float32)
        image = y[:, :channels]
        for patch, sigma, rng in zip(y, sigmas, rngs):
            sigma[:] = rng.uniform(self._low, self._high) / 255
            rng.standard_normal(out=patch[:channels], dtype=np.float32)
        image *= sigmas
        image += to_float(x)
        y[:, channels:] = sigmas
        return y

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return the noisy image (H, W, C) without its map."""
        return y[:, :, :-1] if self.noise_map else y


class Poisson(Degradation):
    """Photon noise: y = Poisson(lambda x) / lambda, stronger for a smaller lambda.

    Args:
        photons: lambda, the mean number of photons in a white pixel, or a range [low, high] from
            which each training patch draws its own, uniformly.
        eval_photons: the same for evaluation; by default ``photons``, or the upper end of its
            range.
    """

    baseline_name = "noisy"

    def __init__(
        self,
        *,
        photons: Union[Photons, Annotated[list[Photons], Field(min_length=2, max_length=2)]],
        eval_photons: Optional[Photons] = None,
    ) -> None:
        self._low, self._high = _range_ends("photons", photons)
        self.eval_photons = self._high if eval_photons is None else eval_photons

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return x (H, W, C) with the noise of evaluation, float32."""
        return (rng.poisson(to_float(x) * self.eval_photons) / self.eval_photons).astype(np.float32)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the noisy patches (N, C, H, W) float32, each with a lambda of its own."""
        y = np.empty(x.shape, np.float32)
        for made, patch, rng in zip(y, x, rngs):
            photons = rng.uniform(self._low, self._high)
            if x.dtype == np.uint8 and photons <= _TABLE_PHOTONS:
                counts = poisson_from_levels(patch, np.arange(256) * (photons / 255), rng)
            else:
                counts = rng.poisson(to_float(patch) * photons)
            np.divide(counts, np.float32(photons), out=made)
        return y


def poisson_from_levels(
    levels: np.ndarray, means: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a Poisson number of mean ``means[level]`` for each level, as uint16.

    About four times as fast as ``rng.poisson`` for many levels and few means. The cumulative
    distributions are inverted in double precision; mostly the first bits of a random number decide,
    and only otherwise are the remaining bits drawn (Chen and Asau, "On generating random variates
    from an empirical distribution", AIIE Transactions 1974).

    Args:
        levels: non-negative integers below the number of means, of any shape.
        means: the mean for each level.
        rng: the random generator.
    """
    cumulative, table = _tables(means.astype(np.float64).tobytes())
    most = cumulative.shape[1]
    bins = rng.integers(0, _BINS, levels.shape, np.uint16)
    drawn = table.ravel().take(levels.astype(np.int32) * _BINS + bins)
    rest = np.flatnonzero(drawn == _UNDECIDED)
    rows = levels.ravel()[rest].astype(np.intp)
    exact = (bins.ravel()[rest] + rng.random(len(rest))) / _BINS
    found = np.searchsorted(
        (cumulative + np.arange(len(means))[:, None]).ravel(), exact + rows, "right"
    )
    drawn.ravel()[rest] = np.minimum(found - rows * most, most - 1)
    return drawn


@functools.lru_cache(maxsize=4)
def _tables(means: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return P(number <= k) for every mean, and the number that each interval of [0, 1) decides."""
    cumulative = _cumulative_distribution(np.frombuffer(means))
    count = len(cumulative)
    edges = np.ceil(cumulative * _BINS).astype(np.intp)
    edges += (_BINS + 1) * np.arange(count)[:, None]
    counts = np.bincount(edges.ravel(), minlength=count * (_BINS + 1))
    first = counts.reshape(count, _BINS + 1).cumsum(axis=1)  # number at the start of a bin
    same = first[:, :-1] == first[:, 1:]
    return cumulative, np.where(same, first[:, :-1], _UNDECIDED).astype(np.uint16)


def _cumulative_distribution(means: np.ndarray) -> np.ndarray:
    """Return P(number <= k), (means, k) float64, for every mean and all k until it is 1."""
    mean = means.max()
    k = np.arange(int(mean + 12 * np.sqrt(mean) + 40))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = k * np.log(means)[:, None]
    logs[:, 0] = 0
    cumulative = np.exp(logs - means[:, None] - gammaln(k + 1)).cumsum(axis=1)
    cumulative[:, -1] = 1
    return np.minimum(cumulative, 1)
