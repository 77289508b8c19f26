"""A trained network with its recipe, applied to arrays and pictures."""

from __future__ import annotations

import numpy as np

from ms_restore.data.images import Picture, from_float, to_channels, to_float
from ms_restore.degradations.bicubic import imresize
from ms_restore.errors import InputError
from ms_restore.inference.engines import Engine
from ms_restore.recipe import Recipe


class Restorer:
    """x_hat = restorer(y), both (H, W, C) float32 in [0, 1]; x_hat is ``scale`` times larger.

    Attributes:
        recipe: the model's recipe.
        scale: output pixels for each input pixel along a side.
        channels: 3 (RGB) or 1 (gray).
    """

    def __init__(self, engine: Engine, recipe: Recipe, *, scale: int, channels: int) -> None:
        self._engine = engine
        self.recipe = recipe
        self.scale = scale
        self.channels = channels

    def __call__(self, y: np.ndarray) -> np.ndarray:
        if y.ndim != 3 or y.shape[2] != self.channels:
            raise InputError(
                f"{self.recipe.model} takes arrays (height, width, {self.channels}), "
                f"this one is {y.shape}"
            )
        batch = np.ascontiguousarray(y.transpose(2, 0, 1)[None], np.float32)
        return np.clip(self._engine(batch)[0].transpose(1, 2, 0), 0, 1)

    def picture(self, picture: Picture) -> Picture:
        """Restore a picture; gray stays gray, 16 bit stays 16 bit, alpha is resized bicubically."""
        pixels = picture.pixels
        if pixels.shape[2] > self.channels:
            raise InputError(
                f"{self.recipe.model} is a model for gray images, this picture has colours; "
                "use a model with 3 channels, or convert the picture to gray"
            )
        x_hat = from_float(self(to_float(to_channels(pixels, self.channels))), pixels.dtype)
        alpha = picture.alpha
        if alpha is not None:
            alpha = imresize(alpha, *x_hat.shape[:2])
        return Picture(to_channels(x_hat, pixels.shape[2]), alpha, picture.icc_profile)
