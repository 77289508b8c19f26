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
from ms_restore.files import exclusive_folder
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.version import __version__
from ms_restore.weights import checkpoint
from ms_restore.weights.checkpoint import Checkpoint

RECIPE, LOG = "recipe.yaml", "log.jsonl"


def check_free(folder: Path) -> None:
    """Raise InputError where a new run cannot have the folder to itself."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        holds = "holds another run" if (folder / RECIPE).exists() else "is not empty"
        raise InputError(
            f"{folder} {holds}; choose another --output_dir, go on with --resume {folder}, "
            "or remove it first"
        )


@contextlib.contextmanager
def in_use(folder: Path, recipe: Recipe) -> Iterator[None]:
    """Write the recipe and the environment, and keep every other run out meanwhile.

    A folder from which no checkpoint came is removed again.
    """
    busy = "another process is training into it; wait for it, or choose another folder"
    with exclusive_folder(folder, busy):
        try:
            (folder / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
            with (folder / "environment.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(_environment()) + "\n")
            yield
        finally:
            if not checkpoint.newest(folder):
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
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA"),
    }


def saved_recipe(folder: Path) -> Recipe:
    """Return the recipe of the run in the folder."""
    path = folder / RECIPE
    if not path.is_file():
        raise InputError(f"{folder}: no run to resume here ({RECIPE} is missing)")
    return recipes.parse(path.read_text(encoding="utf-8"), origin=str(path))


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


def last_checkpoint(folder: Path) -> Checkpoint:
    """Read the newest checkpoint that is whole, and say which damaged ones were passed over."""
    for path in checkpoint.newest(folder):
        try:
            return checkpoint.read(path)
        except InputError as error:
            say(f"passed over: {error}")
    raise InputError(f"{folder}: no whole checkpoint to resume from; start anew in another folder")


def cut_log(folder: Path, step: int) -> None:
    """Remove from the log the lines of steps that will be run again, and one that was cut short."""
    path = folder / LOG
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        entry: Optional[dict[str, Any]] = None
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
        if entry is not None and entry["step"] <= step:
            kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")
