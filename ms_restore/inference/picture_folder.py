"""Restoration of many pictures: threads read and write while the engine computes.

An interrupted run can be resumed, as a record is kept of the files that are written.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Optional

from ms_restore.errors import InputError

Pair = tuple[Path, Path]  # a picture's file, and the file to write
_WORKERS = 2  # threads that read, and also threads that write
_BYTES = 512 << 20  # limit for the pictures in memory, unless a single one is larger
_RECORD = ".ms_restore.jsonl"


@dataclasses.dataclass
class Outcome:
    """The result of a run: the pairs that were written, and a line for each of the failures."""

    written: list[Pair] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


class _MemoryBudget:
    """A limit on the bytes of pictures in memory; a single picture may have any size."""

    def __init__(self, max_bytes: int) -> None:
        self._most, self._used = max_bytes, 0
        self._freed = threading.Condition()

    def try_reserve(self, size: int) -> bool:
        """Reserve the bytes if they fit, and return whether they did."""
        with self._freed:
            fits = not self._used or self._used + size <= self._most
            self._used += size if fits else 0
            return fits

    def wait(self, size: int) -> None:
        """Wait until the bytes would fit."""
        with self._freed:
            self._freed.wait_for(lambda: not self._used or self._used + size <= self._most)

    def free(self, size: int) -> None:
        """Release reserved bytes."""
        with self._freed:
            self._used -= size
            self._freed.notify_all()


def run(
    pairs: Sequence[Pair],
    read: Callable[[Path], Any],
    compute: Callable[[Pair, Any], Any],
    write: Callable[[Path, Any], Any],
    picture_bytes: Callable[[Path], int],
    finished: Callable[[Pair, Any], None],
    max_bytes: int = _BYTES,
) -> Outcome:
    """Read, compute and write every picture, with a limit on the pictures in memory.

    ``compute`` and ``finished`` are called in this thread and in order, while other threads read
    and write. A picture whose reading or computing raises InputError is skipped and reported in
    the outcome; a failure to write ends the run, once the files being written are complete.

    Args:
        pairs: the pictures' files, and the files to write.
        read: reads a picture's file.
        compute: returns what to write, given the pair and what was read.
        write: writes it to a file, completely or not at all.
        picture_bytes: returns the bytes of a picture in memory, read and computed.
        finished: called with the pair and what ``write`` returned, when a file is written.
        max_bytes: limit for the pictures in memory.
    """
    pipeline = _Pipeline(write, finished, _MemoryBudget(max_bytes))
    with ThreadPoolExecutor(_WORKERS) as readers, ThreadPoolExecutor(_WORKERS) as writers:
        try:
            for pair, size, reading in _read_ahead(pairs, read, picture_bytes, readers, pipeline):
                try:
                    picture = reading.result()
                    reading = None  # the future would keep the picture in memory
                    result = compute(pair, picture)
                except InputError as error:
                    pipeline.note_failure(error, size)
                else:
                    pipeline.submit(writers, pair, result, size)
                    del result
                picture = None
                pipeline.report_finished()
            pipeline.report_finished(wait=True)
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            writers.shutdown(wait=True)
            raise
    return pipeline.outcome


class _Pipeline:
    """The pictures that were computed and are being written, and the outcome."""

    def __init__(
        self,
        write: Callable[[Path, Any], Any],
        finished: Callable[[Pair, Any], None],
        room: _MemoryBudget,
    ) -> None:
        self.outcome = Outcome()
        self.room = room
        self._write, self._finished = write, finished
        self._pending: collections.deque[tuple[Pair, Future[Any]]] = collections.deque()

    def submit(self, writers: ThreadPoolExecutor, pair: Pair, result: Any, size: int) -> None:
        """Have a thread write a computed picture."""
        self._pending.append((pair, writers.submit(self._write_and_release, pair[1], result, size)))

    def note_failure(self, error: InputError, size: int) -> None:
        """Add a picture that cannot be read or computed to the outcome."""
        self.outcome.problems += error.problems
        self.room.free(size)

    def report_finished(self, wait: bool = False) -> None:
        """Report the files that have been written; ``wait`` waits for all of them."""
        while self._pending and (wait or self._pending[0][1].done()):
            pair, writing = self._pending.popleft()
            result = writing.result()
            self.outcome.written.append(pair)
            self._finished(pair, result)

    def _write_and_release(self, target: Path, result: Any, size: int) -> Any:
        try:
            return self._write(target, result)
        finally:
            self.room.free(size)


def _read_ahead(
    pairs: Sequence[Pair],
    read: Callable[[Path], Any],
    picture_bytes: Callable[[Path], int],
    readers: ThreadPoolExecutor,
    pipeline: _Pipeline,
) -> Iterator[tuple[Pair, int, Any]]:
    """Yield the pairs in order, each with its bytes and the future of its picture."""
    room = pipeline.room
    sized = ((pair, picture_bytes(pair[0])) for pair in pairs)
    first = next(sized, None)
    ahead: collections.deque[tuple[Pair, int, Future[Any]]] = collections.deque()
    while first or ahead:
        while first and len(ahead) < 2 * _WORKERS and room.try_reserve(first[1]):
            pair, size = first
            ahead.append((pair, size, readers.submit(read, pair[0])))
            first = next(sized, None)
        if first and not ahead:
            room.wait(first[1])
            pipeline.report_finished()
            continue
        yield ahead.popleft()


def has_record(folder: Path) -> bool:
    """Return whether a run has written pictures into a folder."""
    return (folder / _RECORD).is_file()


class ResumeRecord:
    """A record of the files that runs have written into a folder, kept in a hidden file there.

    A file counts as done if neither it nor its source has changed since it was written, by size
    and modification time, and it was written with the same ``key``.

    Args:
        folder: of the written files.
        key: identifies the network and its settings.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._path, self._key = folder, folder / _RECORD, key
        self._rows: dict[str, dict[str, Any]] = {}
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        for line in lines:
            try:
                row = json.loads(line)
                self._rows[row["target"]] = row
            except (ValueError, KeyError, TypeError):  # cut off when a run was killed
                continue

    def done(self, pair: Pair) -> bool:
        """Return whether the pair's file need not be written again."""
        return self._rows.get(self._name(pair[1]), {}) == self._row(pair)

    def add(self, pair: Pair) -> None:
        """Add a file that has been written; raise InputError where that cannot be recorded."""
        row = self._row(pair)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from None

    def _name(self, target: Path) -> str:
        return target.relative_to(self._folder).as_posix()

    def _row(self, pair: Pair) -> dict[str, Any]:
        source, target = map(_state, pair)
        return {
            "target": self._name(pair[1]),
            "key": self._key,
            "source": [str(pair[0].resolve()), *source],
            "written": target,
        }


def _state(path: Path) -> list[Optional[int]]:
    """Return the size and modification time of a file."""
    try:
        status = path.stat()
    except OSError:
        return [None, None]
    return [status.st_size, status.st_mtime_ns]
