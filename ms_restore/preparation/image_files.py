"""Image files as a source of prepared sets, cut into tiles or into training patches."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.data.image_source import patches_along
from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.images.arrays import to_channels
from ms_restore.images.reading import read_picture
from ms_restore.images.resize import imresize, rescaled_size
from ms_restore.preparation import image_pairs
from ms_restore.preparation.image_pairs import Pair
from ms_restore.preparation.pieces import (
    PieceSource,
    largest_tile_bytes,
    patch_settings,
    tile_image,
    tile_settings,
)
from ms_restore.preparation.shard_writer import LoadedPiece, ManifestEntry, Record
from ms_restore.report.terminal import say

_AT_ONCE = 1024  # patches for each call of MindSpore's writer, which is slow with few


class _Folder(PieceSource):
    """The images of a folder, each with its low-resolution partner if there is a folder of them."""

    unit = "images"

    def __init__(self, source: Path, low: Optional[Path], scale: int, smallest: int) -> None:
        self.source = source
        self.columns = ("x", "y") if low else ("x",)
        self._scale = scale
        self._smallest = smallest
        self._found, self.problems = image_pairs.find(source, low, scale, smallest)

    def __len__(self) -> int:
        return len(self._found)

    def identify(self, index: int) -> ManifestEntry:
        """Return the manifest entry of an image: its file's name and hash, and its partner's."""
        pair = self._found[index]
        entry: ManifestEntry = {"name": pair.x.name, "sha256": sha256(pair.x)}
        if pair.y:
            entry["low_resolution"] = {"name": pair.y.name, "sha256": sha256(pair.y)}
        return entry

    def load(self, index: int) -> LoadedPiece:
        """Read an image; where it cannot be used, its entry has a ``reason``."""
        pair, entry = self._found[index], self.identify(index)
        try:
            x, y = self._decode(pair)
            return self._cut(entry, x, y)
        except InputError as error:
            reason = str(error).replace(f"{pair.x}: ", "")
            partner = f"its partner {pair.y.name}: " if pair.y else ""
            entry["reason"] = reason.replace(f"{pair.y}: ", partner)
            return LoadedPiece(entry)

    def _decode(self, pair: Pair) -> tuple[np.ndarray, Optional[np.ndarray]]:
        if pair.problem:
            raise InputError(pair.problem)
        picture = read_picture(pair.x)
        if picture.other_frames:
            say(f"note: {pair.x} holds {picture.other_frames} more frames or pages, left out")
        x = picture.pixels
        y = read_picture(pair.y).pixels if pair.y else None
        low_size = None if y is None else _size(y)
        problem = image_pairs.size_problem(_size(x), low_size, self._scale, self._smallest)
        if problem:
            raise InputError(problem)
        return x, y

    @abc.abstractmethod
    def _cut(self, entry: ManifestEntry, x: np.ndarray, y: Optional[np.ndarray]) -> LoadedPiece:
        """Return the image as a piece; raise InputError where it cannot be used."""


class ImageTiles(_Folder):
    """The images of a folder as overlapping tiles: x, and y where there are partners.

    Args:
        source: folder of clean images.
        low: folder of their low-resolution partners, or None.
        scale: pixels of x for each pixel of y along a side.
        smallest: the least height and width in pixels.
        grid: the tiles.
    """

    def __init__(
        self, source: Path, low: Optional[Path], scale: int, smallest: int, grid: TileGrid
    ) -> None:
        super().__init__(source, low, scale, smallest)
        self._grid = grid
        self.max_record_bytes = largest_tile_bytes(grid)
        self.settings = tile_settings(grid, scale, low is not None)

    def _cut(self, entry: ManifestEntry, x: np.ndarray, y: Optional[np.ndarray]) -> LoadedPiece:
        loaded = tile_image(entry, x, self._grid)
        if y is None:
            return loaded
        low = tile_image(entry["low_resolution"], y, self._grid.downscaled(self._scale))
        loaded.pixel_bytes += low.pixel_bytes
        loaded.record_bytes += low.record_bytes
        loaded.records = _paired(loaded.records, low.records)
        return loaded


class ImagePatches(_Folder):
    """The patches on a grid of each image of a folder, at each of the scales.

    All have the same number of channels and the dtype of the first image. The patches of an image
    are stored in the same shard, ordered by scale, row and column.

    Args:
        source: folder of images.
        channels: 1 (gray) or 3 (RGB), to which the images are converted.
        patch_size: side of a patch in pixels.
        stride: distance of the patches in pixels.
        scales: factors by which each image is resized.
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
        self.max_record_bytes = patch_size**2 * channels * self._dtype.itemsize
        self.settings = patch_settings(patch_size, channels, self._dtype, stride, scales)

    def _first_dtype(self) -> np.dtype:
        for pair in self._found:
            try:
                return self._decode(pair)[0].dtype
            except InputError:  # reported when the image is loaded
                continue
        return np.dtype(np.uint8)

    def _cut(self, entry: ManifestEntry, x: np.ndarray, y: Optional[np.ndarray]) -> LoadedPiece:
        if x.dtype != self._dtype:
            bits, first = 8 * x.itemsize, 8 * self._dtype.itemsize
            raise InputError(
                f"{bits} bit, but the first image has {first}; all patches of a set have the same "
                "bit depth"
            )
        sizes = [rescaled_size(_size(x), scale) for scale in self._scales]
        count = sum(np.prod([self._count(side) for side in size]) for size in sizes)
        entry["patches"] = int(count)
        x = to_channels(x, self._channels)
        return LoadedPiece(
            entry, x.nbytes, entry["patches"] * self.max_record_bytes, self._patches(x, sizes)
        )

    def _count(self, side: int) -> int:
        return patches_along(side, self._patch_size, self._stride)

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
