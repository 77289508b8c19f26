"""The run folder: what it holds, who may write into it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import mindspore as ms

from ms_restore import recipe as recipes
from ms_restore.errors import InputError
from ms_restore.files import exclusive_folder, remove_unfinished, to_json, write_text
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.texts import read_text
from ms_restore.training import going_back
from ms_restore.training.run_files import ENVIRONMENT, LOG, RECIPE, check_free, clear_left_over
from ms_restore.version import __version__
from ms_restore.weights import checkpoint, run_checkpoints
from ms_restore.weights.checkpoint import Checkpoint


@contextlib.contextmanager
def in_use(folder: Path, recipe: Recipe, resumed: bool) -> Iterator[None]:
    """Write the recipe and the environment, and keep every other run out meanwhile.

    A folder from which no checkpoint came is removed again.
    """
    busy = "another process is training into it; wait for it, or choose another folder"
    with exclusive_folder(folder, busy):
        if not resumed:
            check_free(folder)  # once more, now that no other run can come in between
        try:
            for written in (folder, folder / "checkpoints"):
                remove_unfinished(written)
            if resumed:
                _check_processors(folder)
            elif clear_left_over(folder):
                say(f"note: {folder} held a run that ended before its first checkpoint")
            write_text(folder / RECIPE, recipe.to_yaml())
            lines = [*_whole_lines(folder / ENVIRONMENT), _environment()]
            write_text(folder / ENVIRONMENT, "".join(to_json(line) + "\n" for line in lines))
            yield
        finally:
            going_back.put_back(folder)
            if not run_checkpoints.newest(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, Any]:
    """One line a start of the run: the first and each resumption."""
    return {
        "command": sys.argv,
        "ms_restore": __version__,
        "mindspore": ms.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "processors_used": _processors_used(),
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA"),
    }


def _processors_used() -> int:
    """Return how many processors this process may run on, by which sums on a CPU are divided."""
    return len(os.sched_getaffinity(0))


def _check_processors(folder: Path) -> None:
    """Say where the run is resumed on another number of processors than it began on."""
    starts = [
        line["processors_used"]
        for line in _whole_lines(folder / ENVIRONMENT)
        if "processors_used" in line
    ]
    if starts and starts[-1] != _processors_used():
        say(
            f"warning: this run used {starts[-1]} processors and goes on with "
            f"{_processors_used()}; on a CPU its weights will not be bit for bit those of an "
            "unbroken run"
        )


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON lines, without those that are damaged or cut short."""
    lines = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                lines.append(entry)
    return lines


def saved_recipe(folder: Path) -> Recipe:
    """Return the recipe of the run in the folder."""
    path = folder / RECIPE
    if not path.is_file():
        raise InputError(f"{folder}: no run to resume here ({RECIPE} is missing)")
    if not run_checkpoints.newest(folder):
        raise InputError(
            f"{folder}: the run ended before its first checkpoint, so there is nothing to resume; "
            "start it again by its first command, which may use the same folder"
        )
    return recipes.parse(read_text(path), origin=str(path))


def check_unchanged(saved: Recipe, asked: Recipe, allowed: bool) -> None:
    """Raise InputError that lists what differs between the run's recipe and the one asked for."""
    before, after = (_flat(dataclasses.asdict(recipe)) for recipe in (saved, asked))
    changes = [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    if not changes:
        return
    if not allowed:
        raise InputError(
            f"the run was made with another recipe ({'; '.join(changes)}); "
            "leave these options out, or resume with --allow_changes"
        )
    say(f"resumed with changes: {'; '.join(changes)}")


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        flat.update({f"{prefix}{key}": value} if inner is None else inner)
    return flat


def checkpoint_of(folder: Path, named: Optional[Path]) -> Checkpoint:
    """Read the checkpoint that is named, or else the newest one that is whole.

    Damaged ones that were passed over are said.
    """
    if named is not None:
        return checkpoint.read(named)
    for path in run_checkpoints.newest(folder):
        try:
            return checkpoint.read(path)
        except InputError as error:
            say(f"passed over: {error}")
    raise InputError(f"{folder}: no whole checkpoint to resume from; start anew in another folder")


def cut_log(folder: Path, step: int) -> None:
    """Remove from the log the lines of steps that will be run again, and one that was cut short."""
    lines = _whole_lines(folder / LOG)
    kept = [line for line in lines if isinstance(line.get("step"), int) and line["step"] <= step]
    write_text(folder / LOG, "".join(to_json(line) + "\n" for line in kept))
