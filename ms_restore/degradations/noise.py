"""Noise, never clipped and never rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Optional, Union

import numpy as np
from pydantic import Field

from ms_restore.data.images import to_float
from ms_restore.errors import InputError

Sigma = Annotated[float, Field(ge=0, le=255)]
Photons = Annotated[float, Field(gt=0, le=1e6)]


class Gaussian:
    """y = x + sigma n, n white Gaussian noise of deviation 1.

    Args:
        sigma_255: the noise's deviation on a scale of 0 to 255, or [low, high]: each training
            patch draws its own, uniformly.
        eval_sigma_255: that of evaluation; by default ``sigma_255``, or the end of its range.
    """

    scale = factor = 1
    margin = 0
    baseline_name = "noisy"

    def __init__(
        self,
        *,
        sigma_255: Union[Sigma, Annotated[list[Sigma], Field(min_length=2, max_length=2)]],
        eval_sigma_255: Optional[Sigma] = None,
    ) -> None:
        self._low, self._high = sigma_255 if isinstance(sigma_255, list) else [sigma_255] * 2
        if self._low > self._high:
            raise InputError(
                f"degradation.sigma_255 {sigma_255}: expected a number or [low, high], "
                f"such as [{self._high:g}, {self._low:g}]"
            )
        self.eval_sigma_255 = self._high if eval_sigma_255 is None else eval_sigma_255

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal(x.shape, np.float32)
        return to_float(x) + noise * np.float32(self.eval_sigma_255 / 255)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        return y

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        y = np.empty(x.shape, np.float32)
        sigmas = np.empty((len(x), 1, 1, 1), np.float32)
        for noise, sigma, rng in zip(y, sigmas, rngs):
            sigma[:] = rng.uniform(self._low, self._high) / 255
            rng.standard_normal(out=noise, dtype=np.float32)
        y *= sigmas
        y += to_float(x)
        return y


class Poisson:
    """y = Poisson(lambda x) / lambda: photon noise, the smaller lambda the stronger.

    Args:
        photons: lambda, the photons of a white pixel, or [low, high]: each training patch draws its
            own, uniformly.
        eval_photons: that of evaluation; by default ``photons``, or the end of its range.
    """

    scale = factor = 1
    margin = 0
    baseline_name = "noisy"

    def __init__(
        self,
        *,
        photons: Union[Photons, Annotated[list[Photons], Field(min_length=2, max_length=2)]],
        eval_photons: Optional[Photons] = None,
    ) -> None:
        self._low, self._high = photons if isinstance(photons, list) else [photons] * 2
        if self._low > self._high:
            raise InputError(
                f"degradation.photons {photons}: expected a number or [low, high], "
                f"such as [{self._high:g}, {self._low:g}]"
            )
        self.eval_photons = self._high if eval_photons is None else eval_photons

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (rng.poisson(to_float(x) * self.eval_photons) / self.eval_photons).astype(np.float32)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        return y

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        y = to_float(x)
        for patch, rng in zip(y, rngs):
            photons = rng.uniform(self._low, self._high)
            patch[:] = rng.poisson(patch * photons) / photons
        return y
