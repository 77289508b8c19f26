"""Large images in tiles: the same result as in one piece, in bounded memory.

An output pixel depends on the input within the network's receptive radius only. So each tile is
computed with that much context (or up to the image's own border), and only what has it is kept.
All windows of an image have one size, so an engine of fixed shape serves too.
"""

from __future__ import annotations

from typing import NamedTuple

_BYTES = 320 << 20  # of float32 that the engine may hold for one window
_LEAST_CORE = 64  # below this, most of a window would be context


class Span(NamedTuple):
    """Along one side: the window [start, stop), of which [first, last) is kept."""

    start: int
    stop: int
    first: int
    last: int


def automatic_window(radius: int, floats_per_pixel: int, multiple: int = 1) -> int:
    """Side of the square window that fits the memory bound, in input pixels."""
    side = int((_BYTES / 4 / floats_per_pixel) ** 0.5)
    side = max(side, 2 * radius + _LEAST_CORE)
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
