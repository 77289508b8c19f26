"""Lines, tables and the progress bar of training on the terminal."""

from __future__ import annotations

from typing import Any, Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)


def say(line: str) -> None:
    console.print(line, markup=False)


def score_table(scores: list[dict[str, Any]], mean: dict[str, float], baseline: str) -> None:
    """One row an image and the mean: the baseline's figures, ours, and the gain in PSNR."""
    table = Table(title_justify="left")
    table.add_column("image")
    for heading in (f"{baseline} dB", "ours dB", "gain", f"{baseline} SSIM", "ours SSIM"):
        table.add_column(heading, justify="right")
    for row in [*scores, {"name": "mean", **mean}]:
        if row["name"] == "mean":
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

    def __init__(self, steps: int, batch_size: int) -> None:
        self._batch_size = batch_size
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
            self._task = self._bar.add_task("", total=steps, figures="")
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
