"""What a prepared folder is made of: images, cut into tiles or into training patches."""

from __future__ import annotations

import abc
import collections
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.data.images import read_picture, to_channels
from ms_restore.data.mindrecord import pairs
from ms_restore.data.mindrecord.pairs import Pair
from ms_restore.data.mindrecord.sets import PATCHES
from ms_restore.data.mindrecord.shards import Entry, Loaded, Record
from ms_restore.data.mindrecord.tiles import Grid, count_along
from ms_restore.data.sources import rescaled_size
from ms_restore.degradations import kspace
from ms_restore.degradations.bicubic import imresize
from ms_restore.errors import InputError
from ms_restore.files import sha256

_AT_ONCE = 1024  # patches handed to MindSpore's writer, which is slow with few


class Inputs(abc.ABC):
    """The pieces of which a prepared folder is made, in order: images, or blocks of patches.

    Attributes:
        source: what they come from.
        columns: of the records.
        largest: bytes that a record can have.
        problems: what is wrong, as far as it is known at once; a line for each kind.
        settings: for the manifest; two runs must agree in them.
        unit: what is counted.
        at_once: so many pieces are held in memory, where they are large.
    """

    source: Path
    columns: Sequence[str]
    largest: int
    problems: Sequence[str]
    settings: Entry
    unit: str
    at_once: Optional[int] = None

    def first(self, limit: int) -> int:
        """How many pieces a trial with so many images takes."""
        return min(limit, len(self))

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def identify(self, index: int) -> Entry:
        """The names and hashes of a piece's files."""

    @abc.abstractmethod
    def load(self, index: int) -> Loaded:
        """Read a piece; an entry with a ``reason`` where it cannot be used."""


class _Folder(Inputs):
    """Images of a folder, each with its low-resolution partner where given."""

    unit = "images"

    def __init__(self, source: Path, low: Optional[Path], scale: int, smallest: int) -> None:
        self.source = source
        self.columns = ("x", "y") if low else ("x",)
        self._scale = scale
        self._smallest = smallest
        self._found, self.problems = pairs.find(source, low, scale, smallest)

    def __len__(self) -> int:
        return len(self._found)

    def identify(self, index: int) -> Entry:
        pair = self._found[index]
        entry: Entry = {"name": pair.x.name, "sha256": sha256(pair.x)}
        if pair.y:
            entry["low_resolution"] = {"name": pair.y.name, "sha256": sha256(pair.y)}
        return entry

    def load(self, index: int) -> Loaded:
        pair, entry = self._found[index], self.identify(index)
        try:
            x, y = self._decode(pair)
            return self._cut(entry, x, y)
        except InputError as error:
            reason = str(error).replace(f"{pair.x}: ", "")
            partner = f"its partner {pair.y.name}: " if pair.y else ""
            entry["reason"] = reason.replace(f"{pair.y}: ", partner)
            return Loaded(entry)

    def _decode(self, pair: Pair) -> tuple[np.ndarray, Optional[np.ndarray]]:
        if pair.problem:
            raise InputError(pair.problem)
        x = read_picture(pair.x).pixels
        y = read_picture(pair.y).pixels if pair.y else None
        low_size = None if y is None else _size(y)
        problem = pairs.unfit(_size(x), low_size, self._scale, self._smallest)
        if problem:
            raise InputError(problem)
        return x, y

    @abc.abstractmethod
    def _cut(self, entry: Entry, x: np.ndarray, y: Optional[np.ndarray]) -> Loaded:
        """The records of an image; InputError where it cannot be used."""


class ImageTiles(_Folder):
    """Images as overlapping tiles, x and where there are partners y; see ``records``."""

    def __init__(
        self, source: Path, low: Optional[Path], scale: int, smallest: int, grid: Grid
    ) -> None:
        super().__init__(source, low, scale, smallest)
        self._grid = grid
        self.largest = largest_tile(grid)
        self.settings = tile_settings(grid, scale, low is not None)

    def _cut(self, entry: Entry, x: np.ndarray, y: Optional[np.ndarray]) -> Loaded:
        loaded = tiled(entry, x, self._grid)
        if y is None:
            return loaded
        low = tiled(entry["low_resolution"], y, self._grid.lower(self._scale))
        loaded.pixel_bytes += low.pixel_bytes
        loaded.record_bytes += low.record_bytes
        loaded.records = _paired(loaded.records, low.records)
        return loaded


