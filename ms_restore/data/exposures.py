"""Exposure times of raw files, by the names that See in the Dark gives them.

Chen et al. 2018 name raw files ``<part><scene>_<number>_<seconds>s``: part 0 to train, 1 to test,
2 to validate, and four digits of the scene.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError
from ms_restore.images import raw

MISALIGNED = ("10034", "10045", "10172")  # left out of the figures by the authors
MOST = 300.0  # the ratio beyond which the authors do not amplify
NAME = re.compile(r"(?P<part>[012])(?P<scene>\d{4})_(?P<number>\d{2})_(?P<seconds>.*)s")
_SECONDS = re.compile(r"\d+(\.\d+)?")


def seconds_of(path: Path) -> Optional[float]:
    """The exposure by the file's name, or where that has none by its header."""
    match = NAME.fullmatch(path.stem)
    if match and _SECONDS.fullmatch(match["seconds"]) and float(match["seconds"]) > 0:
        return float(match["seconds"])
    return raw.exposure(path)


def ratio_of(short: Path, long: Path) -> float:
    """min(exposure of the long frame / that of the short one, 300); InputError where unknown."""
    exposures = []
    for path in (short, long):
        seconds = seconds_of(path)
        if seconds is None:
            raise InputError(
                f"{path.name}: no exposure in its name (such as 00001_00_0.1s{path.suffix}) nor in "
                "its header; rename it"
            )
        exposures.append(seconds)
    return min(exposures[1] / exposures[0], MOST)


def holds_raw(folder: Path) -> bool:
    """Whether raw files lie in the folder, or in short/ and long/ of it."""
    if not folder.is_dir():
        return False
    paths = [*folder.iterdir(), *folder.glob("short/*")]
    return any(path.suffix.lower() in raw.SUFFIXES for path in paths)
