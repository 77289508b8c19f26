"""How images are cut into overlapping tiles, so that any patch lies in one of them."""

from __future__ import annotations

import dataclasses


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
