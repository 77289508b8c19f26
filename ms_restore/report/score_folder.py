"""The folder that eval writes: metrics.json, and a comparison picture of each image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ms_restore.files import write_json
from ms_restore.report.pictures import comparison

_METRICS, _COMPARISONS = "metrics.json", "comparisons"


class ScoreFolder:
    """Writes the figures and pictures of an evaluation into a folder.

    ``joined``: the pictures' names have no spaces and colons, which those of kernels would bring.
    """

    def __init__(self, folder: Path, joined: bool = False) -> None:
        self._folder = folder
        self._joined = joined

    def compare(self, name: str, panels: list[tuple[str, np.ndarray]]) -> None:
        """Write the comparison picture of an image; ``panels`` are explained at ``comparison``."""
        plain, joined = _file_names(name)
        comparison(self._folder / _COMPARISONS / (joined if self._joined else plain), panels)

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json, and remove the pictures of an earlier one that are not of this one.

        Other files stay as they are.
        """
        present = {_file_names(row["name"])[self._joined] for row in metrics["images"]}
        for name in self._earlier_names():
            for file in {*_file_names(name)} - present:
                (self._folder / _COMPARISONS / file).unlink(missing_ok=True)
        write_json(self._folder / _METRICS, metrics)

    def _earlier_names(self) -> list[str]:
        """Return the names of the images in the metrics.json that is there, if it is whole."""
        try:
            found = json.loads((self._folder / _METRICS).read_text(encoding="utf-8"))
            return [str(row["name"]) for row in found["images"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []


def _file_names(name: str) -> tuple[str, str]:
    """Return how the picture of an image is called, plain and without spaces and colons."""
    plain = name.replace("/", "_")
    return f"{plain}.png", f"{plain.replace(':', '_').replace(' ', '_')}.png"
