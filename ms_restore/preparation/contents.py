"""What every kind of source gives to a prepared set: pieces, each an entry and its records."""

from __future__ import annotations

import abc
import collections
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import numpy as np

from ms_restore.data.prepared.manifest import PATCHES
from ms_restore.data.prepared.tiles import Grid
from ms_restore.degradations import kspace
from ms_restore.preparation.shard_writer import Entry, Loaded, Record


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
