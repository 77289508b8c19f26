"""Writing of prepared folders as MindRecord shards, which can be interrupted and resumed.

Threads read and decode the pieces a few ahead of the main thread, which cuts them into records and
writes those in order. A shard is written in the subfolder ``unfinished`` and moved out when it is
complete; a small JSON file, its note, then stays in the subfolder. A run that resumes keeps every
shard whose note, files and source images still agree, so the result has the same bytes whether or
not it was interrupted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

from mindspore.mindrecord.common.exceptions import MindRecordException

from ms_restore.data.prepared.manifest import (
    FORMAT,
    MANIFEST,
    PATCHES,
    SUFFIX,
    UNFINISHED,
    entry_image_names,
    read_manifest,
)
from ms_restore.errors import InputError, comma_list
from ms_restore.files import exclusive_folder
from ms_restore.preparation.pieces import PieceSource, load_in_order
from ms_restore.preparation.shard_writer import (
    SETTINGS,
    ManifestEntry,
    ShardWriter,
    find_damage,
    read_json,
    write_json,
)
from ms_restore.report.progress_bars import PreparingProgress
from ms_restore.report.terminal import say
from ms_restore.version import __version__

_LEAST_FREE = 64 << 20  # with fewer free bytes, a failed write is blamed on a full disk
_OWN_FILES = re.compile(rf"{re.escape(MANIFEST)}|{UNFINISHED}|\d{{5}}{re.escape(SUFFIX)}(\.db)?")


def write(jobs: list[PreparationJob], output: Path, skip_bad: bool, workers: Optional[int]) -> None:
    """Write the prepared folders, all of which lie in ``output``.

    Args:
        jobs: the folders.
        output: must hold nothing else.
        skip_bad: leave out images that cannot be used, instead of raising InputError.
        workers: number of threads that decode; None is one for each processor.

    Raises:
        InputError: an image cannot be used, or the output holds other files or cannot be written.
    """
    problems = [line for job in jobs for line in job.inputs.problems]
    if skip_bad:
        for line in problems:
            say(line)
    elif problems:
        raise InputError(*problems, "correct them, or leave them out with --skip_bad")
    _check_free(output, [job.output for job in jobs])
    with contextlib.ExitStack() as locks:
        for job in jobs:
            locks.enter_context(job.locked())
        for job in jobs:
            job.run(skip_bad, workers or os.cpu_count() or 1)


def _check_free(output: Path, folders: list[Path]) -> None:
    """Raise InputError where the output holds anything that prepare did not write."""
    for folder in {output, *folders}:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; choose another --output")
        expected = {inner.name for inner in folders if inner.parent == folder}
        present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        begun = folder in folders and bool(present & {MANIFEST, UNFINISHED})
        own = {name for name in present if begun and _OWN_FILES.fullmatch(name)}
        foreign = present - expected - own
        if foreign:
            raise InputError(
                f"{folder} is not empty and not a set prepared from these images (it holds "
                f"{comma_list(sorted(foreign))}); choose another --output, or remove it first"
            )


class PreparationJob:
    """A prepared folder to be written, and the pieces it is made from.

    Args:
        inputs: the pieces.
        output: the folder.
        options: the arguments ``model``, ``shard_bytes`` and ``limit`` of ``prepare``.
    """

    def __init__(self, inputs: PieceSource, output: Path, options: ManifestEntry) -> None:
        self.inputs = inputs
        self.output = output
        self._unfinished = output / UNFINISHED
        self._shard_bytes = options["shard_bytes"]
        limit = options["limit"]
        self._pieces = range(len(inputs) if limit is None else inputs.count_for(limit))
        self._settings = {
            "format": FORMAT,
            "model": options["model"],
            **inputs.settings,
            "shard_bytes": self._shard_bytes,
            "limit": limit,
        }

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the output folder against other processes while it is written.

        Raises InputError where another process writes it, or it was begun with other settings.
        """
        if (self.output / MANIFEST).is_file():
            manifest = read_manifest(self.output)
            self._check_settings({key: manifest.get(key) for key in self._settings})
            yield
            return
        path = self._unfinished / SETTINGS
        with exclusive_folder(
            self._unfinished, "another ms-restore prepare is writing there; wait until it ends"
        ):
            if path.is_file():
                self._check_settings(read_json(path))
            else:
                write_json(path, self._settings)
            yield

    def _check_settings(self, found: ManifestEntry) -> None:
        changed = [
            f"{key} {found.get(key)!r}, now {value!r}"
            for key, value in self._settings.items()
            if found.get(key) != value
        ]
        if changed:
            raise InputError(
                f"{self.output} was prepared with other settings ({'; '.join(changed)}); choose "
                "another --output, or remove it first"
            )

    def run(self, skip_bad: bool, workers: int) -> None:
        """Write the missing shards and then the manifest; a finished folder is checked instead.

        Raises InputError where an image cannot be used or has changed, or writing fails.
        """
        with ThreadPoolExecutor(workers) as pool:
            if (self.output / MANIFEST).is_file():
                self._check_finished(pool)
                return
            notes = self._finished_shards()
            done = sum(len(note["images"]) + len(note["skipped"]) for note in notes)
            self._check_sources(pool, notes, self._pieces[:done])
            self._remove_all_except(notes)
            try:
                self._write_shards(pool, notes, self._pieces[done:], skip_bad, workers)
            except (InputError, RuntimeError, OSError, MindRecordException) as error:
                full = shutil.disk_usage(self.output).free < _LEAST_FREE
                self._remove_all_except(notes)  # an incomplete shard would only take up space
                raise _write_error(self.output, error, full) from None
        self._finish(notes)

    def _finished_shards(self) -> list[ManifestEntry]:
        """Return the notes of the undamaged shards that an earlier run finished."""
        notes: list[ManifestEntry] = []
        while True:
            path = self._unfinished / f"{len(notes):05}.json"
            if not path.is_file():
                return notes
            note = read_json(path)
            if find_damage(self.output, note):
                return notes
            notes.append(note)

    def _check_sources(
        self,
        pool: ThreadPoolExecutor,
        shards: list[ManifestEntry],
        numbers: range,
        skipped: Any = (),
    ) -> None:
        """Raise InputError unless the shards were made from exactly these pieces."""
        entries = [entry for shard in shards for entry in shard["images"]]
        entries += [entry for shard in shards for entry in shard.get("skipped", ())]
        before = {entry["name"]: _identity(entry) for entry in (*entries, *skipped)}
        found = pool.map(self.inputs.identify, numbers)
        now = {entry["name"]: _identity(entry) for entry in found}
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if changed:
            raise InputError(
                f"{self.inputs.source}: changed since {self.output} was prepared from it "
                f"({comma_list(changed)}); choose another --output, or remove it first"
            )

    def _check_finished(self, pool: ThreadPoolExecutor) -> None:
        manifest = read_manifest(self.output)
        self._check_sources(pool, manifest["shards"], self._pieces, manifest["skipped"])
        for shard in manifest["shards"]:
            damage = find_damage(self.output, shard)
            if damage:
                raise InputError(f"{damage}; remove {self.output} and prepare again")
        shutil.rmtree(self._unfinished, ignore_errors=True)
        size = self._describe_size(manifest)
        say(f"{self.output}: already prepared, {size}, every shard checked")

    def _remove_all_except(self, notes: list[ManifestEntry]) -> None:
        """Remove the files of an interrupted run that belong to no finished shard."""
        kept = {name for note in notes for name in (note["file"], f"{note['file']}.db")}
        kept |= {f"{number:05}.json" for number in range(len(notes))} | {SETTINGS, "lock"}
        for path in (*self.output.iterdir(), *self._unfinished.iterdir()):
            if path.is_file() and path.name not in kept:
                path.unlink()

    def _describe_size(self, manifest: ManifestEntry) -> str:
        """Return the numbers of pieces and of the patches or slices in them, for a message."""
        pieces = sum(len(shard["images"]) for shard in manifest["shards"])
        inside = ""
        if manifest.get("layout") == PATCHES:
            inside = f", {manifest['records']:,} patches"
        elif pieces != manifest["count"]:
            inside = f", {manifest['count']:,} slices"
        return f"{pieces} {self.inputs.unit}{inside}"

    def _write_shards(
        self,
        pool: ThreadPoolExecutor,
        notes: list[ManifestEntry],
        numbers: range,
        skip_bad: bool,
        workers: int,
    ) -> None:
        """Write the shards of the remaining pieces, and append their notes."""
        began, nbytes = time.perf_counter(), 0
        inputs = self.inputs
        shard = None
        with PreparingProgress(len(self._pieces), len(self._pieces) - len(numbers)) as progress:
            for loaded in load_in_order(
                pool, inputs, numbers, min(workers, inputs.max_in_memory or workers)
            ):
                reason = loaded.entry.get("reason")
                if reason and not skip_bad:
                    raise InputError(
                        f"{inputs.source / loaded.entry['name']}: {reason}; correct it and run the "
                        "same command to go on, or leave such images out with --skip_bad"
                    )
                if shard and not reason and shard.lacks_room_for(loaded, self._shard_bytes):
                    notes.append(shard.finish())
                    shard = None
                shard = shard or ShardWriter(
                    self.output, len(notes), inputs.columns, inputs.max_record_bytes
                )
                shard.add(loaded)
                nbytes += loaded.pixel_bytes
                progress.advance(nbytes / (time.perf_counter() - began))
            if shard and shard.images:
                notes.append(shard.finish())
        seconds = time.perf_counter() - began
        say(
            f"{inputs.source}: {len(numbers)} {inputs.unit}, {nbytes / 1e6:.0f} MB of pixels in "
            f"{seconds:.1f} s ({nbytes / 1e6 / seconds:.0f} MB/s)"
        )

    def _finish(self, notes: list[ManifestEntry]) -> None:
        from mindspore import __version__ as mindspore_version

        skipped = [entry for note in notes for entry in note.pop("skipped")]
        count = sum(len(entry_image_names(entry)) for note in notes for entry in note["images"])
        if not count:
            raise InputError(
                f"{self.inputs.source}: none of its images can be used, nothing is prepared"
            )
        manifest = {
            "ms_restore": __version__,
            "mindspore": mindspore_version,
            **self._settings,
            "count": count,
            "records": sum(note["records"] for note in notes),
            "skipped": skipped,
            "shards": notes,
        }
        path = self._unfinished / MANIFEST
        write_json(path, manifest)
        path.replace(self.output / MANIFEST)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        megabytes = sum(note["bytes"] + note["index_bytes"] for note in notes) / 1e6
        size = self._describe_size(manifest)
        say(f"{self.output}: {size} in {len(notes)} shards, {megabytes:.0f} MB")
        if skipped:
            names = comma_list((f"{entry['name']} ({entry['reason']})" for entry in skipped), 20)
            say(f"{len(skipped)} images were left out: {names}")


def _identity(entry: ManifestEntry) -> tuple[Any, ...]:
    """Return what must not change between two runs: the hashes of a piece's files."""
    low = entry.get("low_resolution", {})
    return entry["sha256"], low.get("name"), low.get("sha256")


def _write_error(output: Path, error: Exception, disk_full: bool) -> InputError:
    """Return the InputError for a failed run, with the way to resume it."""
    way_out = "finished shards are kept: run the same command to go on"
    if disk_full:
        return InputError(f"{output}: the disk is full; free some space, {way_out}")
    if isinstance(error, InputError):
        return error
    known = error.strerror if isinstance(error, OSError) else None
    reason = known or " ".join(str(error).split())
    return InputError(f"{output}: cannot be written ({reason}); {way_out}")
