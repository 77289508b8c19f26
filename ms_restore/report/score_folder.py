"""The folder that eval writes: metrics.json, a comparison picture of each image, report.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ms_restore.files import write_json
from ms_restore.report.pictures import comparison
from ms_restore.report.score_page import COMPARISONS, comparison_names, write_score_page

METRICS = "metrics.json"


class ScoreFolder:
    """Writes the figures and pictures of an evaluation into a folder.

    ``joined``: the pictures' names have no spaces and colons, which those of kernels would bring.
    """

    def __init__(self, folder: Path, joined: bool = False) -> None:
        self._folder = folder
        self._joined = joined

    def compare(self, name: str, panels: list[tuple[str, np.ndarray]]) -> None:
        """Write the comparison picture of an image; ``panels`` are explained at ``comparison``."""
        plain, joined = comparison_names(name)
        comparison(self._folder / COMPARISONS / (joined if self._joined else plain), panels)

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json and remove the pictures of an earlier one that are not of this one.

        Other files stay as they are.
        """
        present = {comparison_names(row["name"])[self._joined] for row in metrics["images"]}
        for name in self._earlier_names():
            for file in {*comparison_names(name)} - present:
                (self._folder / COMPARISONS / file).unlink(missing_ok=True)
        write_json(self._folder / METRICS, metrics)

    def show(self, metrics: dict[str, Any]) -> str:
        """Write report.html once all else is written; return a line that says what is where."""
        page = write_score_page(self._folder, metrics)
        return f"metrics.json and comparisons/ in {self._folder}; to look at: {page}"

    def _earlier_names(self) -> list[str]:
        """Return the names of the images in the metrics.json that is there, if it is whole."""
        try:
            found = json.loads((self._folder / METRICS).read_text(encoding="utf-8"))
            return [str(row["name"]) for row in found["images"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
