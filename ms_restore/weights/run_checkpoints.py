"""Paths of the checkpoints in a run folder. Does not load MindSpore."""

from __future__ import annotations

from pathlib import Path

from ms_restore.errors import InputError

BEST = "best.ckpt"


def step_path(folder: Path, step: int) -> Path:
    """Return the path of a step's checkpoint in a run folder."""
    return folder / "checkpoints" / f"step_{step:08d}.ckpt"


def newest(folder: Path) -> list[Path]:
    """Return the checkpoints from which a run can be resumed, the newest first."""
    return sorted((folder / "checkpoints").glob("step_*.ckpt"), reverse=True)


def locate(path: Path) -> Path:
    """Return the path of a checkpoint file: the path itself, or the best one of a run folder.

    The file may be of another framework. A run folder without a best checkpoint gives the newest
    one. Raises InputError where there is none.
    """
    if path.is_dir():
        for candidate in (path / BEST, *newest(path)):
            if candidate.is_file():
                return candidate
        raise InputError(
            f"{path}: no checkpoint ({BEST} or checkpoints/step_*.ckpt) in this folder; "
            "name a run folder or a .ckpt file"
        )
    if not path.is_file():
        raise InputError(f"checkpoint {path}: no such file")
    return path
