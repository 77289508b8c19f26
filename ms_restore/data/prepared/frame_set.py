"""Prepared raw frames: pairs of a packed short exposure and the developed long one, in tiles.

``preparation.raw_files`` says what a record holds. The manifest's ``layout`` is "frames"; an entry
with ``ratio`` is a short exposure, and its ``long`` names the long exposure that is its target.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ms_restore.contracts import ImageEntry, PatchLocation, PatchRequest, StoredPatch
from ms_restore.data.exposures import MISALIGNED_SCENES
from ms_restore.data.image_source import CutSource, Tile, cut_patch
from ms_restore.data.prepared.manifest import (
    Shards,
    check_stored_degraded,
    checked_size,
    inconsistent_manifest,
    manifest_errors,
    natural,
    read_manifest,
)
from ms_restore.errors import InputError, comma_list
from ms_restore.images.mosaic import KINDS
from ms_restore.images.raw import amplify

_COLOURS = 3


@dataclasses.dataclass(frozen=True)
class _StoredFrame:
    """A stored frame (channels, height, width), whose tiles follow each other row by row.

    ``side`` is the side of a tile in pixels, ``first`` the number of the first tile's record.
    """

    name: str
    channels: int
    height: int
    width: int
    side: int
    first: int

    @property
    def columns(self) -> int:
        return -(-self.width // self.side)

    @property
    def count(self) -> int:
        return -(-self.height // self.side) * self.columns

    def records(self, top: int, left: int, height: int, width: int) -> list[int]:
        """Return the numbers of the records whose tiles overlap a window, row by row."""
        rows = range(top // self.side, -(-(top + height) // self.side))
        columns = range(left // self.side, -(-(left + width) // self.side))
        return [self.first + row * self.columns + column for row in rows for column in columns]

    def cut(
        self, rows: Iterator[list[np.ndarray]], top: int, left: int, height: int, width: int
    ) -> np.ndarray:
        """Return the window (channels, height, width) uint16, joined from the next ``rows``.

        ``rows`` yields the records of the window, in the order of ``records``.
        """
        window = np.empty((self.channels, height, width), np.uint16)
        for number in self.records(top, left, height, width):
            row, column = (step * self.side for step in divmod(number - self.first, self.columns))
            high = min(self.side, self.height - row)
            wide = min(self.side, self.width - column)
            tile = next(rows)[0].view(np.uint16).reshape(self.channels, high, wide)
            y0, y1 = max(top, row), min(top + height, row + high)
            x0, x1 = max(left, column), min(left + width, column + wide)
            window[:, y0 - top : y1 - top, x0 - left : x1 - left] = tile[
                :, y0 - row : y1 - row, x0 - column : x1 - column
            ]
        return window


@dataclasses.dataclass(frozen=True)
class _ShortExposure:
    """A short exposure, its exposure ratio, and the ranges that ``RawFrame`` describes."""

    stored: _StoredFrame
    ratio: float
    ranges: list[int]


_Window = tuple[int, int, int, int]  # top, left, height, width


class _PatchWindows(NamedTuple):
    """The windows of a training patch in the long exposure (x) and in the short one (y)."""

    location: PatchLocation
    short: _ShortExposure
    x: tuple[_StoredFrame, _Window]
    y: tuple[_StoredFrame, _Window]


@dataclasses.dataclass(frozen=True)
class _Scene:
    """A long exposure and the short exposures whose target it is."""

    long: _StoredFrame
    shorts: list[_ShortExposure]


class PreparedFrames:
    """A prepared folder of raw frames, whose files have been checked against its manifest.

    The scenes are in the manifest's order; short exposures without their long one are ignored.

    Raises:
        InputError: the manifest cannot be read or contradicts itself, a shard is missing or
            damaged, or no short exposure has its long one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = read_manifest(folder)
        with manifest_errors(folder):
            self.mosaic = next(m for m in KINDS.values() if m.name == manifest["mosaic"])
            self.shards = Shards(folder, manifest, ["tile"])
            self.scenes, count = self._read(manifest)
        if count != len(self.shards):
            raise inconsistent_manifest(folder)
        if not self.scenes:
            raise InputError(f"{folder}: no short exposure has its long one; prepare again")
        self.shards.check()

    def __len__(self) -> int:
        return len(self.scenes)

    def _read(self, manifest: dict[str, Any]) -> tuple[list[_Scene], int]:
        """Return the scenes, and the number of records of all frames."""
        first, longs = 0, {}
        shorts: dict[str, list[_ShortExposure]] = collections.defaultdict(list)
        for entry in itertools.chain.from_iterable(s["images"] for s in manifest["shards"]):
            is_short = "ratio" in entry
            channels = self.mosaic.channels if is_short else _COLOURS
            side = natural(manifest, "tile") * (1 if is_short else self.mosaic.block)
            size = checked_size(self.folder, entry)
            stored = _StoredFrame(entry["name"], channels, *size, side, first)
            first += stored.count
            if is_short:
                found = _ShortExposure(stored, float(entry["ratio"]), list(entry["ranges"]))
                shorts[entry["long"]].append(found)
            else:
                longs[entry["name"]] = stored
        scenes = [_Scene(long, shorts[name]) for name, long in longs.items() if name in shorts]
        return scenes, first


