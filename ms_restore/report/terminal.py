"""Lines, tables and progress bars on the terminal."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Optional, TypeVar

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from ms_restore.contracts import Figure
from ms_restore.errors import comma_list


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line; Rich would end the process with exit code 1."""
        raise  # the BrokenPipeError that is being handled


# with several ranks, only the first one prints
console = _Console(highlight=False, soft_wrap=True, quiet=os.environ.get("RANK_ID", "0") != "0")


def say(line: str) -> None:
    """Print a line literally, without markup."""
    console.print(printable(line), markup=False)


def printable(text: str) -> str:
    r"""Return the text with \\x and \\u in place of what the terminal's encoding does not have.

    File names that are not UTF-8 have such characters.
    """
    encoding = sys.stdout.encoding or "utf-8"  # to which the console prints
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
Watch = Callable[[int, int], None]
"""Told how many of how many pieces are done; what it raises ends the work."""
_MIN_JOBS = 8  # fewer jobs need no bar


def progress(jobs: Sequence[_T], what: str, watch: Optional[Watch] = None) -> Iterator[_T]:
    """Yield the jobs, with a bar on a terminal if they are many, which disappears at the end.

    ``what`` is the bar's caption; ``watch`` is called before each job, and after the last one.
    """
    shown = console.is_terminal and len(jobs) >= _MIN_JOBS
    with Progress(console=console, transient=True, disable=not shown) as bar:
        for done, job in enumerate(bar.track(jobs, description=what)):
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


class Column(NamedTuple):
    """A column of a table: its heading, the width at which it is broken, and whether of numbers."""

    heading: str
    most: Optional[int] = None
    right: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of texts below the headings; what is too long for its column is broken there."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(
            column.heading,
            justify=justify,
            max_width=column.most,
            no_wrap=column.most is None,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(printable, row))
    console.print(table, soft_wrap=False)


def score_table(
    scores: list[dict[str, Any]],
    mean: dict[str, float],
    baseline: str,
    figures: Mapping[str, Figure],
    groups: Optional[dict[str, dict[str, Any]]] = None,
) -> None:
    """Print a table with the scores of each image, of groups and of all images.

    Args:
        scores: rows of ``scoring.score``.
        mean: the means of all images.
        baseline: name of the baseline.
        figures: what is printed, by the keys of the scores; of the first also the differences.
        groups: the means of groups of images, by group name.
    """
    lines = box.HEAVY_HEAD if printable("┃") == "┃" else box.ASCII
    table = Table(title_justify="left", box=lines)
    table.add_column("image")
    leading = next(iter(figures))
    for key, figure in figures.items():
        headings = [f"{baseline} {figure.heading}", f"ours {figure.heading}"]
        for heading in headings + ([figure.gained] if key == leading else []):
            table.add_column(heading, justify="right")
    grouped = [
        {"name": f"mean of {name} ({row['images']})", **row} for name, row in (groups or {}).items()
    ]
    for number, row in enumerate([*scores, *grouped, {"name": "mean", **mean}]):
        if number == len(scores):
            table.add_section()
        cells = [printable(row["name"])]
        for key, figure in figures.items():
            before, after = row[f"baseline_{key}"], row[key]
            cells += [figure.plain(before), figure.plain(after)]
            cells += [figure.difference(after, before)] if key == leading else []
        table.add_row(*cells)
    console.print(table, soft_wrap=False)


class TrainingProgress:
    """Progress of training: a bar on a terminal, and a line at each validation.

    Args:
        first: step at which the run begins.
        last: step at which it ends.
    """

    def __init__(self, first: int, last: int) -> None:
        self._psnr = ""
        self._bar: Optional[Progress] = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("", completed=first, total=last, figures="")
            self._bar.start()

    def step(self, step: int, loss: float, images_per_second: float) -> None:
        """Show a step on the bar."""
        if self._bar is not None:
            figures = f"loss {loss:.5f}  {self._psnr}{images_per_second:.0f} images/s"
            self._bar.update(self._task, completed=step, figures=figures)

    def validation(
        self,
        step: int,
        loss: float,
        psnr: float,
        each: Mapping[str, float],
        images_per_second: float,
    ) -> None:
        """Print the line of a validation; PSNR is in dB, ``each`` that of each kind of weights."""
        self._psnr = f"PSNR {psnr:.2f} dB  "
        several = ", ".join(f"{name} {value:.2f}" for name, value in each.items())
        note = f" ({several})" if len(each) > 1 else ""
        say(
            f"step {step}: loss {loss:.5f}, PSNR {psnr:.2f} dB{note}, "
            f"{images_per_second:.0f} images/s"
        )

    def close(self) -> None:
        """Stop the bar."""
        if self._bar is not None:
            self._bar.stop()


class PreparingProgress:
    """Progress of preparing a set: a bar on a terminal, nothing elsewhere.

    Args:
        total: number of pieces.
        done: number of pieces that are already prepared.
    """

    def __init__(self, total: int, done: int) -> None:
        self._bar = Progress(
            TextColumn("image {task.completed}/{task.total}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=done, rate="")

    def __enter__(self) -> PreparingProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def advance(self, rate: float) -> None:
        """Count a piece, and show the rate in bytes of pixels per second."""
        self._bar.update(self._task, advance=1, rate=f"{rate / 1e6:.0f} MB/s")


class SolverProgress:
    """Progress of a solver: a bar on a terminal, nothing elsewhere."""

    def __init__(self, iterations: int) -> None:
        self._bar = Progress(
            TextColumn("iteration {task.completed}/{task.total}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=iterations, figures="")
        self._psnr = ""
        self._bar.start()

    def update(self, iteration: int, misfit_255: float, psnr: Optional[float]) -> None:
        """Show an iteration, its misfit of 255 and, if it is known, its PSNR in dB."""
        if psnr is not None:
            self._psnr = f"  PSNR {psnr:.2f} dB"
        figures = f"misfit {misfit_255:.2f}/255{self._psnr}"
        self._bar.update(self._task, completed=iteration, figures=figures)

    def close(self) -> None:
        """Stop the bar."""
        self._bar.stop()


class DownloadProgress:
    """Progress of a download: a bar with per cent and rate on a terminal, a line at the end.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self._bar = Progress(
            TextColumn(printable(name)),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)
        self._name, self._first, self._bytes = name, -1, 0
        self._began = time.perf_counter()

    def __enter__(self) -> DownloadProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
        if self._bytes and exception[0] is None:
            rate = (self._bytes - self._first) / (time.perf_counter() - self._began) / 1e6
            before = f", {self._first:,} of them before" if self._first else ""
            say(f"{self._name}: {self._bytes:,} bytes{before}, {rate:.1f} MB/s")

    def update(self, here: int, total: Optional[int]) -> None:
        """Show how many bytes are here, and how many there will be, None if that is not known."""
        if self._first < 0:
            self._first = here
        self._bytes = here
        self._bar.update(self._task, completed=here, total=total)
