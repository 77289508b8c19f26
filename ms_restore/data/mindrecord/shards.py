"""Shards of a prepared set: MindRecord files, one after another, each with a note of what it holds.

The note is the shard's part of the manifest, so that an interrupted run can go on after it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.data.mindrecord.records import HEADER_BYTES, SUFFIX, UNFINISHED
from ms_restore.data.mindrecord.tiles import Grid
from ms_restore.errors import InputError
from ms_restore.files import replacing, sha256

_PAGE_BYTES = 8 << 20  # of a MindRecord file, at least; holds whole records
SETTINGS = "settings.json"
Entry = dict[str, Any]


@dataclasses.dataclass
class Loaded:
    """An image as the manifest describes it, with its pixels; none where it cannot be used."""

    entry: Entry
    x: Optional[np.ndarray] = None
    y: Optional[np.ndarray] = None

    @property
    def nbytes(self) -> int:
        return sum(pixels.nbytes for pixels in (self.x, self.y) if pixels is not None)


class Shard:
    """A MindRecord file that is being written."""

    def __init__(self, output: Path, number: int, settings: Entry) -> None:
        self.number = number
        self._output = output
        self._path = output / UNFINISHED / f"{number:05}{SUFFIX}"
        self._most = settings["shard_bytes"]
        self._paired = settings["low_resolution"]
        grid = Grid(settings["patch_size"], settings["margin"], settings["stride"])
        self._grid, self._low_grid = grid, grid.lower(settings["scale"])
        largest = 2 * 6 * grid.largest() ** 2  # bytes of a record: RGB of 16 bit, x and y
        self._page_bytes = max(_PAGE_BYTES, 1 << (largest - 1).bit_length())
        self._writer: Any = None
        self._nbytes = 0
        self._records = 0
        self.images: list[Entry] = []
        self._skipped: list[Entry] = []

    def full(self, loaded: Loaded) -> bool:
        """Whether this image belongs into the next shard."""
        return bool(self.images) and self._nbytes + self._tile_bytes(loaded) > self._most

    def _tile_bytes(self, loaded: Loaded) -> int:
        grids = ((loaded.x, self._grid), (loaded.y, self._low_grid))
        return sum(
            grid.total(*x.shape[:2]) * x.shape[2] * x.itemsize for x, grid in grids if x is not None
        )

    def add(self, loaded: Loaded) -> None:
        if loaded.x is None:
            self._skipped.append(loaded.entry)
            return
        if self._writer is None:
            self._writer = self._open()
        lows = iter(()) if loaded.y is None else cut(loaded.y, self._low_grid)
        for tiles in cut(loaded.x, self._grid):
            records = [{"x": tile} for tile in tiles]
            for record, low in zip(records, next(lows, ())):
                record["y"] = low
            self._writer.write_raw_data(records)
            self._records += len(records)
        self._nbytes += self._tile_bytes(loaded)
        self.images.append(loaded.entry)

    def _open(self) -> Any:
        from mindspore.mindrecord import FileWriter

        writer = FileWriter(str(self._path), shard_num=1, overwrite=True)
        writer.set_header_size(HEADER_BYTES)
        writer.set_page_size(self._page_bytes)
        fields = ("x", "y") if self._paired else ("x",)
        writer.add_schema({name: {"type": "bytes"} for name in fields}, "tiles of images")
        return writer

    def finish(self) -> Entry:
        """Move the file in place; what the manifest says of it, noted for a run that goes on."""
        self._writer.commit()
        index = self._path.with_name(f"{self._path.name}.db")
        note = {
            "file": self._path.name,
            "bytes": self._path.stat().st_size,
            "sha256": sha256(self._path),
            "header_sha256": sha256(self._path, HEADER_BYTES),
            "index_bytes": index.stat().st_size,
            "index_sha256": sha256(index),
            "records": self._records,
            "images": self.images,
            "skipped": self._skipped,
        }
        for path in (self._path, index):
            shutil.copymode(self._path.with_name(SETTINGS), path)  # MindSpore's are 0600
            path.replace(self._output / path.name)
        write_json(self._path.with_suffix(".json"), note)
        return note


def cut(pixels: np.ndarray, grid: Grid) -> Iterator[list[bytes]]:
    """The tiles of an image, a row of them at a time."""
    for top, bottom in grid.spans(pixels.shape[0]):
        yield [
            np.ascontiguousarray(pixels[top:bottom, left:right]).tobytes()
            for left, right in grid.spans(pixels.shape[1])
        ]


def kind(pixels: np.ndarray) -> Entry:
    height, width, channels = pixels.shape
    return {"height": height, "width": width, "channels": channels, "dtype": str(pixels.dtype)}


def damage_of(folder: Path, note: Entry) -> Optional[str]:
    """What is wrong with a shard's files, by their hashes."""
    for name, key in ((note["file"], "sha256"), (f"{note['file']}.db", "index_sha256")):
        if sha256(folder / name) != note[key]:
            return f"{folder / name}: missing or damaged"
    return None


def read_json(path: Path) -> Entry:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove {path.parent.parent}") from None


def write_json(path: Path, value: Entry) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
