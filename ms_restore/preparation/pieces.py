"""Pieces, which every kind of source gives to a prepared set: a manifest entry and records each."""

from __future__ import annotations

import abc
import collections
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import numpy as np

from ms_restore.data.prepared.manifest import PATCHES
from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.degradations import kspace
from ms_restore.preparation.shard_writer import LoadedPiece, ManifestEntry, Record


class PieceSource(abc.ABC):
    """The pieces of a prepared folder, in order: images, volumes, or blocks of patches.

    Attributes:
        source: file or folder that the pieces come from.
        columns: names of a record's columns.
        max_record_bytes: the largest size of a record.
        problems: what is found wrong without decoding, a line for each kind of problem.
        settings: for the manifest; a run can resume another only if they are the same.
        unit: what a piece is, for messages, such as "images".
        max_in_memory: how many pieces may be in memory at a time; None if that is no concern.
    """

    source: Path
    columns: Sequence[str]
    max_record_bytes: int
    problems: Sequence[str]
    settings: ManifestEntry
    unit: str
    max_in_memory: Optional[int] = None

    def count_for(self, limit: int) -> int:
        """Return the number of pieces that hold the first ``limit`` images."""
        return min(limit, len(self))

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def identify(self, index: int) -> ManifestEntry:
        """Return the manifest entry of a piece with the names and hashes of its files."""

    @abc.abstractmethod
    def load(self, index: int) -> LoadedPiece:
        """Read a piece; where it cannot be used, its entry has a ``reason`` and no records."""


def tile_settings(grid: TileGrid, scale: int, low_resolution: bool) -> ManifestEntry:
    """Return the manifest's settings for a set of overlapping tiles."""
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
) -> ManifestEntry:
    """Return the manifest's settings for a set of training patches.

    ``stride`` and ``scales`` are None where the patches came already cut.
    """
    return {
        "layout": PATCHES,
        "patch_size": patch_size,
        "stride": stride,
        "scales": None if scales is None else list(scales),
        "channels": channels,
        "dtype": str(dtype),
    }


def largest_tile_bytes(grid: TileGrid) -> int:
    """Return an upper bound on the bytes of a record: x and y, each a 16 bit RGB tile."""
    return 2 * 6 * grid.largest_side() ** 2


def tile_image(entry: ManifestEntry, pixels: np.ndarray, grid: TileGrid) -> LoadedPiece:
    """Return an image (H, W, C) as a piece whose records are its tiles, a row of them at a time.

    The image's size, channels and dtype are added to ``entry``.
    """
    height, width, channels = pixels.shape
    entry.update(height=height, width=width, channels=channels, dtype=str(pixels.dtype))
    record_bytes = grid.total(height, width) * channels * pixels.itemsize
    return LoadedPiece(entry, pixels.nbytes, record_bytes, _tiles(pixels, grid))


def slice_record(pixels: np.ndarray) -> Record:
    """Return the record of an MRI slice (side, side, 1): its pixels as one tile, its spectrum."""
    return {"x": pixels.tobytes(), "spectrum": kspace.half_spectrum(pixels).tobytes()}


def record_bytes(record: Record) -> int:
    """Return the number of bytes in a record."""
    return sum(map(len, record.values()))


def _tiles(pixels: np.ndarray, grid: TileGrid) -> Iterator[list[Record]]:
    for top, bottom in grid.spans(pixels.shape[0]):
        yield [
            {"x": pixels[top:bottom, left:right].tobytes()}
            for left, right in grid.spans(pixels.shape[1])
        ]


def load_in_order(
    pool: ThreadPoolExecutor, inputs: PieceSource, numbers: range, ahead: int
) -> Iterator[LoadedPiece]:
    """Yield the pieces with these numbers, loaded by the pool up to ``ahead`` in advance."""
    waiting: collections.deque[Future[LoadedPiece]] = collections.deque()
    for number in numbers:
        if len(waiting) == ahead:
            yield waiting.popleft().result()
        waiting.append(pool.submit(inputs.load, number))
    while waiting:
        yield waiting.popleft().result()
