"""A trained network with its recipe, applied to arrays and pictures of any size."""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

import cv2
import numpy as np

from ms_restore.data.images import Picture, from_float, to_channels, to_float
from ms_restore.errors import InputError
from ms_restore.inference.engines import Engine, MindSporeEngine, SelfEnsemble
from ms_restore.inference.tiling import automatic_window, windows
from ms_restore.recipe import Recipe, coloured
from ms_restore.report.terminal import progress

_HOST_COPIES = 8  # of a window's output, between the engine and the picture


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What a caller must know of a network, see ms_restore.networks."""

    scale: int
    channels: int
    receptive_radius: int
    floats_per_pixel: int
    size_multiple: int

    @classmethod
    def of(cls, network: Any) -> Geometry:
        return cls(
            **{field.name: getattr(network, field.name) for field in dataclasses.fields(cls)}
        )


class Restorer:
    """x_hat = restorer(y), both (H, W, C) float32 in [0, 1]; x_hat is ``scale`` times larger.

    Images larger than a window are computed in tiles, with the same result.

    Args:
        network: a trained network.
        recipe: its recipe.
        engine: what computes the network; by default MindSpore.
        tile: side of the square window in input pixels, the context on its borders included;
            None: what fits a quarter of a gigabyte; 0: every image in one piece.
        self_ensemble: average over the eight symmetries of the square.
    """

    def __init__(
        self,
        network: Any,
        recipe: Recipe,
        *,
        engine: Optional[Engine] = None,
        tile: Optional[int] = None,
        self_ensemble: bool = False,
    ) -> None:
        geometry = Geometry.of(network)
        self.recipe = recipe
        self.scale = geometry.scale
        self.channels = geometry.channels
        self._radius = geometry.receptive_radius
        self._engine: Engine = engine or MindSporeEngine(network)
        if self_ensemble:
            self._engine = SelfEnsemble(self._engine)
        if tile is None:
            floats = geometry.floats_per_pixel + _HOST_COPIES * geometry.channels * self.scale**2
            tile = automatic_window(self._radius, floats, geometry.size_multiple)
        elif tile and (tile <= 2 * self._radius or tile % geometry.size_multiple):
            raise InputError(
                f"tile {tile}: {recipe.model} needs {self._radius} pixels of context on each side, "
                f"so more than {2 * self._radius}, and a multiple of {geometry.size_multiple}; "
                "use 0 for no tiles"
            )
        self._window = tile

    def __call__(self, y: np.ndarray) -> np.ndarray:
        if y.ndim != 3 or y.shape[2] != self.channels:
            raise InputError(
                f"{self.recipe.model} takes arrays (height, width, {self.channels}), "
                f"this one is {y.shape}"
            )
        return self._restore(y, np.dtype(np.float32))

    def _restore(self, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Restore y (H, W, C) of any dtype, window by window, into an array of ``dtype``."""
        height, width, scale = *y.shape[:2], self.scale
        x_hat = np.empty((scale * height, scale * width, y.shape[2]), dtype)
        window = self._window or max(height, width)
        jobs = list(windows(height, width, window, self._radius))
        for rows, columns in progress(jobs, "restoring"):
            cut = to_channels(
                y[rows.start : rows.stop, columns.start : columns.stop], self.channels
            )
            batch = np.ascontiguousarray(to_float(cut).transpose(2, 0, 1)[None])
            values = np.clip(self._engine(batch)[0].transpose(1, 2, 0), 0, 1)
            kept = values[
                scale * (rows.first - rows.start) : scale * (rows.last - rows.start),
                scale * (columns.first - columns.start) : scale * (columns.last - columns.start),
            ]
            if np.issubdtype(dtype, np.integer):
                kept = to_channels(from_float(kept, dtype), y.shape[2])
            x_hat[
                scale * rows.first : scale * rows.last, scale * columns.first : scale * columns.last
            ] = kept
        return x_hat

    def picture(self, picture: Picture) -> Picture:
        """Restore a picture; gray stays gray, 16 bit stays 16 bit, alpha is resized bicubically."""
        pixels = picture.pixels
        if pixels.shape[2] > self.channels:
            raise InputError(
                f"{self.recipe.model} is a model for gray images, this picture has colours; "
                f"use {coloured(self.recipe)}, or convert the picture to gray"
            )
        x_hat = self._restore(pixels, pixels.dtype)
        alpha = picture.alpha
        if alpha is not None:
            alpha = cv2.resize(alpha, x_hat.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        return Picture(x_hat, alpha, picture.icc_profile)
