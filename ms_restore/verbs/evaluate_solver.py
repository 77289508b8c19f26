"""eval of a solver: degrade clean images, restore them, and compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from ms_restore import limits, registry, seeds
from ms_restore.contracts import ImageSource, Metric, Progress, Solver
from ms_restore.data.sources import open_evaluation
from ms_restore.degradations import kernels as blur_kernels
from ms_restore.degradations.linear import Linear
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.metrics import scoring
from ms_restore.report.progress_bars import SolverProgress
from ms_restore.report.score_folder import ScoreFolder
from ms_restore.report.terminal import say
from ms_restore.settings import PartSettings, Recipe
from ms_restore.solvers import tasks
from ms_restore.verbs import scored_degradation
from ms_restore.verbs.loading import prior_of
from ms_restore.verbs.score_keeping import ScoreKeeper

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
    metrics: Mapping[str, Metric],
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
    keeper = ScoreKeeper(recipe, name, metrics, ScoreFolder(folder, joined=True))
    least = max(_SMALLEST, keeper.protocol.smallest(1, metrics))
    source = _source(recipe, data_dir, degradations, least)
    note = "" if data_dir else " (no --data_dir)"
    cut = f", centre {recipe.eval.crop}x{recipe.eval.crop}" if recipe.eval.crop else ""
    described = f"{keeper.protocol.description}, half the kernel cut"
    say(
        f"{recipe.model} on {source.description}{note}{cut}, degraded by "
        f"{scored_degradation.described(recipe.degradation)}; protocol {name}: "
        f"{described}; prior {solver.prior.recipe.model}"
    )
    seconds = float(np.median(_scored(recipe, solver, degradations, source, keeper)))
    about = {
        "prior": solver.prior.recipe.model,
        "protocol_description": described,
        "seconds_per_iteration": seconds,
        "note": f", {seconds:.2f} s for each iteration by {solver.engine}",
    }
    baseline = next(iter(degradations.values())).baseline_name
    return keeper.finish(baseline, solver.engine, about, {})


def _source(
    recipe: Recipe, data_dir: Optional[str], degradations: Mapping[str, Linear], least: int
) -> ImageSource:
    """The images, of which at least ``least`` pixels along a side are left to score."""
    needed = 2 * max(degradation.margin for degradation in degradations.values()) + least
    if recipe.eval.crop is not None and recipe.eval.crop < needed:
        raise InputError(
            f"eval.crop {recipe.eval.crop}: with these metrics and kernels images have at least "
            f"{needed} pixels along a side; give --eval.crop {needed} or more"
        )
    return open_evaluation(data_dir, recipe.data, 3, needed)


def _scored(
    recipe: Recipe,
    solver: Solver,
    degradations: Mapping[str, Linear],
    source: ImageSource,
    keeper: ScoreKeeper,
) -> list[float]:
    """Score every image with every degradation; return the seconds of an iteration of each."""
    times = []
    for index, name in enumerate(source.names):
        for kernel_name, degradation in degradations.items():
            x = _centre(source[index], recipe.eval.crop)
            method = (recipe.solver or {})["name"]
            noise = degradation.sigma_255 or tasks.default_sigma_255(degradation.operator, method)
            made = _restored(solver, degradation, x, name + kernel_name, noise, recipe.seed)
            line = keeper.add(made.trial, made.start, degradation, name)
            times.append(made.seconds)
            say(f"{line}, {made.iterations} iterations of {made.seconds:.2f} s")
    return times


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
