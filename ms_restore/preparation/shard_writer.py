"""Shards of a prepared set: MindRecord files written in order, each with a note of its contents.

The note is the shard's part of the manifest, from which an interrupted run can be resumed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from ms_restore import files
from ms_restore.data.prepared.manifest import HEADER_BYTES, SUFFIX, UNFINISHED
from ms_restore.errors import InputError
from ms_restore.files import sha256

_PAGE_BYTES = 8 << 20  # least size of a MindRecord page, which holds whole records
SETTINGS = "settings.json"
ManifestEntry = dict[str, Any]
Record = dict[str, bytes]


@dataclasses.dataclass
class LoadedPiece:
    """A piece that has been read: an image, a volume, a raw frame or a block of patches.

    Attributes:
        entry: its entry in the manifest, with a ``reason`` where it cannot be used.
        pixel_bytes: size of the decoded pixels in bytes.
        record_bytes: size of all its records in bytes.
        records: lists of records, made lazily.
    """

    entry: ManifestEntry
    pixel_bytes: int = 0
    record_bytes: int = 0
    records: Iterable[list[Record]] = ()


class ShardWriter:
    """Writer of one shard.

    Args:
        output: the prepared folder.
        number: of the shard, from 0.
        columns: names of a record's columns.
        max_record_bytes: the largest size of a record.
    """

    def __init__(
        self, output: Path, number: int, columns: Iterable[str], max_record_bytes: int
    ) -> None:
        self.number = number
        self._output = output
        self._path = output / UNFINISHED / f"{number:05}{SUFFIX}"
        self._columns = columns
        self._page_bytes = max(_PAGE_BYTES, 1 << (max_record_bytes - 1).bit_length())
        self._writer: Any = None
        self._nbytes = 0
        self._records = 0
        self.images: list[ManifestEntry] = []
        self._skipped: list[ManifestEntry] = []

    def lacks_room_for(self, loaded: LoadedPiece, shard_bytes: int) -> bool:
        """Return whether a piece would make the shard larger than ``shard_bytes``."""
        return bool(self.images) and self._nbytes + loaded.record_bytes > shard_bytes

    def add(self, loaded: LoadedPiece) -> None:
        """Write the records of a piece, or note it as skipped where it cannot be used."""
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

    def finish(self) -> ManifestEntry:
        """Complete the shard, move it into the output folder, and write and return its note."""
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
            shutil.copymode(self._path.with_name(SETTINGS), path)  # MindSpore writes mode 0600
            path.replace(self._output / path.name)
        write_json(self._path.with_suffix(".json"), note)
        return note


def find_damage(folder: Path, note: ManifestEntry) -> Optional[str]:
    """Return a message if a shard's files do not have the hashes in its note, or None."""
    for name, key in ((note["file"], "sha256"), (f"{note['file']}.db", "index_sha256")):
        if sha256(folder / name) != note[key]:
            return f"{folder / name}: missing or damaged"
    return None


def read_json(path: Path) -> ManifestEntry:
    """Read a JSON file of an unfinished set; raise InputError where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove {path.parent.parent}") from None


def write_json(path: Path, value: ManifestEntry) -> None:
    """Write a JSON file, whole or not at all."""
    files.write_json(path, value, indent=1)
