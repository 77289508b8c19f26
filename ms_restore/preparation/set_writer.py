"""Writing one prepared folder: shards of MindRecord, in a way that can be interrupted.

Threads read and decode the pieces (which releases Python's lock), a few ahead of the main thread,
which cuts them and writes the records in the order of their names. A shard is written in the
subfolder ``unfinished``, moved out when it is whole, and noted there in a small JSON file; a run
that begins again keeps every shard whose note, files and source images still agree. So the result
has the same bytes whether or not it was interrupted.
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

from ms_restore import __version__
from ms_restore.data.prepared.manifest import (
    FORMAT,
    MANIFEST,
    PATCHES,
    SUFFIX,
    UNFINISHED,
    read_manifest,
    slice_names,
)
from ms_restore.errors import InputError, comma_list
from ms_restore.files import exclusive_folder
from ms_restore.preparation.contents import Inputs, in_order
from ms_restore.preparation.shard_writer import (
    SETTINGS,
    Entry,
    Shard,
    damage_of,
    read_json,
    write_json,
)
from ms_restore.report.terminal import PreparingProgress, say

_LEAST_FREE = 64 << 20  # bytes below which a failed write is put down to a full disk
_OURS = re.compile(rf"{re.escape(MANIFEST)}|{UNFINISHED}|\d{{5}}{re.escape(SUFFIX)}(\.db)?")


def write(jobs: list[Job], output: Path, skip_bad: bool, workers: Optional[int]) -> None:
    """Write the folders, all in ``output``; InputError where anything cannot be used."""
    problems = [line for job in jobs for line in job.inputs.problems]
    if skip_bad:
        for line in problems:
            say(line)
    elif problems:
        raise InputError(*problems, "mend them, or leave them out with --skip_bad")
    _check_free(output, [job.output for job in jobs])
    with contextlib.ExitStack() as claims:
        for job in jobs:
            claims.enter_context(job.claimed())
        for job in jobs:
            job.run(skip_bad, workers or os.cpu_count() or 1)


def _check_free(output: Path, folders: list[Path]) -> None:
    """InputError where the output holds anything that preparing did not write."""
    for folder in {output, *folders}:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; choose another --output")
        expected = {inner.name for inner in folders if inner.parent == folder}
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        begun = folder in folders and bool(there & {MANIFEST, UNFINISHED})
        foreign = {name for name in there - expected if not (begun and _OURS.fullmatch(name))}
        if foreign:
            raise InputError(
                f"{folder} is not empty and not a set prepared from these images (it holds "
                f"{comma_list(sorted(foreign))}); choose another --output, or remove it first"
            )


class Job:
    """What a prepared folder is made of, and the folder.

    ``noted``: the ``model``, ``shard_bytes`` and ``limit`` (of pieces, or None) of ``prepare``.
    """

    def __init__(self, inputs: Inputs, output: Path, noted: Entry) -> None:
        self.inputs = inputs
        self.output = output
        self._unfinished = output / UNFINISHED
        self._shard_bytes = noted["shard_bytes"]
        limit = noted["limit"]
        self._pieces = range(len(inputs) if limit is None else inputs.first(limit))
        self._settings = {
            "format": FORMAT,
            "model": noted["model"],
            **inputs.settings,
            "shard_bytes": self._shard_bytes,
            "limit": limit,
        }

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the output folder, which is new, or was begun or finished with these settings."""
        if (self.output / MANIFEST).is_file():
            manifest = read_manifest(self.output)
            self._check_settings({key: manifest.get(key) for key in self._settings})
            yield
            return
        path = self._unfinished / SETTINGS
        with exclusive_folder(
            self._unfinished, "another ms-restore prepare is writing there; wait for its end"
        ):
            if path.is_file():
                self._check_settings(read_json(path))
            else:
                write_json(path, self._settings)
            yield

    def _check_settings(self, found: Entry) -> None:
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
        """Write what is missing, and at last the manifest."""
        with ThreadPoolExecutor(workers) as pool:
            if (self.output / MANIFEST).is_file():
                self._check_finished(pool)
                return
            notes = self._notes()
            done = sum(len(note["images"]) + len(note["skipped"]) for note in notes)
            self._check_sources(pool, notes, self._pieces[:done])
            self._remove_all_but(notes)
            try:
                self._write_shards(pool, notes, self._pieces[done:], skip_bad, workers)
            except (InputError, RuntimeError, OSError, MindRecordException) as error:
                full = shutil.disk_usage(self.output).free < _LEAST_FREE
                self._remove_all_but(notes)  # half a shard, which takes up space
                raise _failed(self.output, error, full) from None
        self._finish(notes)

    def _notes(self) -> list[Entry]:
        """The notes of the shards that an earlier run finished and that are whole."""
        notes: list[Entry] = []
        while True:
            path = self._unfinished / f"{len(notes):05}.json"
            if not path.is_file():
                return notes
            note = read_json(path)
            if damage_of(self.output, note):
                return notes
            notes.append(note)

    def _check_sources(
        self, pool: ThreadPoolExecutor, shards: list[Entry], numbers: range, skipped: Any = ()
    ) -> None:
        """InputError unless the shards were made of exactly these images."""
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
            damage = damage_of(self.output, shard)
            if damage:
                raise InputError(f"{damage}; remove {self.output} and prepare again")
        shutil.rmtree(self._unfinished, ignore_errors=True)
        say(f"{self.output}: already prepared, {self._size(manifest)}, every shard checked")

    def _remove_all_but(self, notes: list[Entry]) -> None:
        """Remove what an interrupted run left behind."""
        kept = {name for note in notes for name in (note["file"], f"{note['file']}.db")}
        kept |= {f"{number:05}.json" for number in range(len(notes))} | {SETTINGS, "lock"}
        for path in (*self.output.iterdir(), *self._unfinished.iterdir()):
            if path.is_file() and path.name not in kept:
                path.unlink()

    def _size(self, manifest: Entry) -> str:
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
        notes: list[Entry],
        numbers: range,
        skip_bad: bool,
        workers: int,
    ) -> None:
        """Append the shards of the images that are left, and their notes."""
        began, nbytes = time.perf_counter(), 0
        inputs = self.inputs
        shard = None
        with PreparingProgress(len(self._pieces), len(self._pieces) - len(numbers)) as progress:
            for loaded in in_order(pool, inputs, numbers, min(workers, inputs.at_once or workers)):
                reason = loaded.entry.get("reason")
                if reason and not skip_bad:
                    raise InputError(
                        f"{inputs.source / loaded.entry['name']}: {reason}; mend it and go on with "
                        "the same command, or leave such images out with --skip_bad"
                    )
                if shard and not reason and shard.full(loaded, self._shard_bytes):
                    notes.append(shard.finish())
                    shard = None
                shard = shard or Shard(self.output, len(notes), inputs.columns, inputs.largest)
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

    def _finish(self, notes: list[Entry]) -> None:
        from mindspore import __version__ as mindspore_version

        skipped = [entry for note in notes for entry in note.pop("skipped")]
        count = sum(len(slice_names(entry)) for note in notes for entry in note["images"])
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
        size = sum(note["bytes"] + note["index_bytes"] for note in notes)
        say(f"{self.output}: {self._size(manifest)} in {len(notes)} shards, {size / 1e6:.0f} MB")
        if skipped:
            names = comma_list((f"{entry['name']} ({entry['reason']})" for entry in skipped), 20)
            say(f"{len(skipped)} images were left out: {names}")


def _identity(entry: Entry) -> tuple[Any, ...]:
    low = entry.get("low_resolution", {})
    return entry["sha256"], low.get("name"), low.get("sha256")


def _failed(output: Path, error: Exception, full: bool) -> InputError:
    way_out = "what is finished stays: run the same command to go on"
    if full:
        return InputError(f"{output}: the disk is full; free some space, {way_out}")
    if isinstance(error, InputError):
        return error
    known = error.strerror if isinstance(error, OSError) else None
    reason = known or " ".join(str(error).split())
    return InputError(f"{output}: cannot be written ({reason}); {way_out}")
