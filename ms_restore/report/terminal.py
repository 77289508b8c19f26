"""Lines on the terminal; tables are in ``tables``, progress bars in ``progress_bars``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Optional, Protocol, TypeVar

from ms_restore.contracts import Figure
from ms_restore.errors import comma_list

QUIET = os.environ.get("RANK_ID", "0") != "0"
"""Whether this process is another rank than the first, which alone prints."""


def say(line: str) -> None:
    """Print a line literally, without markup."""
    if not QUIET:
        print(printable(line), flush=True)


def printable(text: str) -> str:
    r"""Return the text with \\x and \\u in place of what the terminal's encoding does not have.

    File names that are not UTF-8 have such characters.
    """
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class _TerminalHandler(logging.Handler):
    """Prints what modules of the package log that do not import this one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a log record's message."""
        say(record.getMessage())


_log = logging.getLogger("ms_restore")
if not _log.handlers:
    _log.addHandler(_TerminalHandler())


_T = TypeVar("_T")
_Job = TypeVar("_Job", covariant=True)
Watch = Callable[[int, int], None]
"""Told how many of how many pieces are done; what it raises ends the work."""
_MIN_JOBS = 8  # fewer jobs need no bar


class Jobs(Protocol[_Job]):
    """A known number of jobs."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[_Job]: ...


def progress(jobs: Jobs[_T], what: str, watch: Optional[Watch] = None) -> Iterator[_T]:
    """Yield the jobs, with a bar on a terminal if they are many, which disappears at the end.

    ``what`` is the bar's caption; ``watch`` is called before each job, and after the last one.
    """
    if len(jobs) >= _MIN_JOBS and sys.stdout.isatty():
        from ms_restore.report import progress_bars  # Rich takes a tenth of infer's start

        shown: Iterable[_T] = progress_bars.tracked(jobs, what)
    else:
        shown = jobs
    for done, job in enumerate(shown):
        if watch is not None:
            watch(done, len(jobs))
        yield job
    if watch is not None:
        watch(len(jobs), len(jobs))


def score_line(
    name: str, baseline: str, ours: str, mean: dict[str, float], figures: Mapping[str, Figure]
) -> str:
    """Return the line of an evaluation's leading mean, under the protocol ``name``."""
    key, figure = next(iter(figures.items()))
    before, after = mean[f"baseline_{key}"], mean[key]
    difference = f"{figure.difference(after, before)} {figure.unit}".rstrip()
    return f"{name}: {baseline} {figure.text(before)}, {ours} {figure.text(after)} ({difference})"


def say_infinite(figure: Figure, names: Sequence[str]) -> None:
    """Say of which images a figure is infinite, if of any."""
    if names:
        say(
            f"note: left out of the mean {figure.label}, as theirs or their baseline's is infinite "
            f"({figure.infinite}): {comma_list(names)}"
        )
