"""Tiling: large images are computed in windows, with the same result as in one piece.

An output pixel depends only on the input within the network's receptive radius. So each window
includes that much context, except at the image's borders, and only the pixels that have their
whole context are kept. All windows of an image have the same size, as an engine with a fixed input
size needs it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from numbers import Integral
from typing import NamedTuple, Optional, Protocol, Union

from ms_restore.contracts import EngineMemory, Geometry, Size
from ms_restore.errors import InputError
from ms_restore.report.terminal import say

_BYTES = 640 << 20  # memory that the engine may use for one window
_WHOLE = 3 << 30  # the same for a picture in one piece, but at most an eighth of the machine's
_HOST_COPIES = 8  # copies of a window's output between the engine and the picture
_WORTH_SAYING = 1 << 28  # bytes from which the memory for a whole picture is announced
_WORTH = 1.5  # windows of twice the memory are taken where they compute less by this factor
_WORK = 3  # times the picture's pixels that windows compute, from which a way out is told
_LEAST_CORE = 64  # pixels kept of a window along a side; with fewer, most of it would be context
_ANY_ENGINE = EngineMemory()
_MOST_PARTS = 300  # windows along a side


class Span(NamedTuple):
    """A window [start, stop) along one side, of which [first, last) is kept, in pixels."""

    start: int
    stop: int
    first: int
    last: int


Window = tuple[Span, Span]  # rows and columns


class Tile(NamedTuple):
    """What a user asks of the windows.

    Args:
        side: of a square window in input pixels; 0 is one piece, None is as memory allows.
        context: pixels around what is kept of a window; None is as many as the network sees. With
            fewer the result is not quite that of one piece.
    """

    side: Optional[int] = None
    context: Optional[int] = None

    @classmethod
    def of(cls, tile: TileLike) -> Tile:
        """Return a tile of a side, or of a side and a context; raise InputError of other kinds."""
        parts = tile if isinstance(tile, tuple) else (tile, None)
        numbers = [part for part in parts if part is not None]
        whole = all(isinstance(part, Integral) and 0 <= part < 1 << 31 for part in numbers)
        if len(parts) != 2 or not whole:
            raise InputError(
                f"tile {tile!r}: expected a number of pixels (0: one piece), None, or a tuple of "
                "that and the pixels of context"
            )
        return cls(*parts)


TileLike = Union[int, tuple[Optional[int], Optional[int]], None]
"""A tile's side, or its side and context, see Tile."""


