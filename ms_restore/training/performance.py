"""A performance run: how fast the training steps of a recipe are, without anything beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore import parallel, registry
from ms_restore.contracts import Geometry
from ms_restore.files import write_json
from ms_restore.report.progress_bars import TrainingProgress
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.training import callbacks
from ms_restore.training.loggers import Reporter
from ms_restore.training.run_data import images_per_step, open_data
from ms_restore.training.run_files import WARM_UP, check_measured_steps
from ms_restore.training.step_builder import build_step, learning_rate
from ms_restore.training.trainer import SINK_STEPS, fit

STEPS = 30


class _Rates:
    """A logger that keeps what the steps after the warm-up logged."""

    def __init__(self, warm_up: int) -> None:
        self._warm_up = warm_up
        self.images_per_second: list[float] = []
        self.data_wait: list[float] = []

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        if step > self._warm_up:
            self.images_per_second.append(figures["images_per_second"])
            self.data_wait.append(figures["data_wait"])

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        pass

    def close(self) -> None:
        pass


def run(
    recipe: Recipe, device_target: str, max_steps: int, output: Optional[Path]
) -> dict[str, Any]:
    """Train for some steps without validation or checkpoints, and measure them.

    Reports images/s after the first five steps, and the share of a step that waits for data; with
    ``output`` also as performance.json in that folder. An Ascend is handed ``max_steps`` or 100
    steps at a time: there a chunk of them is the warm-up, and whole chunks after it are measured.
    """
    check_measured_steps(max_steps)
    chunk = min(SINK_STEPS, max_steps) if device_target == "Ascend" else 0
    warm_up = chunk or WARM_UP  # steps that compile, and fill the queues
    steps = callbacks.Steps(first=0, last=chunk + max_steps - max_steps % (chunk or 1))
    settings = recipe.train
    settings.steps = max(settings.steps, steps.last)
    network = registry.build("network", recipe.network)
    degradation = registry.build("degradation", recipe.degradation)
    batches, _ = open_data(recipe, Geometry.of(network), degradation, steps.last)
    say(f"{recipe.model}: {steps.last} steps on {batches.source.description}, {device_target}")
    rates, images = _Rates(warm_up), images_per_step(recipe)
    reporter = Reporter([rates], TrainingProgress(steps.first, steps.last))
    step_cell = build_step(network, recipe)
    figures = callbacks.Figures(steps, reporter, step_cell, learning_rate(settings), images)
    try:
        fit(step_cell, batches, recipe.data.workers, steps, [figures], chunk)
    finally:
        reporter.close()
    speed = float(np.median(rates.images_per_second))
    wait = float(np.median(rates.data_wait))
    result = {
        "model": recipe.model,
        "device_target": device_target,
        "steps": steps.last - warm_up,
        "images_per_step": images,
        "images_per_second": round(speed, 2),
        "slowest": round(min(rates.images_per_second), 2),
        "fastest": round(max(rates.images_per_second), 2),
        "data_wait": round(wait, 4),
    }
    say(
        f"{speed:.1f} images/s, {images / speed:.3f} s a step of {images} (median of "
        f"{result['steps']} after {warm_up} of warm-up; {result['slowest']} to "
        f"{result['fastest']} images/s), data wait {wait:.1%}"
    )
    if output is not None and parallel.ranks().first:
        write_json(output / "performance.json", result)
    return result
