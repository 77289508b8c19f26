"""Shards of a prepared set: MindRecord files, one after another, each with a note of what it holds.

The note is the shard's part of the manifest, so that an interrupted run can go on after it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from ms_restore.data.prepared.manifest import HEADER_BYTES, SUFFIX, UNFINISHED
from ms_restore.errors import InputError
from ms_restore.files import atomic_write, sha256

_PAGE_BYTES = 8 << 20  # of a MindRecord file, at least; holds whole records
SETTINGS = "settings.json"
Entry = dict[str, Any]
Record = dict[str, bytes]


@dataclasses.dataclass
class Loaded:
    """An image (or what else is prepared as one piece) as the manifest describes it.

    Args:
        entry: for the manifest; with a ``reason`` where it cannot be used.
        pixel_bytes: of what was read.
        record_bytes: of all its records.
        records: some at a time, made when they are asked for.
    """

    entry: Entry
    pixel_bytes: int = 0
    record_bytes: int = 0
    records: Iterable[list[Record]] = ()


class Shard:
    """A MindRecord file that is being written; ``largest`` is the most bytes of a record."""

    def __init__(self, output: Path, number: int, columns: Iterable[str], largest: int) -> None:
        self.number = number
        self._output = output
        self._path = output / UNFINISHED / f"{number:05}{SUFFIX}"
        self._columns = columns
        self._page_bytes = max(_PAGE_BYTES, 1 << (largest - 1).bit_length())
        self._writer: Any = None
        self._nbytes = 0
        self._records = 0
        self.images: list[Entry] = []
        self._skipped: list[Entry] = []

    def full(self, loaded: Loaded, most: int) -> bool:
        """Whether this image belongs into the next shard."""
        return bool(self.images) and self._nbytes + loaded.record_bytes > most

    def add(self, loaded: Loaded) -> None:
        if "reason" in loaded.entry:
            self._skipped.append(loaded.entry)
            return
        if self._writer is None:
            self._writer = self._open()
        for records in loaded.records:
            self._writer.write_raw_data(records)
            self._records += len(records)
        self._nbytes += loaded.record_bytes
        self.images.append(loaded.entry)

    def _open(self) -> Any:
        from mindspore.mindrecord import FileWriter

        writer = FileWriter(str(self._path), shard_num=1, overwrite=True)
        writer.set_header_size(HEADER_BYTES)
        writer.set_page_size(self._page_bytes)
        writer.add_schema({name: {"type": "bytes"} for name in self._columns}, "tiles of images")
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
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
