"""Progress bars on the terminal, by Rich."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Optional, TypeVar

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ms_restore.report.tables import console
from ms_restore.report.terminal import Jobs, printable, say

_T = TypeVar("_T")


def tracked(jobs: Jobs[_T], what: str) -> Iterator[_T]:
    """Yield the jobs with a bar that has the caption ``what`` and disappears at the end."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(jobs, total=len(jobs), description=what)


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
