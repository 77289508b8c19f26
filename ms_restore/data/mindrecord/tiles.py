"""Where a training patch lies, how images are cut into tiles, and what gives such tiles."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

import numpy as np

from ms_restore.degradations.bicubic import mirror


class Place(NamedTuple):
    """A patch of the clean image: which image, its first row and column, how it is turned.

    ``rng`` gives what else is random about it, such as its noise.
    """

    image: int
    top: int
    left: int
    symmetry: int
    rng: np.random.Generator


class Tile(NamedTuple):
    """Part of an image, (H, W, C), and the row and column of the image at which it begins.

    ``spectrum``: of a whole slice of MRI, where it is stored; see ``kspace.stored``.
    """

    pixels: np.ndarray
    top: int = 0
    left: int = 0
    spectrum: Optional[np.ndarray] = None

    def cut(
        self, top: int, left: int, side: int, margin: int, height: int, width: int
    ) -> np.ndarray:
        """The square patch at (top, left) of the image with ``margin`` pixels around it.

        Beyond the first ``height`` rows and ``width`` columns the image is mirrored.
        """
        first, last = (top - margin, left - margin), (top + side + margin, left + side + margin)
        if min(first) >= 0 and last[0] <= height and last[1] <= width:
            return self.pixels[
                first[0] - self.top : last[0] - self.top, first[1] - self.left : last[1] - self.left
            ]
        span = np.arange(-margin, side + margin)
        rows = mirror(top + span, height) - self.top
        columns = mirror(left + span, width) - self.left
        return self.pixels[rows[:, None], columns]


class TileSource(abc.ABC):
    """An image source (see ``ImageSource``) of a prepared set, which also gives training patches.

    Attributes:
        paired: whether degraded images are stored beside the clean ones.
        streamed: whether patches are read from the files in the order in which they are asked for.
    """

    description: str
    names: list[str]
    sizes: list[tuple[int, int]]
    coloured: list[str]
    paired: bool
    streamed: bool

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, index: int) -> np.ndarray:
        """The clean image (H, W, C)."""

    @abc.abstractmethod
    def degraded(self, index: int) -> Optional[np.ndarray]:
        """The stored degraded image (h, w, C), where there is one."""

    @abc.abstractmethod
    def check_patches(self, patch_size: int, margin: int, scale: int) -> None:
        """InputError where such patches cannot be cut of the tiles."""

    @abc.abstractmethod
    def tiles(
        self, places: Iterable[Place], side: int
    ) -> Iterator[tuple[Place, Tile, Optional[Tile]]]:
        """Each place with what holds its patch of ``side`` pixels and margin, and that of y."""


def count_along(side: int, patch: int, stride: int) -> int:
    """How many patches lie along a side on a grid of this stride."""
    return max(side - patch + stride, 0) // stride


@dataclasses.dataclass(frozen=True)
class Grid:
    """The tiles along a side: any patch, its margin mirrored at the ends, lies in one of them.

    Tile k serves the patches that begin at k * stride and before (k + 1) * stride; the last one
    serves all that follow and reaches to the end of the side. Everything is in pixels.
    """

    patch: int
    margin: int
    stride: int

    def count(self, length: int) -> int:
        return max(length - self.patch, 0) // self.stride + 1

    def span(self, length: int, tile: int) -> tuple[int, int]:
        """The first pixel of a tile and the one after its last."""
        first = max(tile * self.stride - self.margin, 0)
        if tile == self.count(length) - 1:
            return first, length
        return first, min((tile + 1) * self.stride + self.patch + self.margin, length)

    def spans(self, length: int) -> list[tuple[int, int]]:
        return [self.span(length, tile) for tile in range(self.count(length))]

    def total(self, height: int, width: int) -> int:
        """Pixels of all tiles of an image."""
        rows, columns = (
            sum(end - first for first, end in self.spans(side)) for side in (height, width)
        )
        return rows * columns

    def tile_of(self, length: int, start: int) -> int:
        """The tile that serves the patch which begins at ``start``."""
        return min(start // self.stride, self.count(length) - 1)

    def lower(self, scale: int) -> Grid:
        """The same tiles of the image that is ``scale`` times smaller, without a margin."""
        return Grid(self.patch // scale, 0, self.stride // scale)

    def largest(self) -> int:
        """The longest that a tile can be."""
        return self.stride + self.patch + 2 * self.margin
