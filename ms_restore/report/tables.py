"""Tables on the terminal, by Rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Optional

from rich import box
from rich.console import Console
from rich.table import Table

from ms_restore.contracts import Figure
from ms_restore.report.terminal import QUIET, printable


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line; Rich would end the process with exit code 1."""
        raise  # the BrokenPipeError that is being handled


console = _Console(highlight=False, soft_wrap=True, quiet=QUIET)


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
