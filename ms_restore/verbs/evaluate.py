"""eval: a checkpoint scored on clean images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.contracts import Degradation, Metric
from ms_restore.data.sources import open_evaluation
from ms_restore.errors import InputError, comma_list
from ms_restore.images.arrays import to_float
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.restorer import Restorer
from ms_restore.inference.tiling import TileLike
from ms_restore.metrics import scoring
from ms_restore.metrics.choice import metrics_named
from ms_restore.metrics.protocols import protocol_named
from ms_restore.report.score_folder import ScoreFolder
from ms_restore.report.terminal import say
from ms_restore.verbs import evaluate_solver, scored_degradation
from ms_restore.verbs.loading import PathLike, Settings, restorer_of, with_options
from ms_restore.verbs.score_keeping import ScoreKeeper
from ms_restore.weights import catalogue, run_checkpoints


def evaluate(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    data_dir: Optional[PathLike] = None,
    protocol: Optional[str] = None,
    metrics: Union[str, Sequence[str]] = "psnr,ssim",
    output_dir: Optional[PathLike] = None,
    engine: str = "auto",
    tile: TileLike = None,
    self_ensemble: bool = False,
    luma: bool = False,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
    seed: Optional[int] = None,
    kernels: Optional[str] = None,
    settings: Optional[Settings] = None,
) -> dict[str, Any]:
    """Score a checkpoint on a folder of clean images, or on the held-out embedded photos.

    Writes metrics.json and a comparison picture for each image into ``output_dir``, by default the
    folder ``eval`` beside the checkpoint, or ``eval/MODEL`` for a checkpoint that is named by its
    model, see load_model, and returns what metrics.json holds, which has an
    infinite PSNR as the text "inf". ``engine`` is explained at load_model. A setting such as
    ``{"degradation.sigma_255": 15}`` is what is scored, also where the recipe has another
    ``eval_sigma_255``.

    ``metrics`` are of psnr, ssim, niqe and lpips, or ``package.module:NAME`` of a Metric of one's
    own; pictures and the last line tell the first one. NIQE and LPIPS take the whole images,
    whatever the protocol.

    With ``luma`` a gray network restores the brightness of colour images, which are degraded in
    colour; protocol "sr-y" scores brightness alone.

    Where ``model`` is a solver's, such as dmsp_deblur, the checkpoint is its prior, and each image
    is blurred by each of the ``kernels`` (a file, or a name such as gaussian:1.6).
    """
    if protocol is not None:
        protocol_named(protocol)
    chosen = metrics_named(metrics)
    found = run_checkpoints.locate(catalogue.resolve(checkpoint))
    options = EngineOptions(engine, device_target, device_id, mode)
    changed = with_options(settings, seed=seed)
    folder = str(data_dir) if data_dir else None
    solving = recipes.load(model, changed) if model is not None else None
    if solving is not None and solving.solver is not None:
        if tile is not None or self_ensemble or luma:
            raise InputError(f"{model} is a solver: it has no --tile, --self_ensemble, --luma")
        return evaluate_solver.evaluate(
            solving,
            found,
            kernels=kernels,
            data_dir=folder,
            protocol=protocol,
            metrics=chosen,
            folder=Path(output_dir) if output_dir else _beside(found) / solving.model,
            options=options,
        )
    if kernels is not None:
        raise InputError("--kernels is for solvers: name one, such as --model dmsp_deblur")
    restorer = restorer_of(found, model, changed, options, tile, self_ensemble, luma=luma)
    recipe = restorer.recipe
    recipe.degradation = scored_degradation.with_given(recipe.degradation, changed)
    output = _beside(found) / recipe.model if catalogue.is_kept_for_all(found) else _beside(found)
    output = Path(output_dir) if output_dir else output
    return _scored(restorer, folder, protocol or recipe.eval.protocol, chosen, output)


def _beside(checkpoint: Path) -> Path:
    """Return the folder of a checkpoint's evaluations; what is not the user's has it here."""
    return (Path() if catalogue.is_kept_for_all(checkpoint) else checkpoint.parent) / "eval"


def _scored(
    restorer: Restorer,
    data_dir: Optional[str],
    name: str,
    metrics: Mapping[str, Metric],
    output: Path,
) -> dict[str, Any]:
    """Score the restorer under the protocol of that name; return what metrics.json holds."""
    recipe = restorer.recipe
    keeper = ScoreKeeper(recipe, name, metrics, ScoreFolder(output))
    degradation: Degradation = registry.build("degradation", recipe.degradation)
    smallest = keeper.protocol.smallest(degradation.factor, metrics)
    source = open_evaluation(data_dir, recipe.data, restorer.picture_channels, smallest)
    if data_dir and source.coloured:
        raise InputError(
            f"{recipe.model} is a model for gray images, but {len(source.coloured)} of "
            f"{len(source)} in {data_dir} have colours ({comma_list(source.coloured, 3)}); use "
            f"{recipes.coloured(recipe)}, convert the images to gray, or restore their brightness "
            "alone by --luma"
        )
    note = "" if data_dir else " (no --data_dir)"
    say(
        f"{recipe.model} on {source.description}{note}, degraded by "
        f"{scored_degradation.described(recipe.degradation)}; protocol {name}: "
        f"{keeper.protocol.description}"
    )
    for trial in scoring.restored_images(restorer, degradation, source, recipe.seed):
        keeper.add(trial, to_float(degradation.baseline(trial.y)), degradation, trial.name)
    keeper.gather(source.names)
    about: dict[str, Any] = {"data": source.description}
    if restorer.context is not None:
        about["context"] = restorer.context
        about["note"] = f", with {restorer.context} pixels of context"
    return keeper.finish(degradation.baseline_name, restorer.engine, about, source.groups())
