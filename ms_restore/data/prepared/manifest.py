"""The manifest of a prepared folder, and its shards, which are checked when it is opened."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from ms_restore.contracts import PatchRequest
from ms_restore.errors import InputError, check_utf8
from ms_restore.files import sha256
from ms_restore.limits import check_pixels

FORMAT = 1
PATCHES = "patches"  # the manifest's ``layout`` for training patches
FRAMES = "frames"  # the manifest's ``layout`` for raw frames; for tiles of images it has none
MANIFEST = "manifest.json"
HEADER_BYTES = 1 << 20  # size of a shard's header, which holds its list of pages
UNFINISHED = "unfinished"  # subfolder in which an unfinished preparation keeps its files
SUFFIX = ".mindrecord"
VOLUME_SUFFIXES = (".nii.gz", ".nii")
DTYPES = {"uint8": np.uint8, "uint16": np.uint16}
_CHUNK = 4096  # records read each time the files are opened
_CHUNK_SAME_SIZE = 16384  # the same for small records, where opening takes longer than reading
_BATCH = 128  # records of the same size that MindSpore hands over at a time


@contextlib.contextmanager
def manifest_errors(folder: Path) -> Iterator[None]:
    """Turn errors about missing or malformed entries of the manifest into InputError."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{folder / MANIFEST}: malformed ({error!r}); prepare again") from None


def natural(entry: dict[str, Any], key: str, least: int = 1) -> int:
    """Return a whole number of at least ``least`` in an entry of the manifest, or ValueError."""
    value = entry[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key} {value!r}, expected a whole number of at least {least}")
    return value


def checked_size(folder: Path, entry: dict[str, Any]) -> tuple[int, int]:
    """Return the (height, width) of an image in the manifest; InputError above the limit."""
    height, width = natural(entry, "height"), natural(entry, "width")
    check_pixels(folder / MANIFEST, height, width)
    return height, width


def volume_name(file: str) -> str:
    """Return the name of an MRI volume's file without its suffix .nii or .nii.gz."""
    for suffix in VOLUME_SUFFIXES:
        if file.lower().endswith(suffix):
            return file[: -len(suffix)]
    return file


def entry_image_names(entry: dict[str, Any]) -> list[str]:
    """Return the names of the images in an entry of the manifest: its own, or its slices'."""
    if "slices" not in entry:
        return [entry["name"]]
    return [f"{volume_name(entry['name'])}_z{number:03}" for number in entry["slices"]]


def inconsistent_manifest(folder: Path) -> InputError:
    """Return the error for a manifest whose counts contradict each other."""
    return InputError(f"{folder / MANIFEST}: its counts contradict each other; prepare again")


def check_stored_degraded(source: str, request: PatchRequest) -> None:
    """Raise InputError if a request cannot be met with the stored degraded images.

    ``source`` describes where they are stored.
    """
    if request.changed_by:
        raise InputError(
            f"{source} has degraded images of its own, but {request.changed_by} needs degraded "
            "images that are made on reading; prepare the clean images alone"
        )


