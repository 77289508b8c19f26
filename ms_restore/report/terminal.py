"""Lines, tables and the progress bar of training on the terminal."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, Optional, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

# of several ranks the first one speaks
console = Console(highlight=False, soft_wrap=True, quiet=os.environ.get("RANK_ID", "0") != "0")


def say(line: str) -> None:
    """Print a line, as it is."""
    console.print(line, markup=False)


class _Spoken(logging.Handler):
    """Shows what the lower floors of the package log, which do not know the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


_log = logging.getLogger("ms_restore")
if not _log.handlers:
    _log.addHandler(_Spoken())


_T = TypeVar("_T")
_SHOWN_FROM = 8  # work in fewer pieces needs no bar


def progress(jobs: Sequence[_T], what: str) -> Iterator[_T]:
    """The jobs, with a bar on a terminal where they are many; it goes away at the end."""
    shown = console.is_terminal and len(jobs) >= _SHOWN_FROM
    with Progress(console=console, transient=True, disable=not shown) as bar:
        yield from bar.track(jobs, description=what)


def score_table(
    scores: list[dict[str, Any]],
    mean: dict[str, float],
    baseline: str,
    groups: Optional[dict[str, dict[str, Any]]] = None,
) -> None:
    """A row an image, a group's mean and the mean: baseline's figures, ours, the gain in PSNR."""
    table = Table(title_justify="left")
    table.add_column("image")
    for heading in (f"{baseline} dB", "ours dB", "gain", f"{baseline} SSIM", "ours SSIM"):
        table.add_column(heading, justify="right")
    grouped = [
        {"name": f"mean of {name} ({row['images']})", **row} for name, row in (groups or {}).items()
    ]
    for number, row in enumerate([*scores, *grouped, {"name": "mean", **mean}]):
        if number == len(scores):
            table.add_section()
        table.add_row(
            row["name"],
            f"{row['baseline_psnr']:.2f}",
            f"{row['psnr']:.2f}",
            f"{row['psnr'] - row['baseline_psnr']:+.2f}",
            f"{row['baseline_ssim']:.4f}",
            f"{row['ssim']:.4f}",
        )
    console.print(table, soft_wrap=False)


class TrainingProgress:
    """A bar with loss, PSNR and images/s on a terminal; one line at each validation elsewhere."""

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
        if self._bar is not None:
            figures = f"loss {loss:.5f}  {self._psnr}{images_per_second:.0f} images/s"
            self._bar.update(self._task, completed=step, figures=figures)

    def validation(self, step: int, loss: float, psnr: float, images_per_second: float) -> None:
        self._psnr = f"PSNR {psnr:.2f} dB  "
        say(f"step {step}: loss {loss:.5f}, PSNR {psnr:.2f} dB, {images_per_second:.0f} images/s")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class PreparingProgress:
    """A bar with the rate on a terminal; nothing elsewhere. Rates in bytes of pixels a second."""

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
        self._bar.update(self._task, advance=1, rate=f"{rate / 1e6:.0f} MB/s")


class SolverProgress:
    """A bar with the misfit and, where it is known, PSNR on a terminal; nothing elsewhere."""

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
        if psnr is not None:
            self._psnr = f"  PSNR {psnr:.2f} dB"
        figures = f"misfit {misfit_255:.2f}/255{self._psnr}"
        self._bar.update(self._task, completed=iteration, figures=figures)

    def close(self) -> None:
        self._bar.stop()