class MemoryBudget:
    """Windows as large as a limit on the engine's memory allows.

    A window takes 640 MiB, or twice or four times that, up to ``whole``, where the larger one
    computes less by a third, since less of it is context; and up to half of the memory that is
    free, where else windows would compute more than three times the picture.

    Args:
        radius: receptive radius of the network in input pixels.
        floats_per_pixel: float32 numbers in memory for each input pixel.
        multiple: sides of windows must be multiples of this.
        whole: bytes that a picture in one piece may need, but at most an eighth of the machine's.
        model: name of the network, for messages.
        host: numbers for each input pixel outside the engine.
        memory: of the engine, of which what it needs in bands is taken.
        by_parts: in bands the engine reads and writes pictures itself, without what ``host`` says.
    """

    def __init__(
        self,
        radius: int,
        floats_per_pixel: int,
        multiple: int = 1,
        whole: int = _WHOLE,
        model: str = "the network",
        host: int = 0,
        memory: EngineMemory = _ANY_ENGINE,
        by_parts: bool = False,
    ) -> None:
        self._radius, self._multiple = radius, multiple
        self._floats, self._whole = floats_per_pixel, whole
        self._host, self._memory, self._by_parts = host, memory, by_parts
        self._model = model
        self._said = False

    def _need(self, height: int, width: int) -> int:
        """Return the bytes that a window needs."""
        pixels = height * width
        if self._memory.in_bands(height, width):
            host = 0 if self._by_parts else self._host * pixels
            columns = min(width, self._memory.columns)
            return 4 * (host + self._memory.floats_per_column * columns)
        return 4 * (self._host + self._floats) * pixels

    def cut(self, height: int, width: int) -> list[Window]:
        """Return the windows of a picture whose sides are multiples.

        Raises InputError where one of them needs more memory than is free.
        """
        window = self.window(height, width)
        windows = _grid((height, width), window, self._radius, self._multiple)
        need = self._need(*window)
        work = len(windows) * window[0] * window[1] / (height * width)
        if need > _BYTES and (need > self._whole or work > _WORK):
            self._tell(window, need, work)
        return windows

    def _tell(self, window: Size, need: int, work: float) -> None:
        """Say what windows with that much context take, and how to do with less."""
        import psutil

        free = psutil.virtual_memory().available
        told = (
            f"{self._model}: windows of {window[1]}x{window[0]} pixels, with {self._radius} of "
            f"context on each side, need about {need / 1e9:.1f} GB of memory"
        )
        less = min(32, self._radius // 2)
        way_out = (
            f"--tile auto:{less} takes {less} of context, so that windows may show their edges"
        )
        if need > max(free, self._whole):
            raise InputError(f"{told}, {free / 1e9:.1f} GB are free; {way_out}")
        if not self._said:
            self._said = True
            say(f"{told} and compute {work:.1f} times the picture's pixels; {way_out}")

    def window(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the windows of a picture whose sides are multiples.

        It is that of the picture where that fits into memory, or else the size that fits and
        computes the fewest pixels; where none fits, one that half of the machine's memory may hold.
        """
        need = self._need(height, width)
        if need <= min(self._whole, _BYTES):
            return height, width
        import psutil  # not for small pictures

        memory = psutil.virtual_memory()
        limit = roomy = min(self._whole, memory.total // 8)
        if need <= limit:
            return height, width
        if self._whole > _BYTES:
            roomy = max(limit, round(memory.available / 2 / self._memory.factor))

        def most(work: float) -> int:
            if math.isinf(work):
                return memory.total // 2
            return roomy if work > _WORK * height * width else limit

        sides = list(itertools.product(self._sides(height), self._sides(width)))
        chosen, budget = self._within(_BYTES, sides), 2 * _BYTES
        while budget <= most(chosen[0]):
            larger = self._within(budget, sides)
            if larger[0] * _WORTH < chosen[0]:
                chosen = larger
            budget *= 2
        if math.isinf(chosen[0]):
            least = _round_up(2 * self._radius + _LEAST_CORE, self._multiple)
            return min(height, least), min(width, least)
        return chosen[1:]

    def _within(
        self, budget: int, sides: list[tuple[tuple[int, int], tuple[int, int]]]
    ) -> tuple[float, int, int]:
        """Return the work and sides of the windows that compute least within ``budget`` bytes."""
        return min(
            (
                (float(row_work * column_work), rows, columns)
                for (rows, row_work), (columns, column_work) in sides
                if self._need(rows, columns) <= budget
            ),
            default=(math.inf, 0, 0),
        )

    def _sides(self, length: int) -> list[tuple[int, int]]:
        """Return lengths of windows for one, two, ... windows along a side, with their sums."""
        sides = [length]
        for parts in range(2, _MOST_PARTS):
            context = 2 * self._radius * (parts - 1)
            side = _round_up(-(-(length + context) // parts), self._multiple)
            while len(spans(length, side, self._radius, self._multiple)) > parts:
                side += self._multiple  # as windows begin at multiples, they overlap more
            if side < 2 * self._radius + _LEAST_CORE:
                break
            sides.append(side)
        return [(s, s * len(spans(length, s, self._radius, self._multiple))) for s in sides]


class Windows(Protocol):
    """A way to cut a picture into windows."""

    def cut(self, height: int, width: int) -> list[Window]:
        """Return the windows of a picture whose sides are multiples of what the network needs."""
        ...


def choose_windows(
    geometry: Geometry,
    model: str,
    shape: Optional[Size],
    tile: Tile,
    watched: bool = False,
    memory: EngineMemory = _ANY_ENGINE,
    by_parts: bool = False,
) -> Windows:
    """Return the way to cut pictures into windows for a network and its engine.

    Args:
        geometry: of the network.
        model: its name, for messages.
        shape: the only (height, width) that the engine takes; None if it takes any.
        tile: what the user asks for.
        watched: a picture in one piece takes no more memory, and so time, than a window.
        memory: of the engine. Windows do not become smaller by its factor, as more context would
            cost more time than such an engine saves; what a whole picture needs is told with it.
        by_parts: in bands it reads and writes pictures itself, without float32 copies.

    Raises:
        InputError: the tile is too small or no suitable multiple.
    """
    side, context = tile
    radius, multiple = geometry.receptive_radius, geometry.size_multiple
    if context is not None and side != 0 and (radius is None or context < radius):
        less = dataclasses.replace(geometry, receptive_radius=context)
        windows = choose_windows(less, model, shape, Tile(side), watched, memory, by_parts)
        return _LessContext(windows, context, model, radius)
    if radius is None:
        needed = math.ceil(geometry.floats_per_pixel * memory.factor)
        whole = dataclasses.replace(geometry, floats_per_pixel=needed)
        return _WholePicture(whole, model, shape, side)
    if shape is not None:
        return _ExactWindows(radius, multiple, model, shape)
    if side is None:
        floats, limit = geometry.floats_per_pixel, _BYTES if watched else _WHOLE
        host = _HOST_COPIES * geometry.output_channels * geometry.scale**2
        return MemoryBudget(radius, floats, multiple, limit, model, host, memory, by_parts)
    least = _round_up(2 * radius + multiple, multiple)  # it keeps at least one multiple of pixels
    if side and (side < least or side % multiple):
        raise InputError(
            f"tile {side}: with {radius} pixels of context on each side {model} takes tiles of at "
            f"least {least} pixels, and a multiple of {multiple}; use 0 for no tiles"
        )
    return _SquareWindows(radius, multiple, side)


class _LessContext:
    """Windows with less context than the network sees, of which a line says so where they meet.

    Args:
        windows: cut pictures.
        context: pixels of it.
        model: name of the network, for messages.
        radius: its receptive radius; None: it sees the whole picture.
    """

    def __init__(self, windows: Windows, context: int, model: str, radius: Optional[int]) -> None:
        self._windows = windows
        sees = "the whole picture" if radius is None else f"{radius} pixels far"
        self._note = (
            f"windows with {context} pixels of context, while {model} sees {sees}: the result "
            "differs from that of one piece, most where windows meet"
        )
        self._said = False

    def cut(self, height: int, width: int) -> list[Window]:
        windows = self._windows.cut(height, width)
        if len(windows) > 1 and not self._said:
            self._said = True
            say(self._note)
        return windows


class _SquareWindows:
    """Square windows; a side of 0 is the whole picture."""

    def __init__(self, radius: int, multiple: int, side: int) -> None:
        self._radius, self._multiple, self._side = radius, multiple, side

    def cut(self, height: int, width: int) -> list[Window]:
        side = self._side or max(height, width)
        return _grid((height, width), (side, side), self._radius, self._multiple)


class _ExactWindows:
    """Windows of the only size that an exported file takes."""

    def __init__(self, radius: int, multiple: int, model: str, shape: Size) -> None:
        self._radius, self._multiple, self._model, self._shape = radius, multiple, model, shape

    def cut(self, height: int, width: int) -> list[Window]:
        rows, columns = self._shape
        padded = (max(height, rows), max(width, columns))
        least = 2 * self._radius + self._multiple
        if any(p > w and w < least for p, w in zip(padded, self._shape)):
            raise InputError(
                f"{self._model} was exported for {rows}x{columns} pixels (height x width), too "
                f"small for the tiles of an image of {padded[0]}x{padded[1]}; export "
                f"it for sides from {least} up, or for any size, or take less context, as by "
                "--tile auto:8"
            )
        return _grid(padded, self._shape, self._radius, self._multiple)


class _WholePicture:
    """A single window, for networks whose output pixels depend on the whole picture."""

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
                f"pixels (height x width) only, this image is {height}x{width}; export it for any "
                "size"
            )
        import psutil  # not for networks of other kinds

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
    """Return windows that cover a side, in which every kept pixel has its whole context.

    Args:
        length: of the side in pixels, a multiple of ``multiple``.
        window: length of a window, a multiple of ``multiple``.
        radius: pixels of context; beyond the ends of the side none is needed.
        multiple: windows begin at multiples of this.
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
