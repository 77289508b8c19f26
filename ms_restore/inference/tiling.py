"""Large images in tiles: the same result as in one piece, in bounded memory.

An output pixel depends on the input within the network's receptive radius only. So each tile is
computed with that much context (or up to the image's own border), and only what has it is kept.
All windows of an image have one size, so an engine of fixed shape serves too.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple, Optional, Protocol

import psutil

from ms_restore.contracts import Geometry, Size
from ms_restore.errors import InputError
from ms_restore.report.terminal import say

_BYTES = 640 << 20  # of float32 that the engine may hold for one window
_WHOLE = 2 << 30  # the same for a picture in one piece, where the machine has eight times that
_HOST_COPIES = 8  # of a window's output, between the engine and the picture
_WORTH_SAYING = 1 << 28  # bytes from which a whole picture's need of memory is said
_LEAST_CORE = 64  # below this, most of a window would be context
_MOST_PARTS = 300  # that a side is cut into


class Span(NamedTuple):
    """Along one side: the window [start, stop), of which [first, last) is kept."""

    start: int
    stop: int
    first: int
    last: int


Window = tuple[Span, Span]  # rows and columns


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

    def cut(self, height: int, width: int) -> list[Window]:
        """Return the windows of a picture, both its sides multiples."""
        return _grid((height, width), self.window(height, width), self._radius, self._multiple)

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


class Windows(Protocol):
    """How a padded picture is cut into windows."""

    def cut(self, height: int, width: int) -> list[Window]:
        """Return the windows of a picture of these sides, both multiples of what is needed."""
        ...


def windows_of(
    geometry: Geometry, model: str, shape: Optional[Size], tile: Optional[int]
) -> Windows:
    """Return how pictures are cut for a network.

    Raises InputError for a tile that cannot serve.

    Args:
        geometry: of the network.
        model: its name, for messages.
        shape: the only (height, width) that its engine takes; None: any.
        tile: side of a window; None: as memory allows; 0: always the whole picture.
    """
    radius, multiple = geometry.receptive_radius, geometry.size_multiple
    if radius is None:
        return _WholePicture(geometry, model, shape, tile)
    if shape is not None:
        return _ExactWindows(radius, multiple, model, shape)
    if tile is None:
        floats = geometry.floats_per_pixel + _HOST_COPIES * geometry.output_channels * (
            geometry.scale**2
        )
        return Budget(radius, floats, multiple)
    least = 2 * radius + multiple  # a window keeps something, aligned as it is
    if tile and (tile < least or tile % multiple):
        raise InputError(
            f"tile {tile}: {model} needs {radius} pixels of context on each side, "
            f"so at least {least}, and a multiple of {multiple}; use 0 for no tiles"
        )
    return _SquareWindows(radius, multiple, tile)


class _SquareWindows:
    """Squares of one side; 0: the whole picture."""

    def __init__(self, radius: int, multiple: int, side: int) -> None:
        self._radius, self._multiple, self._side = radius, multiple, side

    def cut(self, height: int, width: int) -> list[Window]:
        side = self._side or max(height, width)
        return _grid((height, width), (side, side), self._radius, self._multiple)


class _ExactWindows:
    """Windows of the one size that an exported file takes."""

    def __init__(self, radius: int, multiple: int, model: str, shape: Size) -> None:
        self._radius, self._multiple, self._model, self._shape = radius, multiple, model, shape

    def cut(self, height: int, width: int) -> list[Window]:
        rows, columns = self._shape
        padded = (max(height, rows), max(width, columns))
        least = 2 * self._radius + self._multiple
        if any(p > w and w < least for p, w in zip(padded, self._shape)):
            raise InputError(
                f"{self._model} was exported for {rows}x{columns} pixels (height x width), too "
                f"small to put an image of {padded[0]}x{padded[1]} together of such tiles; export "
                f"it for sides from {least} up, or for any size"
            )
        return _grid(padded, self._shape, self._radius, self._multiple)


class _WholePicture:
    """One window, for networks of which each output pixel depends on the whole picture."""

    def __init__(
        self, geometry: Geometry, model: str, shape: Optional[Size], tile: Optional[int]
    ) -> None:
        if tile:
            raise InputError(
                f"tile {tile}: {model} sees the whole picture (its network names no "
                "receptive_radius), so tiles would change the result; leave --tile out"
            )
        self._floats = geometry.floats_per_pixel
        self._model, self._shape = model, shape
        self._forced = tile == 0
        self._said = 0

    def cut(self, height: int, width: int) -> list[Window]:
        if self._shape not in (None, (height, width)):
            rows, columns = self._shape or (0, 0)
            raise InputError(
                f"{self._model} sees the whole picture and was exported for {rows}x{columns} "
                f"pixels (height x width) alone, this image is {height}x{width}; export it for any "
                "size"
            )
        need = 4 * self._floats * height * width
        free = psutil.virtual_memory().available
        if need > free and not self._forced:
            raise InputError(
                f"{self._model} sees the whole picture, which is computed in one piece: "
                f"{width}x{height} pixels need about {need / 1e9:.1f} GB of memory, "
                f"{free / 1e9:.1f} GB are free; make the picture smaller, or try all the same with "
                "--tile 0"
            )
        if need > max(self._said, _WORTH_SAYING):
            self._said = need
            say(
                f"{self._model} sees the whole picture: {width}x{height} pixels in one piece need "
                f"about {need / 1e9:.1f} GB of memory"
            )
        return [(Span(0, height, 0, height), Span(0, width, 0, width))]


def _grid(size: Size, window: Size, radius: int, multiple: int) -> list[Window]:
    rows, columns = (spans(s, w, radius, multiple) for s, w in zip(size, window))
    return list(itertools.product(rows, columns))


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
