"""eval of a solver: degrade clean images, restore them, and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore import parts, seeds
from ms_restore.data import sources
from ms_restore.data.images import to_float
from ms_restore.degradations import kernels as blur_kernels
from ms_restore.degradations.linear import Linear
from ms_restore.errors import InputError
from ms_restore.files import replacing
from ms_restore.inference.choice import Running
from ms_restore.metrics import evaluate as evaluation
from ms_restore.metrics.protocols import PROTOCOLS
from ms_restore.recipe import Recipe
from ms_restore.report.pictures import comparison
from ms_restore.report.terminal import SolverProgress, say, score_table
from ms_restore.solvers import tasks
from ms_restore.solvers.dmsp import DMSP, Progress
from ms_restore.verbs.loading import prior_of

_SMALLEST = 32  # of what is left to score


def evaluate(
    recipe: Recipe,
    prior: Path,
    *,
    kernels: Optional[str],
    data_dir: Optional[str],
    protocol: Optional[str],
    folder: Path,
    running: Running,
) -> dict[str, Any]:
    """Degrade each image (seeded by its name), restore it, print PSNR at the start and the end.

    ``kernels``: each image is blurred by each of these in turn; None: by the recipe's. Half the
    kernel is cut off on every side before scoring. Returns what metrics.json holds.
    """
    degradations = _degradations(recipe, kernels)
    part = dict(recipe.solver or {})
    solver: DMSP = parts.build("solver", part, prior_of(prior, part, running))
    prior_recipe = solver.prior.recipe
    name = protocol or recipe.eval.protocol
    chosen = PROTOCOLS[name]
    margin = 2 * max(degradation.margin for degradation in degradations.values())
    source = sources.open_evaluation(data_dir, 3, margin + _SMALLEST)
    crop = recipe.eval.crop
    note = "" if data_dir else " (no --data_dir)"
    cut = f", centre {crop}x{crop}" if crop else ""
    say(
        f"{recipe.model} on {source.description}{note}{cut}, protocol {name}: "
        f"{chosen.description}, half the kernel cut; prior {prior_recipe.model}"
    )
    scores, times = [], []
    for index, image_name in enumerate(source.names):
        for kernel_name, degradation in degradations.items():
            label = image_name + kernel_name
            x = degradation.cropped(_centre(source[index], crop))
            y = degradation(x, seeds.of_name(recipe.seed, label))
            trial, seconds, iterations = _restored(solver, degradation, x, y, label, recipe.seed)
            rows, columns = degradation.operator.half
            start = _inside(degradation.baseline(y), rows, columns)
            row = evaluation.score(trial, start, chosen, degradation.factor)
            scores.append(row)
            times.append(seconds)
            panels = [
                (f"{degradation.baseline_name} {row['baseline_psnr']:.2f} dB", start),
                (f"{recipe.model} {row['psnr']:.2f} dB", trial.x_hat),
                (f"original: {image_name}", trial.x),
            ]
            file = label.replace("/", "_").replace(":", "_").replace(" ", "_")
            comparison(folder / "comparisons" / f"{file}.png", panels)
            say(
                f"{label}: {degradation.baseline_name} {row['baseline_psnr']:.2f} dB, "
                f"end {row['psnr']:.2f} dB, "
                f"{iterations} iterations of {seconds:.2f} s"
            )
    mean = evaluation.mean(scores)
    first = next(iter(degradations.values()))
    metrics = {
        "model": recipe.model,
        "prior": prior_recipe.model,
        "protocol": name,
        "baseline": first.baseline_name,
        "seconds_per_iteration": float(np.median(times)),
        "engine": solver.engine,
        "mean": mean,
        "images": scores,
    }
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    score_table(scores, mean, first.baseline_name)
    say(
        f"{name}: {first.baseline_name} {mean['baseline_psnr']:.2f} dB, {recipe.model} "
        f"{mean['psnr']:.2f} dB ({mean['psnr'] - mean['baseline_psnr']:+.2f} dB), "
        f"{metrics['seconds_per_iteration']:.2f} s for each iteration by {solver.engine}"
    )
    say(f"metrics.json and comparisons/ in {folder}")
    return metrics


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


def _linear(recipe: Recipe, part: dict[str, Any]) -> Linear:
    degradation = parts.build("degradation", part)
    if not isinstance(degradation, Linear):
        raise InputError(
            f"{recipe.model}: a solver needs a linear degradation (blur, blur_downsample, bayer), "
            f"not {part['name']}"
        )
    return degradation


def _restored(
    solver: DMSP, degradation: Linear, x: np.ndarray, y: np.ndarray, label: str, seed: int
) -> tuple[evaluation.Trial, float, int]:
    bar = SolverProgress(solver.iterations)

    def monitor(progress: Progress) -> None:
        bar.update(progress.iteration, float(progress.misfit_255[0]), None)

    try:
        x_hat, solution = tasks.restored(
            solver,
            y,
            degradation.operator,
            sigma_255=degradation.sigma_255 or tasks.assumed_sigma_255(degradation.operator),
            seed=seed,
            monitor=monitor,
        )
    finally:
        bar.close()
    clean = _inside(to_float(x), *degradation.operator.half)
    trial = evaluation.Trial(label, clean, y, x_hat)
    return trial, solution.seconds_per_iteration, solution.iterations


def _centre(x: np.ndarray, side: Optional[int]) -> np.ndarray:
    if side is None:
        return x
    top, left = (max(0, (length - side) // 2) for length in x.shape[:2])
    return x[top : top + side, left : left + side]


def _inside(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return x[rows : x.shape[0] - rows, columns : x.shape[1] - columns]