class FrameSource(CutSource):
    """An ``ImageSource`` of developed long exposures, (H, W, 3) uint16, streamed from files.

    ``degraded`` gives the short exposures.

    Args:
        prepared: the set.
        indices: of the scenes to serve.
        smallest: the least height and width in pixels.
        by_scene: an image of this source is a scene, and ``patches`` takes one of its short
            exposures at random, as Chen et al. train; otherwise it is a pair of a short and a
            long exposure.

    Raises:
        InputError: a frame has a side below ``smallest`` pixels.
    """

    streamed = True

    def __init__(
        self, prepared: PreparedFrames, indices: Sequence[int], smallest: int, by_scene: bool
    ) -> None:
        self._prepared = prepared
        self._items = [prepared.scenes[index] for index in indices]
        if not by_scene:
            self._items = [_Scene(s.long, [short]) for s in self._items for short in s.shorts]
        self.names = [Path(item.shorts[0].stored.name).stem for item in self._items]
        self.sizes = [(item.long.height, item.long.width) for item in self._items]
        self.coloured: list[str] = []
        unit = "scenes" if by_scene else "pairs"
        self.description = f"{len(self)} {unit} of raw frames of {prepared.folder} (MindRecord)"
        small = [name for name, size in zip(self.names, self.sizes) if min(size) < smallest]
        if small:
            raise InputError(
                f"{prepared.folder}: {len(small)} of {len(self)} frames are smaller than the "
                f"{smallest} pixels needed along a side: {comma_list(small)}; prepare again "
                f"without them{', or make data.patch_size smaller' if by_scene else ''}"
            )

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._whole(self._items[index].long).transpose(1, 2, 0)

    def degraded(self, index: int) -> np.ndarray:
        """Return the amplified short exposure (h, w, channels), float32 up to 1."""
        short = self._items[index].shorts[0]
        return amplify(self._whole(short.stored), short.ranges, short.ratio).transpose(1, 2, 0)

    def entries(self) -> list[ImageEntry]:
        """Return the long exposures as they are stored."""
        longs = {item.long.name: item.long for item in self._items}
        return [ImageEntry(name, long.width, long.height) for name, long in longs.items()]

    def groups(self) -> dict[str, list[str]]:
        """Return names by exposure ratio, and all without the scenes known to be misaligned."""
        found: dict[str, list[str]] = collections.defaultdict(list)
        for name, item in zip(self.names, self._items):
            found[f"x{item.shorts[0].ratio:.0f}"].append(name)
        aligned = [name for name in self.names if not name.startswith(MISALIGNED_SCENES)]
        by_ratio = dict(sorted(found.items(), key=lambda item: float(item[0][1:])))
        return {**by_ratio, "aligned": aligned} if len(aligned) < len(self) else by_ratio

    def check(self, request: PatchRequest) -> None:
        """Raise InputError unless the frames have the mosaic that the model takes."""
        mosaic = self._prepared.mosaic
        if request.scale != mosaic.block or request.margin:
            raise InputError(
                f"{self._prepared.folder} holds raw frames of {mosaic.name}, which this model does "
                "not take: sid_sony is for Bayer, sid_fuji for X-Trans"
            )
        check_stored_degraded(self.description, request)

    def patches(
        self, locations: Iterable[PatchLocation], request: PatchRequest
    ) -> Iterator[tuple[PatchLocation, StoredPatch]]:
        """Yield the patches at these locations, in the same order."""
        side = request.patch_size
        cuts, ahead = itertools.tee(self._windows(location, side) for location in locations)
        numbers = (
            number
            for cut in ahead
            for stored, window in (cut.x, cut.y)
            for number in stored.records(*window)
        )
        rows = self._prepared.shards.read(numbers)
        for cut in cuts:
            x = cut.x[0].cut(rows, *cut.x[1])
            y = amplify(cut.y[0].cut(rows, *cut.y[1]), cut.short.ranges, cut.short.ratio)
            patch = cut_patch(
                cut.location,
                self.sizes[cut.location.image],
                request,
                Tile(x.transpose(1, 2, 0), *cut.x[1][:2]),
                Tile(y.transpose(1, 2, 0), *cut.y[1][:2]),
            )
            yield cut.location, patch

    def _windows(self, location: PatchLocation, side: int) -> _PatchWindows:
        """Return what to read for a patch, with a short exposure drawn at random."""
        item = self._items[location.image]
        short = item.shorts[int(location.rng.integers(len(item.shorts)))]
        window = (location.top, location.left, side, side)
        top, left, low, _ = (value // self._prepared.mosaic.block for value in window)
        return _PatchWindows(
            location, short, (item.long, window), (short.stored, (top, left, low, low))
        )

    def _whole(self, stored: _StoredFrame) -> np.ndarray:
        """Return a whole frame (channels, height, width) uint16."""
        window = (0, 0, stored.height, stored.width)
        return stored.cut(self._prepared.shards.read(stored.records(*window)), *window)
