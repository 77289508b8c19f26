"""eval of a solver: degrade clean images, restore them, and compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from ms_restore import limits, registry, seeds
from ms_restore.contracts import Progress, Solver
from ms_restore.data.sources import open_evaluation
from ms_restore.degradations import kernels as blur_kernels
from ms_restore.degradations.linear import Linear
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.metrics import scoring
from ms_restore.metrics.protocols import ScoringProtocol, protocol_named
from ms_restore.report.machine import engine_versions
from ms_restore.report.score_folder import ScoreFolder
from ms_restore.report.terminal import (
    SolverProgress,
    say,
    say_without_error,
    score_line,
    score_table,
)
from ms_restore.settings import PartSettings, Recipe
from ms_restore.solvers import tasks
from ms_restore.verbs import scored_degradation
from ms_restore.verbs.loading import prior_of

_SMALLEST = 32  # pixels of a side that are left to score


class _Trial(NamedTuple):
    """An image that is degraded and restored, and how long an iteration took."""

    trial: scoring.RestoredImage
    start: np.ndarray
    seconds: float
    iterations: int


def evaluate(
    recipe: Recipe,
    prior: Path,
    *,
    kernels: Optional[str],
    data_dir: Optional[str],
    protocol: Optional[str],
    folder: Path,
    options: EngineOptions,
) -> dict[str, Any]:
    """Degrade each image (seeded by its name), restore it, print PSNR at the start and the end.

    ``kernels``: each image is blurred by each of these in turn; None: by the recipe's. Half the
    kernel is cut off on every side before scoring. Returns what metrics.json holds.
    """
    limits.set_max_megapixels(recipe.runtime.max_megapixels)
    degradations = _degradations(recipe, kernels)
    part = dict(recipe.solver or {})
    of_device = {f"runtime.{k}": v for k, v in dataclasses.asdict(recipe.runtime).items()}
    solver: Solver = registry.build("solver", part, prior_of(prior, part, options, of_device))
    name = protocol or recipe.eval.protocol
    written = ScoreFolder(folder, joined=True)
    scores, times = _scored(recipe, solver, degradations, data_dir, name, written)
    mean = scoring.mean_scores(scores)
    baseline = next(iter(degradations.values())).baseline_name
    metrics = {
        "model": recipe.model,
        "prior": solver.prior.recipe.model,
        "protocol": name,
        "protocol_description": f"{protocol_named(name).description}, half the kernel cut",
        "baseline": baseline,
        "degradation": scored_degradation.described(recipe.degradation),
        "versions": engine_versions(solver.engine),
        "recipe": dataclasses.asdict(recipe),
        "seconds_per_iteration": float(np.median(times)),
        "engine": solver.engine,
        "mean": mean,
        "images": scores,
    }
    written.finish(metrics)
    score_table(scores, mean, baseline)
    say_without_error(scoring.without_error(scores))
    say(
        f"{score_line(name, baseline, recipe.model, mean)}, "
        f"{metrics['seconds_per_iteration']:.2f} s for each iteration by {solver.engine}"
    )
    say(written.show(metrics))
    return metrics


def _scored(
    recipe: Recipe,
    solver: Solver,
    degradations: Mapping[str, Linear],
    data_dir: Optional[str],
    name: str,
    folder: ScoreFolder,
) -> tuple[list[dict[str, Any]], list[float]]:
    """The figures of every image with every degradation, and the seconds of an iteration."""
    protocol = protocol_named(name)
    margin = 2 * max(degradation.margin for degradation in degradations.values())
    source = open_evaluation(data_dir, recipe.data, 3, margin + _SMALLEST)
    crop = recipe.eval.crop
    note = "" if data_dir else " (no --data_dir)"
    cut = f", centre {crop}x{crop}" if crop else ""
    say(
        f"{recipe.model} on {source.description}{note}{cut}, degraded by "
        f"{scored_degradation.described(recipe.degradation)}; protocol {name}: "
        f"{protocol.description}, half the kernel cut; prior {solver.prior.recipe.model}"
    )
    scores, times = [], []
    for index, image_name in enumerate(source.names):
        for kernel_name, degradation in degradations.items():
            x = _centre(source[index], crop)
            method = (recipe.solver or {})["name"]
            noise = degradation.sigma_255 or tasks.default_sigma_255(degradation.operator, method)
            made = _restored(solver, degradation, x, image_name + kernel_name, noise, recipe.seed)
            row = _compared(recipe, degradation, made, protocol, folder, image_name)
            scores.append(row)
            times.append(made.seconds)
            say(
                f"{row['name']}: {degradation.baseline_name} {row['baseline_psnr']:.2f} dB, "
                f"end {row['psnr']:.2f} dB, "
                f"{made.iterations} iterations of {made.seconds:.2f} s"
            )
    return scores, times


def _compared(
    recipe: Recipe,
    degradation: Linear,
    made: _Trial,
    protocol: ScoringProtocol,
    folder: ScoreFolder,
    image_name: str,
) -> dict[str, Any]:
    """The figures of an image, whose comparison picture is written."""
    trial = made.trial
    row = scoring.score(trial, made.start, protocol, degradation.factor)
    panels = [
        (f"{degradation.baseline_name} {row['baseline_psnr']:.2f} dB", made.start),
        (f"{recipe.model} {row['psnr']:.2f} dB", trial.x_hat),
        (f"original: {image_name}", trial.x),
    ]
    folder.compare(trial.name, panels)
    return row


def _degradations(recipe: Recipe, kernels: Optional[str]) -> dict[str, Linear]:
    """By what is added to an image's name; one for each kernel."""
    part = recipe.degradation
    if kernels is None:
        return {"": _linear(recipe, part)}
    if "kernel" not in part:
        raise InputError(f"--kernels: {recipe.model} has no blur; leave it out")
    names = blur_kernels.load_all(kernels)
    made = {name: _linear(recipe, {**part, "kernel": name}) for name in names}
    return {f" kernel {number}": one for number, one in enumerate(made.values())}


def _linear(recipe: Recipe, part: PartSettings) -> Linear:
    degradation = registry.build("degradation", part)
    if not isinstance(degradation, Linear):
        raise InputError(
            f"{recipe.model}: a solver needs a linear degradation (blur, blur_downsample, bayer), "
            f"not {part['name']}"
        )
    return degradation


def _restored(
    solver: Solver, degradation: Linear, image: np.ndarray, label: str, sigma_255: float, seed: int
) -> _Trial:
    """Degrade a clean image and restore it."""
    x = degradation.cropped(image)
    y = degradation(x, seeds.image_rng(seed, label))
    bar = SolverProgress(solver.iterations)

    def monitor(progress: Progress) -> None:
        bar.update(progress.iteration, float(progress.misfit_255[0]), None)

    try:
        x_hat, solution = tasks.restore_image(
            solver,
            y,
            degradation.operator,
            sigma_255=sigma_255,
            seed=seed,
            monitor=monitor,
        )
    finally:
        bar.close()
    rows, columns = degradation.operator.half
    trial = scoring.RestoredImage(label, _inside(to_float(x), rows, columns), y, x_hat)
    start = _inside(degradation.baseline(y), rows, columns)
    return _Trial(trial, start, solution.seconds_per_iteration, solution.iterations)


def _centre(x: np.ndarray, side: Optional[int]) -> np.ndarray:
    if side is None:
        return x
    top, left = (max(0, (length - side) // 2) for length in x.shape[:2])
    return x[top : top + side, left : left + side]


def _inside(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return x[rows : x.shape[0] - rows, columns : x.shape[1] - columns]
