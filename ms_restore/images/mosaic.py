"""Colour mosaics of raw pixels, and their packing into planes of a half or a third of the size.

A sensor measures one colour at each pixel, in a pattern that repeats every 2x2 pixels (Bayer) or
6x6 pixels (X-Trans). Packing turns each block of 2x2 or 3x3 pixels into one position with 4 or 9
channels. As an image may begin anywhere in the pattern's period, it is first extended so that the
pattern begins at its top left. Colours 0, 1, 2 are red, green and blue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal, NamedTuple

import cv2
import numpy as np

from ms_restore.errors import InputError

Kind = Literal["bayer", "xtrans"]
_LETTERS = "RGB"


class Site(NamedTuple):
    """A pixel of the pattern: where it is found in a mosaic, and where in the packed planes.

    With the pattern's period p and the side b of a block, the pixels ``[row::p, column::p]`` of the
    mosaic are ``[channel, block_row::p / b, block_column::p / b]`` of the planes.
    """

    channel: int
    colour: int
    row: int
    column: int
    block_row: int
    block_column: int


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """A kind of colour mosaic.

    Attributes:
        name: "Bayer" or "X-Trans".
        pattern: the colours of a period, row by row.
        block: side in pixels of the block that is packed into one position.
        order: for each packed channel, its colour, and which of the block's pixels of that colour
            it is, counted from 0 row by row.
    """

    name: str
    pattern: tuple[tuple[int, ...], ...]
    block: int
    order: tuple[tuple[int, int], ...]

    @property
    def period(self) -> int:
        """Rows and columns after which the pattern repeats."""
        return len(self.pattern)

    @property
    def channels(self) -> int:
        """Channels of the packed planes."""
        return self.block**2

    def sites(self) -> Iterator[Site]:
        """Yield the sites of a period, one for each channel of each block."""
        pattern, blocks = np.array(self.pattern), self.period // self.block
        for block_row, block_column in np.ndindex(blocks, blocks):
            top, left = block_row * self.block, block_column * self.block
            inside = pattern[top : top + self.block, left : left + self.block]
            for channel, (colour, which) in enumerate(self.order):
                row, column = np.argwhere(inside == colour)[which]
                yield Site(channel, colour, top + row, left + column, block_row, block_column)

    def pack(self, mosaic: np.ndarray) -> np.ndarray:
        """Return a mosaic (H, W) packed into planes (channels, H / block, W / block).

        H and W are multiples of the period.
        """
        height, width = (side // self.block for side in mosaic.shape)
        planes = np.empty((self.channels, height, width), mosaic.dtype)
        step, blocks = self.period, self.period // self.block
        for site in self.sites():
            cut = mosaic[site.row :: step, site.column :: step]
            planes[site.channel, site.block_row :: blocks, site.block_column :: blocks] = cut
        return planes

    def unpack(self, planes: np.ndarray) -> np.ndarray:
        """Return the mosaic (H, W) of packed planes; the inverse of ``pack``."""
        height, width = (side * self.block for side in planes.shape[1:])
        mosaic = np.empty((height, width), planes.dtype)
        step, blocks = self.period, self.period // self.block
        for site in self.sites():
            cut = planes[site.channel, site.block_row :: blocks, site.block_column :: blocks]
            mosaic[site.row :: step, site.column :: step] = cut
        return mosaic

    def demosaic(self, planes: np.ndarray) -> np.ndarray:
        """Return packed planes (channels, h, w) demosaiced to (H, W, 3) float32.

        Each colour of a pixel is a mean of the nearby pixels of that colour, with the weights of a
        tent as wide as the block; a measured value is averaged too.
        """
        height, width = (side * self.block for side in planes.shape[1:])
        missing = [(0, -side % (self.period // self.block)) for side in planes.shape[1:]]
        mosaic = self.unpack(np.pad(planes, ((0, 0), *missing), mode="edge"))
        tent = np.bartlett(2 * self.block + 1)[1:-1].astype(np.float32)
        rgb = np.empty((*mosaic.shape, 3), np.float32)
        colours = np.tile(self.pattern, [side // self.period for side in mosaic.shape])
        for colour in range(3):
            weights = (colours == colour).astype(np.float32)
            total, count = (
                cv2.sepFilter2D(plane, -1, tent, tent, borderType=cv2.BORDER_CONSTANT)
                for plane in (mosaic * weights, weights)
            )
            rgb[:, :, colour] = total / count
        return rgb[:height, :width]

    def offset(self, colours: np.ndarray) -> tuple[int, int]:
        """Return how many rows and columns to add before an image so that the pattern begins there.

        ``colours`` are those of the image's first pixels, at least a period. Raises InputError
        where they are of another pattern.
        """
        for found in self._offsets(colours):
            return found
        raise InputError(f"its colours {_spell(colours)} are not a pattern of {self.name}")

    def matches(self, colours: np.ndarray) -> bool:
        """Return whether the colours of an image's first pixels are of this pattern."""
        return any(True for _ in self._offsets(colours))

    def _offsets(self, colours: np.ndarray) -> Iterator[tuple[int, int]]:
        at = np.ix_(*(np.arange(side) % self.period for side in colours.shape))
        for rows, columns in np.ndindex(self.period, self.period):
            begun = np.roll(self.pattern, (-rows, -columns), axis=(0, 1))
            if (begun[at] == colours).all():
                yield rows, columns


