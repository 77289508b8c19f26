"""Image files as a source of prepared sets, cut into tiles or into training patches."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.data.image_source import count_along
from ms_restore.data.prepared.tiles import Grid
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.images.arrays import to_channels
from ms_restore.images.reading import read_picture
from ms_restore.images.resize import imresize, rescaled_size
from ms_restore.preparation import image_pairs
from ms_restore.preparation.contents import (
    Inputs,
    largest_tile,
    patch_settings,
    tile_settings,
    tiled,
)
from ms_restore.preparation.image_pairs import Pair
from ms_restore.preparation.shard_writer import Entry, Loaded, Record

_AT_ONCE = 1024  # patches handed to MindSpore's writer, which is slow with few


class _Folder(Inputs):
    """Images of a folder, each with its low-resolution partner where given."""

    unit = "images"

    def __init__(self, source: Path, low: Optional[Path], scale: int, smallest: int) -> None:
        self.source = source
        self.columns = ("x", "y") if low else ("x",)
        self._scale = scale
        self._smallest = smallest
        self._found, self.problems = image_pairs.find(source, low, scale, smallest)

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
        problem = image_pairs.unfit(_size(x), low_size, self._scale, self._smallest)
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


def _paired(xs: Any, ys: Any) -> Iterator[list[Record]]:
    for x_row, y_row in zip(xs, ys):
        yield [{"x": x["x"], "y": y["x"]} for x, y in zip(x_row, y_row)]


def _size(pixels: np.ndarray) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    return height, width
