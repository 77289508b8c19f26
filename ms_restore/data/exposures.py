"""Exposure times of raw files, read from the file names of the See-in-the-Dark dataset.

Chen et al. 2018 name raw files ``<part><scene>_<number>_<seconds>s``. The part is 0 for training,
1 for testing and 2 for validation; the scene has four digits.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError
from ms_restore.images import raw

MISALIGNED_SCENES = ("10034", "10045", "10172")  # the authors leave these out of their results
MAX_RATIO = 300.0  # the largest amplification that the authors use
FILE_NAME = re.compile(r"(?P<part>[012])(?P<scene>\d{4})_(?P<number>\d{2})_(?P<seconds>.*)s")
_SECONDS = re.compile(r"\d+(\.\d+)?")


def exposure_seconds(path: Path) -> Optional[float]:
    """Return the exposure time in seconds, from the file name or else from the file's header.

    Returns None where neither gives it. Raises InputError where the header cannot be read.
    """
    match = FILE_NAME.fullmatch(path.stem)
    if match and _SECONDS.fullmatch(match["seconds"]) and float(match["seconds"]) > 0:
        return float(match["seconds"])
    return raw.exposure(path)


def exposure_ratio(short: Path, long: Path) -> float:
    """Return the ratio of the long exposure time to the short one, at most 300.

    Raises InputError where one of the two exposure times is unknown.
    """
    exposures = []
    for path in (short, long):
        seconds = exposure_seconds(path)
        if seconds is None:
            raise InputError(
                f"{path.name}: no exposure in its name (such as 00001_00_0.1s{path.suffix}) nor in "
                "its header; rename it"
            )
        exposures.append(seconds)
    return min(exposures[1] / exposures[0], MAX_RATIO)


def has_raw_files(folder: Path) -> bool:
    """Return whether the folder, or its subfolder short/, holds raw files."""
    if not folder.is_dir():
        return False
    paths = [*folder.iterdir(), *folder.glob("short/*")]
    return any(path.suffix.lower() in raw.SUFFIXES for path in paths)
