"""Large images in tiles: the same result as in one piece, in bounded memory.

An output pixel depends on the input within the network's receptive radius only. So each tile is
computed with that much context (or up to the image's own border), and only what has it is kept.
All windows of an image have one size, so an engine of fixed shape serves too.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import psutil

_BYTES = 640 << 20  # of float32 that the engine may hold for one window
_WHOLE = 2 << 30  # the same for a picture in one piece, where the machine has eight times that
_LEAST_CORE = 64  # below this, most of a window would be context
_MOST_PARTS = 300  # that a side is cut into


class Span(NamedTuple):
    """Along one side: the window [start, stop), of which [first, last) is kept."""

    start: int
    stop: int
    first: int
    last: int


class Budget:
    """How large a window may be, by the memory that the network needs for it.

    Args:
        radius: how far an output pixel depends on the input, in input pixels.
        floats_per_pixel: float32 numbers that are held for each input pixel.
        multiple: what the sides must be multiples of.
    """

    def __init__(self, radius: int, floats_per_pixel: int, multiple: int = 1) -> None:
        self._radius, self._multiple = radius, multiple
        self._floats = floats_per_pixel

    def window(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the windows for a picture, both its sides multiples.

        The picture itself where it fits; else, of the windows that do, those that compute least.
        """
        whole = min(_WHOLE, psutil.virtual_memory().total // 8)
        if height * width * self._floats * 4 <= whole:
            return height, width
        area = _BYTES // 4 // self._floats
        fitting = (
            (row_work * column_work, rows, columns)
            for (rows, row_work), (columns, column_work) in itertools.product(
                self._sides(height), self._sides(width)
            )
            if rows * columns <= area
        )
        least = _round_up(2 * self._radius + _LEAST_CORE, self._multiple)
        _, rows, columns = min(fitting, default=(0, min(height, least), min(width, least)))
        return rows, columns

    def _sides(self, length: int) -> list[tuple[int, int]]:
        """Of windows that cut a side into one, two, ... parts, and of all of them together."""
        sides = [length]
        for parts in range(2, _MOST_PARTS):
            context = 2 * self._radius * (parts - 1)
            side = _round_up(-(-(length + context) // parts), self._multiple)
            while len(spans(length, side, self._radius, self._multiple)) > parts:
                side += self._multiple  # windows begin at multiples, which costs some
            if side < 2 * self._radius + _LEAST_CORE:
                break
            sides.append(side)
        return [(s, s * len(spans(length, s, self._radius, self._multiple))) for s in sides]


def _round_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def spans(length: int, window: int, radius: int, multiple: int = 1) -> list[Span]:
    """Windows that cover a side of ``length``; every kept pixel has its context or the border.

    They begin at multiples of ``multiple``, of which ``length`` and ``window`` are multiples too.
    """
    if length <= window:
        return [Span(0, length, 0, length)]
    result, done = [], 0
    while done < length:
        start = max(0, min((done - radius) // multiple * multiple, length - window))
        stop = start + window
        last = length if stop == length else stop - radius
        result.append(Span(start, stop, done, last))
        done = last
    return result
