"""What a run folder tells of its run, read without MindSpore and also while the run goes on."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ms_restore.errors import InputError
from ms_restore.report.run_sections import RunHistory
from ms_restore.texts import parse_json, parse_yaml, read_text
from ms_restore.training.run_files import DATA, ENVIRONMENT, LOG, RECIPE

_MOST_BYTES = 1 << 30  # of data.json
_FIGURES = ("loss", "lr", "images_per_second", "valid_psnr", "best_psnr")


def read_history(folder: Path) -> RunHistory:
    """Read the recipe, the images, the starts and the log of a run.

    Lines that are damaged or cut short are left out. Raises InputError where the folder holds no
    run, or a file of it cannot be read.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise InputError(f"{folder}: no run here ({RECIPE} is missing)")
    text = read_text(path)
    recipe = parse_yaml(text, str(path))  # without its parts, which may be the user's own
    try:
        model, steps, about = recipe["model"], int(recipe["train"]["steps"]), _about(folder, recipe)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"{path}: not the recipe that a run writes") from None
    return RunHistory(
        model=str(model),
        steps=steps,
        recipe=text,
        about=about,
        starts=list(_lines(folder / ENVIRONMENT)),
        figures=_figures(folder / LOG),
    )


def _about(folder: Path, recipe: dict[str, Any]) -> list[tuple[str, Any]]:
    words = [
        str(value) if key == "name" else f"{key} {value}"
        for key, value in recipe["degradation"].items()
        if value is not None
    ]
    return [
        ("model", recipe["model"]),
        ("about", recipe["description"]),
        ("degradation", ", ".join(words)),
        ("protocol", recipe["eval"]["protocol"]),
        ("images", _images(folder / DATA)),
        ("data folder", recipe["data"]["dir"]),
    ]


def _images(path: Path) -> str:
    """Say how many images a run has; "" where it tells nothing of them."""
    if not path.is_file():
        return ""
    content = parse_json(read_text(path, _MOST_BYTES), str(path))
    try:
        counts = [int(content[part]["count"]) for part in ("training", "validation")]
    except (KeyError, TypeError, ValueError):
        return ""
    return f"{counts[0]:,} to train on, {counts[1]:,} to validate"


def _figures(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the steps and values of each figure in a log, of which it has any."""
    found = {name: (array("d"), array("d")) for name in _FIGURES}
    for line in _lines(path):
        step = line.get("step")
        if not isinstance(step, int):
            continue
        for name in _FIGURES:
            if name in line:
                found[name][0].append(step)
                found[name][1].append(_number(line[name]))
    return {
        name: (np.frombuffer(steps), np.frombuffer(values))
        for name, (steps, values) in found.items()
        if steps
    }


def _number(value: Any) -> float:
    """Return a figure of the log, in which "inf" and "nan" are texts."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a file of JSON lines one by one."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict):
                    yield entry
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