class ImagePatches(_Folder):
    """Every patch on a grid of each image, at each of the scales: one channel count, one dtype.

    The patches of an image lie in one shard, ordered by scale, row, column.
    """

    def __init__(
        self, source: Path, channels: int, patch_size: int, stride: int, scales: Sequence[float]
    ) -> None:
        super().__init__(source, None, 1, patch_size)
        self._channels = channels
        self._patch_size = patch_size
        self._stride = stride
        self._scales = scales
        self._dtype = self._first_dtype()
        self.largest = patch_size**2 * channels * self._dtype.itemsize
        self.settings = patch_settings(patch_size, channels, self._dtype, stride, scales)

    def _first_dtype(self) -> np.dtype:
        for pair in self._found:
            try:
                return self._decode(pair)[0].dtype
            except InputError:  # said when its turn comes
                continue
        return np.dtype(np.uint8)

    def _cut(self, entry: Entry, x: np.ndarray, y: Optional[np.ndarray]) -> Loaded:
        if x.dtype != self._dtype:
            bits, first = 8 * x.itemsize, 8 * self._dtype.itemsize
            raise InputError(
                f"{bits} bit, but the first image has {first}; patches are all of one depth"
            )
        sizes = [rescaled_size(_size(x), scale) for scale in self._scales]
        count = sum(np.prod([self._count(side) for side in size]) for size in sizes)
        entry["patches"] = int(count)
        x = to_channels(x, self._channels)
        return Loaded(entry, x.nbytes, entry["patches"] * self.largest, self._patches(x, sizes))

    def _count(self, side: int) -> int:
        return count_along(side, self._patch_size, self._stride)

    def _patches(self, x: np.ndarray, sizes: list[tuple[int, int]]) -> Iterator[list[Record]]:
        ready: list[Record] = []
        side, stride = self._patch_size, self._stride
        for size in sizes:
            if min(size) < side:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(
                imresize(x, *size), (side, side, self._channels)
            )
            for row in windows[::stride, ::stride, 0]:
                ready += [{"x": patch.tobytes()} for patch in row]
                if len(ready) >= _AT_ONCE:
                    yield ready
                    ready = []
        if ready:
            yield ready


def tile_settings(grid: Grid, scale: int, low_resolution: bool) -> Entry:
    return {
        "scale": scale,
        "patch_size": grid.patch,
        "margin": grid.margin,
        "stride": grid.stride,
        "low_resolution": low_resolution,
    }


def patch_settings(
    patch_size: int,
    channels: int,
    dtype: np.dtype,
    stride: Optional[int] = None,
    scales: Optional[Sequence[float]] = None,
) -> Entry:
    """``stride`` and ``scales`` are None where the patches were cut by someone else."""
    return {
        "layout": PATCHES,
        "patch_size": patch_size,
        "stride": stride,
        "scales": None if scales is None else list(scales),
        "channels": channels,
        "dtype": str(dtype),
    }


def largest_tile(grid: Grid) -> int:
    """Bytes of a record: RGB of 16 bit, x and y."""
    return 2 * 6 * grid.largest() ** 2


def tiled(entry: Entry, pixels: np.ndarray, grid: Grid) -> Loaded:
    """An image, noted in ``entry``, as records of its tiles, a row of them at a time."""
    height, width, channels = pixels.shape
    entry.update(height=height, width=width, channels=channels, dtype=str(pixels.dtype))
    record_bytes = grid.total(height, width) * channels * pixels.itemsize
    return Loaded(entry, pixels.nbytes, record_bytes, _tiles(pixels, grid))


def slice_record(pixels: np.ndarray) -> Record:
    """A slice of MRI (side, side, 1), which is one tile, and its spectrum."""
    return {"x": pixels.tobytes(), "spectrum": kspace.stored(pixels).tobytes()}


def record_bytes(record: Record) -> int:
    return sum(map(len, record.values()))


def _tiles(pixels: np.ndarray, grid: Grid) -> Iterator[list[Record]]:
    for top, bottom in grid.spans(pixels.shape[0]):
        yield [
            {"x": pixels[top:bottom, left:right].tobytes()}
            for left, right in grid.spans(pixels.shape[1])
        ]


def _paired(xs: Any, ys: Any) -> Iterator[list[Record]]:
    for x_row, y_row in zip(xs, ys):
        yield [{"x": x["x"], "y": y["x"]} for x, y in zip(x_row, y_row)]


def _size(pixels: np.ndarray) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    return height, width


def in_order(
    pool: ThreadPoolExecutor, inputs: Inputs, numbers: range, ahead: int
) -> Iterator[Loaded]:
    """These pieces, at most ``ahead`` of them loaded before they are asked for."""
    waiting: collections.deque[Future[Loaded]] = collections.deque()
    for number in numbers:
        if len(waiting) == ahead:
            yield waiting.popleft().result()
        waiting.append(pool.submit(inputs.load, number))
    while waiting:
        yield waiting.popleft().result()
