"""Going back to an earlier step of a run, so that nothing is lost before the run goes on from it.

What is later than the step is set aside inside of the run folder. It is removed once the run has
written a checkpoint of its own, and put back where it ended without one.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError, comma_list
from ms_restore.files import atomic_write
from ms_restore.report.terminal import say
from ms_restore.training.run_files import LOG
from ms_restore.weights import checkpoint, run_checkpoints

_ASIDE = "set_aside"


def resume_point(path: Path) -> tuple[Path, Optional[Path]]:
    """Return the run folder that --resume names, and the checkpoint in it, where it names one.

    A checkpoint may be named without the zeros of its number: step_200.ckpt.
    """
    if path.suffix != ".ckpt" or path.is_dir():
        return path, None
    number = re.fullmatch(r"step_(\d+)", path.stem)
    if number is None or path.absolute().parent.name != "checkpoints":
        raise InputError(
            f"--resume {path}: expected a run folder, or a checkpoint in its folder checkpoints, "
            f"such as RUN/checkpoints/step_00000100.ckpt; to start anew from weights, use "
            f"--pretrained {path}"
        )
    folder = path.parent.parent
    found = run_checkpoints.step_path(folder, int(number.group(1)))
    if not found.is_file():
        there = comma_list([other.name for other in run_checkpoints.newest(folder)], 9)
        raise InputError(f"--resume {path}: no such checkpoint; {folder} has {there or 'none'}")
    return folder, found


def set_aside(folder: Path, step: int) -> None:
    """Set aside the later checkpoints and a later best one, and keep the whole log beside them.

    Each is moved by itself, the newest first, so a kill in between leaves a run to resume.
    """
    later = [
        path
        for path in run_checkpoints.newest(folder)
        if path > run_checkpoints.step_path(folder, step)
    ]
    if not later:
        return
    aside = folder / _ASIDE
    aside.mkdir(exist_ok=True)
    for name in (LOG, run_checkpoints.BEST):
        if (folder / name).exists() and not (aside / name).exists():
            with atomic_write(aside / name) as temporary:
                shutil.copyfile(folder / name, temporary)
    for path in later:
        path.replace(aside / path.name)
    if not has_best(folder, step):
        (folder / run_checkpoints.BEST).unlink(missing_ok=True)
    names = comma_list([path.stem for path in later], 9)
    say(f"back to step {step}: what is later ({names}) is set aside until the next checkpoint")


def has_best(folder: Path, step: int) -> bool:
    """Tell whether the run's best checkpoint is of that step or an earlier one."""
    path = folder / run_checkpoints.BEST
    return path.is_file() and int(checkpoint.read(path).facts.get("step", 0)) <= step


def discard(folder: Path) -> None:
    """Remove what was set aside, as the run has written a checkpoint of its own."""
    if (folder / _ASIDE).exists():
        shutil.rmtree(folder / _ASIDE)


def put_back(folder: Path) -> None:
    """Put back what is still set aside, as the run ended without a checkpoint of its own."""
    aside = folder / _ASIDE
    if not aside.exists():
        return
    for path in sorted(aside.glob("step_*.ckpt")):
        path.replace(folder / "checkpoints" / path.name)
    for name in (LOG, run_checkpoints.BEST):
        if (aside / name).exists():
            (aside / name).replace(folder / name)
    shutil.rmtree(aside)
