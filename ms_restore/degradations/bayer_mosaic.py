"""The mosaic of a camera's sensor with Bayer's filter, as a linear degradation in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Optional, get_args

import numpy as np

from ms_restore.degradations import demosaicing
from ms_restore.degradations.operators import Blur, Size
from ms_restore.errors import InputError

if TYPE_CHECKING:
    from ms_restore.degradations.device import OperatorCell

Pattern = Literal["RGGB", "BGGR", "GRBG", "GBRG"]
_LEAST_OF_MENON = 8  # rows and columns


class BayerMosaic(Blur):
    """Bayer mosaic: y (N, 1, H, W) holds one of the three channels of K x at each pixel.

    Args:
        pattern: the colours of the first two pixels of the first and then the second row.
        kernel: of a blur before the mosaic, as of ``Blur``.

    Raises:
        InputError: the pattern is not known.
    """

    name = "Bayer mosaic"

    def __init__(self, pattern: Pattern = "RGGB", kernel: Optional[np.ndarray] = None) -> None:
        super().__init__(kernel)
        if pattern not in get_args(Pattern):
            raise InputError(
                f"pattern {pattern!r} is not known; choose {', '.join(get_args(Pattern))}"
            )
        self.pattern = pattern

    def gain(self, y: np.ndarray) -> float:
        """Return 3, since y holds one of three channels."""
        return 3.0

    def masks(self, height: int, width: int) -> np.ndarray:
        """Return masks (1, 3, height, width) float64: 1 for the channel that a pixel holds."""
        colours = np.array(["RGB".index(letter) for letter in self.pattern]).reshape(2, 2)
        tiled = np.tile(colours, (height // 2 + 1, width // 2 + 1))[:height, :width]
        return (tiled == np.arange(3)[:, None, None])[None].astype(np.float64)

    def sample(self, z: np.ndarray) -> np.ndarray:
        """Return the one colour of each pixel, (N, 1, H, W); raise InputError for gray images."""
        if z.shape[-3] != 3:
            raise InputError(
                f"a Bayer mosaic is made of a colour image, this one has {z.shape[-3]} channel"
            )
        return (z * self.masks(*z.shape[-2:]).astype(z.dtype)).sum(axis=-3, keepdims=True)

    def spread(self, y: np.ndarray, size: Optional[Size] = None) -> np.ndarray:
        """Return y in the channel of each pixel, with zeros in the other channels."""
        return y * self.masks(*y.shape[-2:]).astype(y.dtype)

    def start(self, y: np.ndarray) -> np.ndarray:
        """Return a first x for a solver, in y's dtype, by Menon 2007 where that is installed.

        Otherwise, and where y has fewer than 8 rows or columns, it is the mean of known neighbours,
        as for other operators.
        """
        fits = y.shape[-3] == 1 and min(y.shape[-2:]) >= _LEAST_OF_MENON
        if not fits or not demosaicing.is_installed():
            return super().start(y)
        rows, columns = self.half
        edges = [(0, 0), (0, 0), (rows, rows), (columns, columns)]
        return np.pad(demosaicing.menon2007(y, self.pattern), edges, mode="edge")

    def cell(self, height: int, width: int) -> OperatorCell:
        """Return the operator as a float32 cell for the device, for x of this size."""
        from ms_restore.degradations.device import MosaicCell

        rows, columns = (side - k + 1 for side, k in zip((height, width), self.kernel.shape))
        return MosaicCell(self.kernel, height, width, self.masks(rows, columns))
