"""Mosaics of raw pixels, and how they are packed into planes at a half or a third of the size.

A sensor sees one colour at each pixel, in a pattern that repeats: Bayer's every 2x2 pixels,
X-Trans' every 6x6. Packing takes every block of 2x2 or 3x3 pixels to one position with 4 or 9
channels. A pattern may begin anywhere in its period, so mosaics are brought to one phase before.
Colours 0, 1, 2 are red, green and blue.
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
    """The pixels of one channel in some of the blocks: ``[row::step, column::step]`` of the mosaic,
    ``[channel, block_row::step / block, block_column::step / block]`` of the packed planes.
    """

    channel: int
    colour: int
    row: int
    column: int
    block_row: int
    block_column: int


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """A kind of pattern, in the phase in which it is packed.

    Attributes:
        pattern: the colours of a period.
        block: side of the block that becomes one position.
        order: for each channel, its colour and which of a block's in reading order it is.
    """

    name: str
    pattern: tuple[tuple[int, ...], ...]
    block: int
    order: tuple[tuple[int, int], ...]

    @property
    def period(self) -> int:
        return len(self.pattern)

    @property
    def channels(self) -> int:
        return self.block**2

    def sites(self) -> Iterator[Site]:
        """Every channel of every block in a period."""
        pattern, blocks = np.array(self.pattern), self.period // self.block
        for block_row, block_column in np.ndindex(blocks, blocks):
            top, left = block_row * self.block, block_column * self.block
            inside = pattern[top : top + self.block, left : left + self.block]
            for channel, (colour, which) in enumerate(self.order):
                row, column = np.argwhere(inside == colour)[which]
                yield Site(channel, colour, top + row, left + column, block_row, block_column)

    def pack(self, mosaic: np.ndarray) -> np.ndarray:
        """(H, W) to (channels, H / block, W / block); sides are multiples of the period."""
        height, width = (side // self.block for side in mosaic.shape)
        planes = np.empty((self.channels, height, width), mosaic.dtype)
        step, blocks = self.period, self.period // self.block
        for site in self.sites():
            cut = mosaic[site.row :: step, site.column :: step]
            planes[site.channel, site.block_row :: blocks, site.block_column :: blocks] = cut
        return planes

    def unpack(self, planes: np.ndarray) -> np.ndarray:
        """The inverse of ``pack``."""
        height, width = (side * self.block for side in planes.shape[1:])
        mosaic = np.empty((height, width), planes.dtype)
        step, blocks = self.period, self.period // self.block
        for site in self.sites():
            cut = planes[site.channel, site.block_row :: blocks, site.block_column :: blocks]
            mosaic[site.row :: step, site.column :: step] = cut
        return mosaic

    def demosaiced(self, planes: np.ndarray) -> np.ndarray:
        """(channels, h, w) to (H, W, 3) float32: each colour the mean of its pixels nearby.

        The mean is weighted by a tent as wide as the block; measured pixels count like others.
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
        """Rows and columns to put before a mosaic with these first colours to bring it in phase.

        ``colours`` holds a period at least, InputError where it is another pattern.
        """
        for found in self._offsets(colours):
            return found
        raise InputError(f"its colours {_spelt(colours)} are not a pattern of {self.name}")

    def matches(self, colours: np.ndarray) -> bool:
        """Whether these first colours are of this kind."""
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


def _spelt(colours: np.ndarray) -> str:
    """Rows of letters, such as RG/GB."""
    rows = ["".join(_LETTERS[c] if c < len(_LETTERS) else "?" for c in row) for row in colours]
    return "/".join(rows)


class Frame(NamedTuple):
    """Where a picture lies in one that was brought in phase: its first row and column, its size."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, mosaic: Mosaic, colours: np.ndarray, height: int, width: int) -> Frame:
        """Of a mosaic of this size with these first colours; InputError for another pattern."""
        return cls(*mosaic.offset(colours), height, width)

    def filled(self, pixels: np.ndarray, period: int) -> np.ndarray:
        """The picture (H, W[, C]), in phase and with sides that are multiples of the period.

        What is missing on the borders is repeated from one period further inside, so that every
        pixel keeps its colour.
        """
        rows = _indices(self.top, self.height, period)
        columns = _indices(self.left, self.width, period)
        if len(rows) == self.height and len(columns) == self.width:
            return pixels
        return pixels[rows[:, None], columns]

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """The picture (H, W, C) without what ``filled`` put around it."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def _indices(before: int, length: int, period: int) -> np.ndarray:
    total = -(-(before + length) // period) * period
    indices = np.arange(total) - before
    indices[indices < 0] += period
    indices[indices >= length] -= period
    return indices
