"""What every prepared folder has: manifest.json, and shards that are checked when it is opened."""

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
from ms_restore.errors import InputError
from ms_restore.files import sha256

FORMAT = 1
PATCHES = "patches"  # the ``layout`` of a set of training patches
FRAMES = "frames"  # that of a set of raw frames; one of tiles of images names none
MANIFEST = "manifest.json"
HEADER_BYTES = 1 << 20  # of a shard; holds its list of pages
UNFINISHED = "unfinished"  # subfolder of a set that is being prepared
SUFFIX = ".mindrecord"
VOLUME_SUFFIXES = (".nii.gz", ".nii")
DTYPES = {"uint8": np.uint8, "uint16": np.uint16}
_CHUNK = 4096  # records that one pass over the files reads, in any order
_CHUNK_ALIKE = 16384  # of small records, of which opening takes longer than reading
_BATCH = 128  # records of one size that are handed over at a time


@contextlib.contextmanager
def as_written(folder: Path) -> Iterator[None]:
    """InputError where the manifest lacks something, or has it in another form."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{folder / MANIFEST}: not as prepare wrote it ({error!r}); prepare again"
        ) from None


def volume_name(file: str) -> str:
    """A volume file's name without its suffix."""
    for suffix in VOLUME_SUFFIXES:
        if file.lower().endswith(suffix):
            return file[: -len(suffix)]
    return file


def slice_names(entry: dict[str, Any]) -> list[str]:
    """The names of the images that an entry of the manifest stands for: its own, or of slices."""
    if "slices" not in entry:
        return [entry["name"]]
    return [f"{volume_name(entry['name'])}_z{number:03}" for number in entry["slices"]]


def contradiction(folder: Path) -> InputError:
    return InputError(f"{folder / MANIFEST}: its counts contradict each other; prepare again")


def check_unpaired(source: str, request: PatchRequest) -> None:
    """Raise InputError where degraded images are stored, but others would have to be made."""
    if request.changed_by:
        raise InputError(
            f"{source} has degraded images of its own, but {request.changed_by} needs such that "
            "are made on reading; prepare the clean images alone"
        )


class Shards:
    """The MindRecord files of a prepared folder, as its manifest has them; item n is record n."""

    def __init__(self, folder: Path, manifest: dict[str, Any], columns: list[str]) -> None:
        self._shards = [_Shard(**{f: s[f] for f in _Shard._fields}) for s in manifest["shards"]]
        self._folder = folder
        self._columns = columns
        self.files = [str(folder / shard.file) for shard in self._shards]
        if len(self) != manifest["records"]:
            raise contradiction(folder)

    def __len__(self) -> int:
        return sum(shard.records for shard in self._shards)

    def check(self) -> None:
        """InputError for shards that are missing, of another size, not MindRecord, or hold another
        number of records than the manifest says.
        """
        for shard in self._shards:
            _check_shard(self._folder, shard)

    def read(self, numbers: Iterable[int], alike: bool = False) -> Iterator[list[np.ndarray]]:
        """The records of these numbers as flat uint8 arrays, one for each column.

        The files are read in C++ threads ahead of what is asked for; faster where all records are
        ``alike``, of one size.
        """
        numbers = iter(numbers)
        chunk_size = _CHUNK_ALIKE if alike else _CHUNK
        most = min(chunk_size, len(self))  # a sampler takes no more than there are records
        chunks = iter(lambda: list(itertools.islice(numbers, most)), [])
        try:
            passes = (self._pass(chunk, alike) for chunk in chunks)
            current = next(passes, None)
            while current is not None:
                following = next(passes, None)  # opens its files and begins to read
                yield from current
                current = following
        except RuntimeError as error:
            raise InputError(
                f"{self._folder}: cannot be read ({_reason(error)}); prepare again"
            ) from None

    def _pass(self, numbers: list[int], alike: bool) -> Iterator[list[np.ndarray]]:
        from mindspore import dataset

        rows = dataset.MindDataset(
            self.files,
            self._columns,
            sampler=dataset.SubsetSampler(numbers),
            num_parallel_workers=min(2, os.cpu_count() or 1),
        )
        if alike:
            rows = rows.batch(_BATCH)
        read = rows.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)
        return _flat(read, alike)


def _flat(rows: Iterable[list[np.ndarray]], alike: bool) -> Iterator[list[np.ndarray]]:
    for row in rows:
        if alike:
            columns = [np.asarray(column).view(np.uint8).reshape(len(column), -1) for column in row]
            yield from map(list, zip(*columns))
        else:
            yield [np.asarray(column).view(np.uint8) for column in row]


def is_prepared(folder: Path) -> bool:
    """Whether the folder holds a prepared set; InputError where it holds part of one."""
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
    """PATCHES, FRAMES or None, of a prepared folder."""
    return read_manifest(folder).get("layout")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared folder; InputError if it is not one of this format."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); prepare again") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT:
        raise InputError(
            f"{path}: format {version!r}, expected {FORMAT}; prepare again with this version"
        )
    return manifest


class _Shard(NamedTuple):
    """What the manifest says of a shard, as far as it is checked when the set is opened."""

    file: str
    bytes: int
    header_sha256: str
    index_bytes: int
    index_sha256: str
    records: int


def _check_shard(folder: Path, shard: _Shard) -> None:
    """InputError for a shard that MindSpore could not read; a damaged header would abort it."""
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
    """The line of a MindSpore error that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith(("-", "Exception thrown"))]
    return lines[0].removeprefix("[ERROR] ") if lines else "unknown error"
