"""The report of a training run: its curves, recipe, images and starts."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np

from ms_restore.report.charts import Curve, curves
from ms_restore.report.markup import decimals, facts, folded, tiles


@dataclasses.dataclass
class RunHistory:
    """What a run folder tells of its run.

    Attributes:
        model: its name.
        steps: of the whole schedule.
        recipe: as YAML.
        about: names and values to list, such as the protocol.
        starts: the first start and each resumption: command, versions, platform.
        figures: steps and values of each figure of the log.
    """

    model: str
    steps: int
    recipe: str
    about: list[tuple[str, Any]]
    starts: list[dict[str, Any]]
    figures: dict[str, tuple[np.ndarray, np.ndarray]]


def run_sections(history: RunHistory) -> Iterator[str]:
    """Yield the sections of a training run one by one."""
    yield _summary(history)
    last = history.starts[-1] if history.starts else {}
    versions = [
        f"{key} {last[key]}" for key in ("ms_restore", "mindspore", "python") if key in last
    ]
    yield facts(
        [
            *history.about,
            ("versions", ", ".join(versions)),
            ("platform", last.get("platform")),
            ("processors", last.get("processors_used")),
        ]
    )
    found = history.figures
    drawn = curves("Loss", "loss", _curves(found, [("loss", "loss", "b")]))
    drawn += curves(
        "Validation PSNR",
        "dB",
        _curves(found, [("best_psnr", "best so far", "a"), ("valid_psnr", "PSNR", "b")]),
    )
    drawn += curves("Learning rate", "rate", _curves(found, [("lr", "learning rate", "b")]))
    speed = [("images_per_second", "images per second", "b")]
    drawn += curves("Speed", "images/s", _curves(found, speed))
    if drawn:
        yield f'<h2>Curves</h2>\n<div class="charts">{drawn}</div>\n'
    yield folded("Recipe", history.recipe)
    if history.starts:
        yield folded("Starts", "\n".join(map(_start, history.starts)))


def _summary(history: RunHistory) -> str:
    done = int(history.figures["loss"][0][-1]) if "loss" in history.figures else 0
    entries = [("steps", f"{done:,}", f"of {history.steps:,}")]
    if "valid_psnr" in history.figures:
        steps, psnr = history.figures["valid_psnr"]
        best = int(np.argmax(np.where(np.isnan(psnr), -np.inf, psnr)))
        entries += [
            ("best PSNR", f"{decimals(float(psnr[best]), 2)} dB", f"at step {int(steps[best]):,}"),
            ("last PSNR", f"{decimals(float(psnr[-1]), 2)} dB", f"at step {int(steps[-1]):,}"),
        ]
    if "loss" in history.figures:
        entries.append(("last loss", f"{history.figures['loss'][1][-1]:.4g}", f"step {done:,}"))
    return tiles(entries)


def _curves(
    figures: dict[str, tuple[np.ndarray, np.ndarray]], asked: list[tuple[str, str, str]]
) -> list[Curve]:
    return [Curve(name, style, *figures[key]) for key, name, style in asked if key in figures]


def _start(start: dict[str, Any]) -> str:
    command = start.get("command")
    words = shlex.join(map(str, command)) if isinstance(command, list) else ""
    rest = ", ".join(f"{key} {value}" for key, value in start.items() if key != "command")
    return f"$ {words}\n  {rest}\n"
