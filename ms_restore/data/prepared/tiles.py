"""Division of images into overlapping tiles, so that any patch lies within one tile."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class TileGrid:
    """How the sides of an image are divided into tiles, each of which holds whole patches.

    Tile k holds the patches that begin at or after k * stride and before (k + 1) * stride, with
    their margin; the last tile holds all that follow and reaches to the end of the side.

    Attributes:
        patch: side of the largest patch in pixels.
        margin: pixels around a patch.
        stride: pixels from the patches of one tile to those of the next.
    """

    patch: int
    margin: int
    stride: int

    def count(self, length: int) -> int:
        """Return the number of tiles along a side of ``length`` pixels."""
        return max(length - self.patch, 0) // self.stride + 1

    def span(self, length: int, tile: int) -> tuple[int, int]:
        """Return the first pixel of a tile along a side, and the one after its last."""
        first = max(tile * self.stride - self.margin, 0)
        if tile == self.count(length) - 1:
            return first, length
        return first, min((tile + 1) * self.stride + self.patch + self.margin, length)

    def spans(self, length: int) -> list[tuple[int, int]]:
        """Return the ``span`` of every tile along a side of ``length`` pixels."""
        return [self.span(length, tile) for tile in range(self.count(length))]

    def total(self, height: int, width: int) -> int:
        """Return the number of pixels in all tiles of an image, counting overlaps repeatedly."""
        rows, columns = (
            sum(end - first for first, end in self.spans(side)) for side in (height, width)
        )
        return rows * columns

    def tile_of(self, length: int, start: int) -> int:
        """Return the number of the tile that holds the patch which begins at pixel ``start``."""
        return min(start // self.stride, self.count(length) - 1)

    def downscaled(self, scale: int) -> TileGrid:
        """Return the grid of the same tiles in an image ``scale`` times smaller, without margin."""
        return TileGrid(self.patch // scale, 0, self.stride // scale)

    def largest_side(self) -> int:
        """Return the largest side in pixels that a tile can have."""
        return self.stride + self.patch + 2 * self.margin
