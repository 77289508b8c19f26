"""The files of a run folder by name, and what can be checked of it before MindSpore is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

from ms_restore.errors import InputError
from ms_restore.files import LOCK

RECIPE, LOG, ENVIRONMENT, DATA = "recipe.yaml", "log.jsonl", "environment.jsonl", "data.json"
PROFILE = "profile"
WARM_UP = 5  # steps of a performance run that are not measured
_OWN = {  # what a run writes before its first checkpoint
    *(LOCK, RECIPE, LOG, ENVIRONMENT, DATA, PROFILE, "best.ckpt", "checkpoints", "report.html"),
    *("tensorboard", "mindinsight", "wandb", "mlflow"),
}


def check_free(folder: Path) -> None:
    """Raise InputError where a new run cannot have the folder to itself.

    What a run left that was killed before its first checkpoint does not count.
    """
    if not folder.exists() or (folder.is_dir() and is_left_over(folder)):
        return
    holds = "holds another run" if (folder / RECIPE).exists() else "is not empty"
    raise InputError(
        f"{folder} {holds}; choose another --output_dir, go on with --resume {folder}, "
        "or remove it first"
    )


def is_left_over(folder: Path) -> bool:
    """Tell whether a folder holds nothing but what a run wrote before its first checkpoint."""
    names = {path.name for path in folder.iterdir() if not path.name.endswith(".writing")}
    if not names:
        return True
    return LOCK in names and names <= _OWN and not any((folder / "checkpoints").glob("*.ckpt"))


def clear_left_over(folder: Path) -> bool:
    """Remove what a run wrote that was killed before its first checkpoint; tell if there was any.

    The caller holds the folder's lock, which stays.
    """
    found = [folder / name for name in sorted(_OWN - {LOCK}) if (folder / name).exists()]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return bool(found)


def check_steps(max_steps: int) -> None:
    """Raise InputError where a run of this number of steps would do nothing."""
    if max_steps < 1:
        raise InputError(f"max_steps {max_steps}: expected at least 1")


def check_measured_steps(max_steps: int) -> None:
    """Raise InputError where a performance run of this number of steps would measure none."""
    if max_steps <= WARM_UP:
        raise InputError(f"max_steps {max_steps}: a performance run needs more than {WARM_UP}")
