"""Linear degradations y = A x + n for recipes, which solvers undo.

Without noise, y is rounded to 8 bit like an image in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation
from ms_restore.degradations import demosaicing, kernels
from ms_restore.degradations.bayer_mosaic import BayerMosaic, Pattern
from ms_restore.degradations.noise import Sigma
from ms_restore.degradations.operators import Blur, BlurDownsample
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.images.resize import interpolate


class Linear(Degradation):
    """A linear operator and white Gaussian noise: y = A x + sigma n, n of standard deviation 1.

    y is computed only where the kernel lies inside x, so it is smaller than x by one less than the
    kernel's size; such degradations are for solvers, not for training.

    Args:
        operator: A.
        sigma_255: standard deviation of the noise on a scale of 0 to 255.
    """

    baseline_name = "start"

    def __init__(self, operator: Blur, sigma_255: float) -> None:
        self.operator = operator
        self.sigma_255 = sigma_255
        self.scale = operator.scale
        self.margin = max(operator.half)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return y (h, w, C) float32 for x (H, W, C), of a size that ``cropped`` gives."""
        exact = to_float(x).astype(np.float64).transpose(2, 0, 1)[None]
        y = self.operator.forward(exact)[0].transpose(1, 2, 0)
        if self.sigma_255 == 0:
            return (np.round(y * 255) / 255).astype(np.float32)
        return (y + rng.standard_normal(y.shape) * (self.sigma_255 / 255)).astype(np.float32)

    def cropped(self, x: np.ndarray) -> np.ndarray:
        """Return x without the last rows and columns for which y would have no whole pixel."""
        excess = ((x.shape[axis] - 2 * self.operator.half[axis]) % self.scale for axis in (0, 1))
        height, width = (side - more for side, more in zip(x.shape, excess))
        return x[:height, :width]

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return the image that a solver starts from, of x's size, float32 in [0, 1]."""
        start = self.operator.start(to_float(y).transpose(2, 0, 1)[None])
        return np.clip(start[0].transpose(1, 2, 0), 0, 1)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Raise InputError, since these degradations are not for training."""
        raise InputError("this degradation is for solvers; nothing is trained with it")


class Blurred(Linear):
    """Blur and noise: y = k * x + n.

    Args:
        kernel: a file, or gaussian:1.6, motion:15:30 or disk:3; see ``kernels.load``.
        sigma_255: standard deviation of the noise on a scale of 0 to 255.
    """

    def __init__(self, *, kernel: str, sigma_255: Sigma = 0.0) -> None:
        super().__init__(Blur(kernels.load(kernel)), sigma_255)


class Downsampled(Linear):
    """Blur, downsampling and noise: y is every ``scale``-th row and column of k * x, plus n.

    Args:
        scale: pixels of x for each pixel of y along a side: 2, 3, 4, ...
        kernel: a file, or gaussian:1.6, motion:15:30 or disk:3; see ``kernels.load``.
        sigma_255: standard deviation of the noise on a scale of 0 to 255.
    """

    baseline_name = "bicubic"

    def __init__(
        self,
        *,
        scale: Annotated[int, Field(ge=2)],
        kernel: str = "gaussian:1.6",
        sigma_255: Sigma = 0.0,
    ) -> None:
        super().__init__(BlurDownsample(kernels.load(kernel), scale), sigma_255)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return y interpolated bicubically to x's size; pixels beyond the samples repeat them."""
        large = interpolate(to_float(y), self.scale)
        rows, columns = self.operator.half
        return np.clip(np.pad(large, [(rows, rows), (columns, columns), (0, 0)], "edge"), 0, 1)


class Mosaic(Linear):
    """Bayer mosaic and noise: y holds one of the three colours at each pixel, plus n.

    Args:
        pattern: RGGB, BGGR, GRBG or GBRG, the first two pixels of the first and second row.
        sigma_255: standard deviation of the noise on a scale of 0 to 255.
    """

    def __init__(self, *, pattern: Pattern = "RGGB", sigma_255: Sigma = 0.0) -> None:
        super().__init__(BayerMosaic(pattern), sigma_255)
        self.baseline_name = "Menon 2007" if demosaicing.is_installed() else "mean of neighbours"
