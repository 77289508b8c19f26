"""The degradations of super-resolution: bicubic downsampling, alone or followed by upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Optional

import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation
from ms_restore.images.resize import imresize, resize_matrix, round_to_dtype
from ms_restore.settings import Recipe


class BicubicDownsample(Degradation):
    """Bicubic downsampling y = imresize(x, 1 / scale), as the super-resolution benchmarks use it.

    Args:
        scale: pixels of x for each pixel of y along a side; by default the network's scale.
    """

    baseline_name = "bicubic"
    follows_network = ("scale",)

    def __init__(self, *, scale: Optional[int] = None) -> None:
        self.scale = scale or 1
        self.margin = 2 * self.scale  # half the stretched kernel

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return x (H, W, C) downsampled to (H / scale, W / scale, C), in its own dtype."""
        return imresize(x, x.shape[0] // self.scale, x.shape[1] // self.scale)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return y (h, w, C) enlarged bicubically to x's size."""
        return imresize(y, y.shape[0] * self.scale, y.shape[1] * self.scale)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the downsampled patches, the same values as in the downsampled whole image."""
        # a dtype that is precise enough for the products with the weights
        exact = np.dtype(np.float32 if x.dtype == np.uint8 else np.float64)
        rows: np.ndarray = self._interior(x.shape[2]).astype(exact)
        columns: np.ndarray = self._interior(x.shape[3]).astype(exact)
        y = round_to_dtype(rows @ x.astype(exact), x.dtype)
        return round_to_dtype(y.astype(exact) @ columns.T, x.dtype)

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line for each patch setting that is no multiple of the scale."""
        scale, data = recipe.degradation["scale"] or 1, recipe.data
        return [
            f"{key} {value} is no multiple of network.scale {scale}"
            for key, value in (("data.patch_size", data.patch_size), ("data.stride", data.stride))
            if (value or scale) % scale
        ]

    def _interior(self, length: int) -> np.ndarray:
        """Return the rows of the resize matrix that do not reach beyond a patch with margin."""
        edge = self.margin // self.scale
        return resize_matrix(length, length // self.scale)[edge:-edge].toarray()


class BicubicUpsampled(Degradation):
    """Bicubic downsampling and upsampling: y has the size of x, but its detail is lost.

    y = imresize(imresize(x, 1 / factor), factor). The small image's sides are rounded up.

    Args:
        factor: how many times smaller the image in between is: 2, 3, 4, ...
    """

    baseline_name = "bicubic"

    def __init__(self, *, factor: Annotated[int, Field(ge=2)]) -> None:
        self._factor = factor
        self.margin = 5 * factor  # half of both stretched kernels, and the loss by rounding down

    @property
    def factor(self) -> int:
        """How many times coarser the detail of y is than that of x."""
        return self._factor

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return x (H, W, C) without its detail, in its own shape and dtype."""
        height, width = x.shape[:2]
        small = imresize(x, -(-height // self.factor), -(-width // self.factor))
        return imresize(small, height, width)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the patches without their detail, degraded together with their margin."""
        height, width = (side - side % self.factor for side in x.shape[2:])
        planes = x[:, :, :height, :width].transpose(2, 3, 0, 1)
        whole = self(planes.reshape(height, width, -1), rngs[0])
        y = whole.reshape(planes.shape).transpose(2, 3, 0, 1)
        margin = self.margin
        return y[:, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin]
