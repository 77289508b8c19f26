"""Many pictures: threads read and write while the engine computes; what was done is not redone."""

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

Pair = tuple[Path, Path]  # a picture, and the file to write
_WORKERS = 2  # threads that read, and as many that write
_BYTES = 512 << 20  # of pictures in flight, unless one alone is larger
_RECORD = ".ms_restore.jsonl"


@dataclasses.dataclass
class Outcome:
    """The pairs that were written, and what was wrong with the others, one line each."""

    written: list[Pair] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


class _Room:
    """Bytes that are in flight; one picture is let in whatever its size."""

    def __init__(self, most: int) -> None:
        self._most, self._used = most, 0
        self._freed = threading.Condition()

    def admits(self, size: int) -> bool:
        """Whether it fits, and then takes it."""
        with self._freed:
            fits = not self._used or self._used + size <= self._most
            self._used += size if fits else 0
            return fits

    def wait(self, size: int) -> None:
        """Until it fits."""
        with self._freed:
            self._freed.wait_for(lambda: not self._used or self._used + size <= self._most)

    def free(self, size: int) -> None:
        with self._freed:
            self._used -= size
            self._freed.notify_all()


def run(
    pairs: Sequence[Pair],
    read: Callable[[Path], Any],
    compute: Callable[[Pair, Any], Any],
    write: Callable[[Path, Any], Any],
    weigh: Callable[[Path], int],
    finished: Callable[[Pair, Any], None],
    most: int = _BYTES,
) -> Outcome:
    """Read, compute and write every pair, at most ``most`` bytes of pictures at a time.

    ``compute`` and ``finished`` are called in this thread, one after the other and in order, while
    others read and write. A picture that raises InputError when it is read or computed is left out;
    one that cannot be written ends the run, after those that are being written.

    Args:
        pairs: the pictures, and the files to write.
        read: of a picture.
        compute: what is to be written, of the pair and what was read.
        write: to a file, whole or not at all; may return what ``finished`` is to know.
        weigh: bytes that a picture takes, read and computed.
        finished: told of a file that was written, and what ``write`` returned.
    """
    pipeline = _Pipeline(write, finished, _Room(most))
    with ThreadPoolExecutor(_WORKERS) as readers, ThreadPoolExecutor(_WORKERS) as writers:
        try:
            for pair, size, reading in _read_ahead(pairs, read, weigh, readers, pipeline):
                try:
                    picture = reading.result()
                    reading = None  # which holds the picture too
                    result = compute(pair, picture)
                except InputError as error:
                    pipeline.failed(error, size)
                else:
                    pipeline.submit(writers, pair, result, size)
                    del result
                picture = None
                pipeline.settle()
            pipeline.settle(wait=True)
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            writers.shutdown(wait=True)
            raise
    return pipeline.outcome


class _Pipeline:
    """What was computed and is being written, and what came of it."""

    def __init__(
        self,
        write: Callable[[Path, Any], Any],
        finished: Callable[[Pair, Any], None],
        room: _Room,
    ) -> None:
        self.outcome = Outcome()
        self.room = room
        self._write, self._finished = write, finished
        self._behind: collections.deque[tuple[Pair, Future[Any]]] = collections.deque()

    def submit(self, writers: ThreadPoolExecutor, pair: Pair, result: Any, size: int) -> None:
        """Let a thread write what was computed."""
        self._behind.append((pair, writers.submit(self._written, pair[1], result, size)))

    def failed(self, error: InputError, size: int) -> None:
        """Note a picture that cannot be read or computed."""
        self.outcome.problems += error.problems
        self.room.free(size)

    def settle(self, wait: bool = False) -> None:
        """Report the files that are written, with ``wait`` all of them."""
        while self._behind and (wait or self._behind[0][1].done()):
            pair, writing = self._behind.popleft()
            told = writing.result()
            self.outcome.written.append(pair)
            self._finished(pair, told)

    def _written(self, target: Path, result: Any, size: int) -> Any:
        try:
            return self._write(target, result)
        finally:
            self.room.free(size)


def _read_ahead(
    pairs: Sequence[Pair],
    read: Callable[[Path], Any],
    weigh: Callable[[Path], int],
    readers: ThreadPoolExecutor,
    pipeline: _Pipeline,
) -> Iterator[tuple[Pair, int, Any]]:
    """The pairs in order, each with its bytes and the future of what is read."""
    room = pipeline.room
    weighed = ((pair, weigh(pair[0])) for pair in pairs)
    first = next(weighed, None)
    ahead: collections.deque[tuple[Pair, int, Future[Any]]] = collections.deque()
    while first or ahead:
        while first and len(ahead) < 2 * _WORKERS and room.admits(first[1]):
            pair, size = first
            ahead.append((pair, size, readers.submit(read, pair[0])))
            first = next(weighed, None)
        if first and not ahead:
            room.wait(first[1])
            pipeline.settle()
            continue
        yield ahead.popleft()


class Record:
    """What earlier runs have written into a folder, and of what; a hidden file in it.

    A file counts as done if it is as it was written, by the same ``key`` (what stands for the
    network and its settings), from a source that has not changed since.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path, self._key = folder / _RECORD, key
        self._rows: dict[str, dict[str, Any]] = {}
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        for line in lines:
            try:
                row = json.loads(line)
                self._rows[row["target"]] = row
            except (ValueError, KeyError, TypeError):  # cut off by a kill
                continue

    def done(self, pair: Pair) -> bool:
        return self._rows.get(pair[1].name, {}) == self._row(pair)

    def add(self, pair: Pair) -> None:
        row = self._row(pair)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from None

    def _row(self, pair: Pair) -> dict[str, Any]:
        source, target = map(_state, pair)
        return {
            "target": pair[1].name,
            "key": self._key,
            "source": [str(pair[0].resolve()), *source],
            "written": target,
        }


def _state(path: Path) -> list[Optional[int]]:
    try:
        status = path.stat()
    except OSError:
        return [None, None]
    return [status.st_size, status.st_mtime_ns]