BAYER = Mosaic("Bayer", ((0, 1), (1, 2)), 2, ((0, 0), (1, 0), (2, 0), (1, 1)))
X_TRANS = Mosaic(
    "X-Trans",
    (
        (0, 2, 1, 2, 0, 1),
        (1, 1, 0, 1, 1, 2),
        (1, 1, 2, 1, 1, 0),
        (2, 0, 1, 0, 2, 1),
        (1, 1, 2, 1, 1, 0),
        (1, 1, 0, 1, 1, 2),
    ),
    3,
    ((0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (1, 1), (1, 2), (1, 3), (1, 4)),
)
KINDS: dict[Kind, Mosaic] = {"bayer": BAYER, "xtrans": X_TRANS}


def _spell(colours: np.ndarray) -> str:
    """Return the colours as rows of letters, such as RG/GB."""
    rows = ["".join(_LETTERS[c] if c < len(_LETTERS) else "?" for c in row) for row in colours]
    return "/".join(rows)


class VisibleArea(NamedTuple):
    """Where an image lies in its extension, which begins with the pattern.

    Attributes:
        top: first row.
        left: first column.
        height: of the image in pixels.
        width: of the image in pixels.
    """

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, mosaic: Mosaic, colours: np.ndarray, height: int, width: int) -> VisibleArea:
        """Return the area of an image of this size whose first pixels have these colours.

        Raises InputError where they are of another pattern than the mosaic's.
        """
        return cls(*mosaic.offset(colours), height, width)

    def extend(self, pixels: np.ndarray, period: int) -> np.ndarray:
        """Return an image (H, W[, C]) extended to begin with the pattern and hold whole periods.

        The pixels added at the borders are copied from one period further inside, so that every
        pixel has the right colour.
        """
        rows = _indices(self.top, self.height, period)
        columns = _indices(self.left, self.width, period)
        if len(rows) == self.height and len(columns) == self.width:
            return pixels
        return pixels[rows[:, None], columns]

    def crop(self, pixels: np.ndarray) -> np.ndarray:
        """Return an image (H, W, C) without the pixels that ``extend`` added."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def _indices(before: int, length: int, period: int) -> np.ndarray:
    """Return the row (or column) of the image for each row of its extension."""
    total = -(-(before + length) // period) * period
    indices = np.arange(total) - before
    indices[indices < 0] += period
    indices[indices >= length] -= period
    return indices