class Shards:
    """The MindRecord files of a prepared folder, whose records are numbered through.

    Args:
        folder: that prepare wrote.
        manifest: of the folder.
        columns: of a record, to read.

    Raises:
        InputError: the manifest's counts of records contradict each other.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], columns: list[str]) -> None:
        self._shards = [_shard(folder, entry) for entry in manifest["shards"]]
        check_utf8(folder)
        self._folder = folder
        self._columns = columns
        self.files = [str(folder / shard.file) for shard in self._shards]
        if len(self) != manifest["records"]:
            raise inconsistent_manifest(folder)

    def __len__(self) -> int:
        return sum(shard.records for shard in self._shards)

    def check(self) -> None:
        """Raise InputError unless every shard is a MindRecord file as the manifest describes it.

        Sizes, hashes of headers and indices, and numbers of records are compared.
        """
        for shard in self._shards:
            _check_shard(self._folder, shard)

    def read(self, numbers: Iterable[int], same_size: bool = False) -> Iterator[list[np.ndarray]]:
        """Yield the records with these numbers, each as a flat uint8 array for every column.

        MindSpore's threads read ahead. ``same_size`` says that all records have the same size,
        which makes reading faster.
        """
        numbers = iter(numbers)
        chunk_size = _CHUNK_SAME_SIZE if same_size else _CHUNK
        limit = min(chunk_size, len(self))  # a sampler takes at most as many as all records
        chunks = iter(lambda: list(itertools.islice(numbers, limit)), [])
        try:
            readers = (self._read_chunk(chunk, same_size) for chunk in chunks)
            current = next(readers, None)
            while current is not None:
                following = next(readers, None)  # opens its files and begins to read
                yield from current
                current = following
        except RuntimeError as error:
            raise InputError(
                f"{self._folder}: cannot be read ({_reason(error)}); prepare again"
            ) from None

    def _read_chunk(self, numbers: list[int], same_size: bool) -> Iterator[list[np.ndarray]]:
        from mindspore import dataset

        rows = dataset.MindDataset(
            self.files,
            self._columns,
            sampler=dataset.SubsetSampler(numbers),
            num_parallel_workers=min(2, os.cpu_count() or 1),
        )
        if same_size:
            rows = rows.batch(_BATCH)
        read = rows.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)
        return _rows_as_bytes(read, same_size)


def _rows_as_bytes(rows: Iterable[list[np.ndarray]], same_size: bool) -> Iterator[list[np.ndarray]]:
    """Yield each record as flat uint8 arrays; records of the same size come in batches."""
    for row in rows:
        if same_size:
            columns = [np.asarray(column).view(np.uint8).reshape(len(column), -1) for column in row]
            yield from map(list, zip(*columns))
        else:
            yield [np.asarray(column).view(np.uint8) for column in row]


def is_prepared(folder: Path) -> bool:
    """Return whether the folder holds a prepared set; raise InputError if that is incomplete."""
    if (folder / MANIFEST).is_file():
        return True
    if (folder / UNFINISHED).is_dir():
        raise InputError(
            f"{folder}: its preparation was not finished; run the same ms-restore prepare again"
        )
    if folder.is_dir() and any(folder.glob(f"*{SUFFIX}")):
        raise InputError(
            f"{folder}: MindRecord files without a {MANIFEST}; expected a folder that ms-restore "
            "prepare wrote: prepare the images again"
        )
    return False


def layout_of(folder: Path) -> Optional[str]:
    """Return the layout of a prepared folder: PATCHES, FRAMES, or None for tiles of images."""
    return read_manifest(folder).get("layout")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a prepared folder.

    Raises InputError where it cannot be read or has another format version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); prepare again") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT:
        raise InputError(
            f"{path}: format {version!r}, expected {FORMAT}; prepare again with this version"
        )
    return manifest


class _Shard(NamedTuple):
    """The manifest's fields for a shard that are checked when the set is opened."""

    file: str
    bytes: int
    header_sha256: str
    index_bytes: int
    index_sha256: str
    records: int


def _shard(folder: Path, entry: dict[str, Any]) -> _Shard:
    """Return the shard of an entry; InputError where its file would lie outside the folder."""
    for key in ("records", "bytes", "index_bytes"):
        natural(entry, key)
    file = entry["file"]
    inside = isinstance(file, str) and Path(file).name == file and file.endswith(SUFFIX)
    for name in (file, f"{file}.db"):
        if not inside or (folder / name).resolve().parent != folder.resolve():
            raise InputError(
                f"{folder / MANIFEST}: names {name!r} as one of its files, expected a "
                f"{SUFFIX} file in this folder itself; prepare again"
            )
    return _Shard(**{field: entry[field] for field in _Shard._fields})


def _check_shard(folder: Path, shard: _Shard) -> None:
    """Raise InputError for a damaged shard; MindSpore would abort on a damaged header."""
    from mindspore import dataset

    path = folder / shard.file
    index = folder / f"{shard.file}.db"
    for file, size, checked, digest in (
        (path, shard.bytes, HEADER_BYTES, shard.header_sha256),
        (index, shard.index_bytes, None, shard.index_sha256),
    ):
        try:
            found = file.stat().st_size
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror}); prepare again") from None
        if found != size:
            raise InputError(f"{file}: {found} bytes, but the manifest says {size}; prepare again")
        if sha256(file, checked) != digest:
            raise InputError(f"{file}: damaged, its hash is not the manifest's; prepare again")
    try:
        count = dataset.MindDataset(str(path)).get_dataset_size()
    except RuntimeError as error:
        raise InputError(
            f"{path}: not a whole MindRecord ({_reason(error)}); prepare again"
        ) from None
    if count != shard.records:
        raise InputError(
            f"{path}: {count} records, but the manifest says {shard.records}; prepare again"
        )


def _reason(error: RuntimeError) -> str:
    """Return the line of a MindSpore error that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith(("-", "Exception thrown"))]
    return lines[0].removeprefix("[ERROR] ") if lines else "unknown error"
