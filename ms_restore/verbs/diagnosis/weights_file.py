"""The examination of a checkpoint, run folder, exported file or weights of another framework."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ms_restore.errors import InputError
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.report.score_folder import METRICS
from ms_restore.report.score_page import checked_scores, leading_figure
from ms_restore.verbs.diagnosis.finding import Finding
from ms_restore.verbs.loading import load_network
from ms_restore.verbs.reporting import read_metrics
from ms_restore.weights import catalogue, run_checkpoints


def examine(checkpoint: str) -> Iterator[Finding]:
    """Examine weights by loading them, and computing a small image with them."""
    try:
        path = catalogue.resolve(checkpoint)
        loaded = load_network(path, options=EngineOptions())
    except InputError as error:
        for problem in error.problems:
            yield Finding("problem", problem)
        return
    geometry, recipe = loaded.geometry, loaded.recipe
    yield Finding(
        "ok",
        f"{path}: {recipe.model} ({recipe.description}), {geometry.channels} channels in, "
        f"{geometry.output_channels} out, scale {geometry.scale}",
    )
    height, width = geometry.example_sizes()[0]
    y = np.full((1, geometry.input_channels, height, width), 0.5, np.float32)
    x_hat = loaded.engine(y)
    if np.isfinite(x_hat).all():
        yield Finding("ok", f"it computes, by {loaded.engine.name}, {width}x{height} pixels")
    else:
        text = f"it gives NaN or infinity for a gray image of {width}x{height}"
        yield Finding("problem", text, "use an earlier checkpoint of the run")
    if not path.suffix or path.suffix == ".ckpt":
        yield from _figures(run_checkpoints.locate(path))


def _figures(path: Path) -> Iterator[Finding]:
    from ms_restore.weights import checkpoint

    try:
        facts = checkpoint.read(path).facts
    except InputError:
        return  # of another origin
    if facts.get("valid_psnr") is not None:
        yield Finding(
            "ok", f"at step {facts.get('step')}: {facts['valid_psnr']:.2f} dB in validation"
        )
    scored = path.parent / "eval" / METRICS
    if not scored.is_file():
        return
    try:
        metrics = checked_scores(read_metrics(scored.parent), str(scored))
    except InputError as error:
        yield Finding("problem", str(error))
    else:
        key, figure = leading_figure(metrics)
        yield Finding("ok", f"{scored}: {figure.text(metrics['mean'][key])}, {metrics['protocol']}")
