"""eval: a checkpoint's score on clean images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

from ms_restore import parallel, parts
from ms_restore import recipe as recipes
from ms_restore.data import sources
from ms_restore.data.images import to_float
from ms_restore.errors import InputError, listed, nearest
from ms_restore.files import replacing
from ms_restore.inference.choice import Running
from ms_restore.metrics import evaluate as evaluation
from ms_restore.metrics.protocols import PROTOCOLS
from ms_restore.report.pictures import comparison
from ms_restore.report.terminal import say, score_table
from ms_restore.verbs import evaluate_solver
from ms_restore.verbs.loading import PathLike, Settings, merged, restorer_of
from ms_restore.weights import checkpoint as checkpoints


def evaluate(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    data_dir: Optional[PathLike] = None,
    protocol: Optional[str] = None,
    output_dir: Optional[PathLike] = None,
    engine: str = "auto",
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
    seed: Optional[int] = None,
    kernels: Optional[str] = None,
    settings: Optional[Settings] = None,
) -> dict[str, Any]:
    """Score a checkpoint on a folder of clean images, or on the held-out embedded photos.

    Writes metrics.json and a comparison picture for each image into ``output_dir``, by default the
    folder ``eval`` beside the checkpoint, and returns what metrics.json holds. ``engine`` is
    explained at load_model.

    Where ``model`` is a solver's, such as dmsp_deblur, the checkpoint is its prior, and each image
    is blurred by each of the ``kernels`` (a file, or a name such as gaussian:1.6).
    """
    if protocol is not None and protocol not in PROTOCOLS:
        hint = nearest(protocol, PROTOCOLS) or f"; known: {listed(PROTOCOLS, 12)}"
        raise InputError(f"unknown protocol {protocol!r}{hint}")
    found = checkpoints.locate(Path(checkpoint))
    running = Running(engine, device_target, device_id, mode)
    if model is not None:
        solving = recipes.load(model, merged(settings, seed=seed))
        if solving.solver is not None:
            if tile is not None or self_ensemble:
                raise InputError(f"{model} is a solver: it has no --tile and no --self_ensemble")
            return evaluate_solver.evaluate(
                solving,
                found,
                kernels=kernels,
                data_dir=str(data_dir) if data_dir else None,
                protocol=protocol,
                folder=Path(output_dir) if output_dir else found.parent / "eval" / solving.model,
                running=running,
            )
    if kernels is not None:
        raise InputError("--kernels is for solvers: name one, such as --model dmsp_deblur")
    changed = merged(settings, seed=seed)
    restorer = restorer_of(found, model, changed, running, tile, self_ensemble)
    recipe = restorer.recipe
    degradation = parts.build("degradation", recipe.degradation)
    name = protocol or recipe.eval.protocol
    chosen = PROTOCOLS[name]
    source = sources.open_evaluation(
        str(data_dir) if data_dir else None,
        restorer.output_channels,
        chosen.smallest(degradation.factor),
        recipe.data.embedded,
        recipe.data.patch_size,
    )
    if data_dir and source.coloured:
        raise InputError(
            f"{recipe.model} is a model for gray images, but {len(source.coloured)} of "
            f"{len(source)} in {data_dir} have colours ({listed(source.coloured, 3)}); use "
            f"{recipes.coloured(recipe)}, or convert the images to gray"
        )
    folder = Path(output_dir) if output_dir else found.parent / "eval"
    note = "" if data_dir else " (no --data_dir)"
    say(f"{recipe.model} on {source.description}{note}, protocol {name}: {chosen.description}")
    scores = []
    for trial in evaluation.trials(restorer, degradation, source, recipe.seed):
        baseline = to_float(degradation.baseline(trial.y))
        row = evaluation.score(trial, baseline, chosen, degradation.factor)
        scores.append(row)
        panels = [
            (f"{degradation.baseline_name} {row['baseline_psnr']:.2f} dB", baseline),
            (f"{recipe.model} {row['psnr']:.2f} dB", trial.x_hat),
            (f"original: {trial.name}", trial.x),
        ]
        comparison(folder / "comparisons" / f"{trial.name}.png", panels)
    scores = evaluation.gathered(scores, source.names)
    mean = evaluation.mean(scores)
    groups = evaluation.means(scores, sources.groups(source))
    metrics = {
        "model": recipe.model,
        "protocol": name,
        "engine": restorer.engine,
        "baseline": degradation.baseline_name,
        "mean": mean,
        **({"groups": groups} if groups else {}),
        "images": scores,
    }
    if parallel.ranks().first:
        with replacing(folder / "metrics.json") as temporary:
            temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    score_table(scores, mean, degradation.baseline_name, groups)
    gain = mean["psnr"] - mean["baseline_psnr"]
    say(
        f"{name}: {degradation.baseline_name} {mean['baseline_psnr']:.2f} dB, "
        f"{recipe.model} {mean['psnr']:.2f} dB ({gain:+.2f} dB)"
    )
    say(f"metrics.json and comparisons/ in {folder}")
    return metrics
