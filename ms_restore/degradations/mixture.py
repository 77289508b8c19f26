"""The mixture of DnCNN-3's degradations: Gaussian noise, bicubic upsampling or JPEG compression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation
from ms_restore.degradations.bicubic import BicubicUpsampled
from ms_restore.degradations.jpeg import JPEG
from ms_restore.degradations.noise import Gaussian, Sigma
from ms_restore.images.arrays import to_float

_Two = Field(min_length=2, max_length=2)


class Mixture(Degradation):
    """One of the three degradations of DnCNN-3 for each image, drawn at random with its strength.

    In evaluation the image's name decides the draw; to score a single degradation, choose it
    instead, for example with ``--degradation.name jpeg --degradation.quality 10``.

    Args:
        sigma_255: range of the Gaussian noise's standard deviation, on a scale of 0 to 255.
        factors: factors of bicubic downsampling and upsampling.
        quality: range of the JPEG quality.
    """

    def __init__(
        self,
        *,
        sigma_255: Annotated[list[Sigma], _Two],
        factors: list[int],
        quality: Annotated[list[int], _Two],
    ) -> None:
        self._noise = Gaussian(sigma_255=sigma_255)
        self._resized = [BicubicUpsampled(factor=factor) for factor in factors]
        self._compressed = [JPEG(quality=q) for q in range(quality[0], quality[1] + 1)]
        parts: list[Degradation] = [*self._resized, *self._compressed]
        self.margin = max(part.margin for part in parts)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return x (H, W, C) with one of the degradations, float32."""
        margin = self.margin
        around = np.pad(x, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        return self.patches(around.transpose(2, 0, 1)[None], [rng])[0].transpose(1, 2, 0)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the patches, each with a degradation of its own, (N, C, H, W) float32."""
        made = []
        for window, rng in zip(x, rngs):
            part = self._draw(rng)
            cut = self.margin - part.margin
            inner = window[None, :, cut : window.shape[1] - cut, cut : window.shape[2] - cut]
            made.append(to_float(part.patches(inner, [rng])))
        return np.concatenate(made)

    def _draw(self, rng: np.random.Generator) -> Degradation:
        """Draw a kind of degradation and then its strength."""
        kinds: list[Sequence[Degradation]] = [[self._noise], self._resized, self._compressed]
        kind = kinds[rng.integers(len(kinds))]
        return kind[rng.integers(len(kind))]
