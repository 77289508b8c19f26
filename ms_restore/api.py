"""The verbs as functions: what the command line does, for use from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional, Union

from ms_restore import parts, runtime
from ms_restore import recipe as recipes
from ms_restore.data import sources
from ms_restore.data.images import (
    check_output,
    list_pictures,
    read_picture,
    to_float,
    write_picture,
)
from ms_restore.errors import InputError, listed, nearest
from ms_restore.files import replacing
from ms_restore.inference.restorer import Restorer
from ms_restore.metrics import evaluate as evaluation
from ms_restore.metrics.protocols import PROTOCOLS
from ms_restore.recipe import Recipe
from ms_restore.report.terminal import say, score_table
from ms_restore.training.run import Run
from ms_restore.weights import checkpoint as checkpoints

PathLike = Union[str, Path]
Settings = dict[str, Any]


def train(
    model: Optional[str] = None,
    *,
    data_dir: Optional[PathLike] = None,
    output_dir: Optional[PathLike] = None,
    max_steps: Optional[int] = None,
    pretrained: Optional[PathLike] = None,
    resume: Optional[PathLike] = None,
    allow_changes: bool = False,
    logger: str = "jsonl",
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
    seed: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> Run:
    """Train a model (a name or a recipe file) into ``output_dir``, by default runs/MODEL.

    Args:
        data_dir: folder of images, or with the subfolders DIV2K_train_HR and DIV2K_valid_HR;
            none: the embedded photos.
        max_steps: end early, after so many steps of the run; its schedule stays.
        pretrained: start from these weights, as far as they fit.
        resume: run folder to go on with, from its last checkpoint, bit for bit as if it had
            never stopped; ``model`` may then be left out.
        allow_changes: resume although settings differ from those the run was made with.
        logger: comma-separated list of jsonl (always written), tensorboard, mindinsight.
        settings: recipe keys such as ``{"train.lr": 5e-4}``.
    """
    from ms_restore.training import folder as run_folder
    from ms_restore.training import run

    if max_steps is not None and max_steps < 1:
        raise InputError(f"max_steps {max_steps}: expected at least 1")
    asked = _merged(settings, data_dir=data_dir, seed=seed)
    if resume is None:
        if model is None:
            raise InputError("no model: name one with --model, or a run folder with --resume")
        recipe = recipes.load(model, asked)
        folder = Path(output_dir or Path("runs") / recipe.model)
    else:
        folder = Path(resume)
        if pretrained is not None or (output_dir is not None and Path(output_dir) != folder):
            other = "--pretrained" if pretrained else "another --output_dir"
            raise InputError(f"--resume {resume} and {other} exclude each other; leave one out")
        saved = run_folder.saved_recipe(folder)
        recipe = recipes.load(model, asked) if model else recipes.parse(saved.to_yaml(), asked)
        run_folder.check_unchanged(saved, recipe, allow_changes)
    device = runtime.start(device_target, device_id, mode, recipe.seed)
    return run.train(
        recipe,
        folder,
        device_target=device,
        max_steps=max_steps,
        pretrained=Path(pretrained) if pretrained else None,
        resumed=run_folder.last_checkpoint(folder) if resume else None,
        logger_names=logger,
    )


def prepare(
    model: str,
    source: PathLike,
    output: PathLike,
    *,
    lr_source: Optional[PathLike] = None,
    skip_bad: bool = False,
    workers: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> list[Path]:
    """Write a folder of images as MindRecord, from which this model's training reads patches.

    A known layout (such as DIV2K's) becomes the folders train and valid in ``output``. A run that
    was interrupted goes on where it stopped. Returns the prepared folders.

    Args:
        lr_source: folder of low-resolution images, paired by name; none: they are made on reading.
        skip_bad: leave out images that cannot be used, and say which.
        workers: threads that decode; by default one for each processor.
        settings: recipe keys such as ``{"data.patch_size": 128}``.
    """
    from ms_restore.data.mindrecord import prepare as preparing

    if workers is not None and workers < 1:
        raise InputError(f"workers {workers}: expected at least 1")
    recipe = recipes.load(model, settings)
    degradation = parts.build("degradation", recipe.degradation)
    return preparing.prepare(
        Path(source),
        Path(output),
        model=recipe.model,
        scale=degradation.scale,
        patch_size=recipe.data.patch_size,
        margin=degradation.margin,
        low=Path(lr_source) if lr_source else None,
        skip_bad=skip_bad,
        workers=workers,
    )


def load_model(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
) -> Restorer:
    """The restorer of a checkpoint (a file or a run folder): ``x_hat = restorer(y)``.

    ``model`` is needed for a checkpoint that carries no recipe; ``tile`` and ``self_ensemble``
    are explained at Restorer.
    """
    runtime.start(device_target, device_id, mode)
    network, recipe = _network(checkpoint, model, None)
    return Restorer(network, recipe, tile=tile, self_ensemble=self_ensemble)


def evaluate(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    data_dir: Optional[PathLike] = None,
    protocol: Optional[str] = None,
    output_dir: Optional[PathLike] = None,
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
    seed: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> dict[str, Any]:
    """Score a checkpoint on a folder of clean images, or on the held-out embedded photos.

    Writes metrics.json and a comparison picture for each image into ``output_dir``, by default the
    folder ``eval`` beside the checkpoint, and returns what metrics.json holds.
    """
    from ms_restore.report.pictures import comparison

    if protocol is not None and protocol not in PROTOCOLS:
        hint = nearest(protocol, PROTOCOLS) or f"; known: {listed(PROTOCOLS, 12)}"
        raise InputError(f"unknown protocol {protocol!r}{hint}")
    found = checkpoints.locate(Path(checkpoint))
    runtime.start(device_target, device_id, mode)
    network, recipe = _network(found, model, _merged(settings, seed=seed))
    restorer = Restorer(network, recipe, tile=tile, self_ensemble=self_ensemble)
    degradation = parts.build("degradation", recipe.degradation)
    name = protocol or recipe.eval.protocol
    chosen = PROTOCOLS[name]
    source = sources.open_evaluation(
        str(data_dir) if data_dir else None, restorer.channels, chosen.smallest(restorer.scale)
    )
    folder = Path(output_dir) if output_dir else found.parent / "eval"
    note = "" if data_dir else " (no --data_dir)"
    say(f"{recipe.model} on {source.description}{note}, protocol {name}: {chosen.description}")
    scores = []
    for trial in evaluation.trials(restorer, degradation, source):
        baseline = to_float(degradation.baseline(trial.y))
        row = evaluation.score(trial, baseline, chosen, restorer.scale)
        scores.append(row)
        panels = [
            (f"{degradation.baseline_name} {row['baseline_psnr']:.2f} dB", baseline),
            (f"{recipe.model} {row['psnr']:.2f} dB", trial.x_hat),
            (f"original: {trial.name}", trial.x),
        ]
        comparison(folder / "comparisons" / f"{trial.name}.png", panels)
    mean = evaluation.mean(scores)
    metrics = {
        "model": recipe.model,
        "protocol": name,
        "baseline": degradation.baseline_name,
        "mean": mean,
        "images": scores,
    }
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    score_table(scores, mean, degradation.baseline_name)
    gain = mean["psnr"] - mean["baseline_psnr"]
    say(
        f"{name}: {degradation.baseline_name} {mean['baseline_psnr']:.2f} dB, "
        f"{recipe.model} {mean['psnr']:.2f} dB ({gain:+.2f} dB)"
    )
    say(f"metrics.json and comparisons/ in {folder}")
    return metrics


def infer(
    checkpoint: PathLike,
    input: PathLike,
    output: PathLike,
    *,
    model: Optional[str] = None,
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
    settings: Optional[Settings] = None,
) -> list[Path]:
    """Restore a picture to a file, or a folder of pictures to PNG files of the same names.

    Gray, 16 bit and transparency are kept. Large pictures are computed in tiles, with the same
    result; ``tile`` and ``self_ensemble`` are explained at Restorer. Returns the files written.
    """
    pairs = _pairs(Path(input), Path(output))
    runtime.start(device_target, device_id, mode)
    network, recipe = _network(checkpoint, model, settings)
    restorer = Restorer(network, recipe, tile=tile, self_ensemble=self_ensemble)
    for source, target in pairs:
        picture = read_picture(source)
        check_output(target, picture)
        try:
            restored = restorer.picture(picture)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        write_picture(target, restored)
        height, width = restored.pixels.shape[:2]
        say(f"{source} -> {target} ({width}x{height})")
    return [target for _, target in pairs]


def export(
    checkpoint: PathLike,
    file_name: PathLike,
    *,
    file_format: str = "MINDIR",
    model: Optional[str] = None,
    device_target: Optional[str] = None,
    device_id: int = 0,
    settings: Optional[Settings] = None,
) -> Path:
    """Write the network for deployment, with any height and width, and check it by loading it back.

    Returns the file written: ``file_name`` with the format's suffix.
    """
    from ms_restore.export import mindir

    if file_format.upper() != "MINDIR":
        raise InputError(f"file_format {file_format!r} is not known; choose MINDIR")
    runtime.start(device_target, device_id)
    network, recipe = _network(checkpoint, model, settings)
    path = Path(file_name)
    if path.suffix != ".mindir":
        path = path.with_name(path.name + ".mindir")
    difference = mindir.export(network, path)
    say(f"{recipe.model} -> {path} (differs from the checkpoint by {difference:.1e} at most)")
    return path


def _merged(settings: Optional[Settings], **named: Any) -> Settings:
    keys = {"data_dir": "data.dir"}
    given = {keys.get(name, name): value for name, value in named.items() if value is not None}
    return {
        **(settings or {}),
        **{k: str(v) if isinstance(v, Path) else v for k, v in given.items()},
    }


def _network(
    checkpoint: PathLike, model: Optional[str], settings: Optional[Settings]
) -> tuple[Any, Recipe]:
    """The network with the checkpoint's weights, and its recipe."""
    loaded = checkpoints.read(Path(checkpoint))
    if model is not None:
        recipe = recipes.load(model, settings)
        if loaded.recipe is not None and loaded.recipe.network["name"] != recipe.network["name"]:
            raise InputError(
                f"{loaded.path} is a checkpoint of {loaded.recipe.model}, not of {model}; "
                f"leave --model out, or name a checkpoint of {model}"
            )
    elif loaded.recipe is not None:
        recipe = recipes.parse(loaded.recipe.to_yaml(), settings)
    else:
        raise InputError(f"{loaded.path} carries no recipe; name its model with --model")
    network = parts.build("network", recipe.network)
    checkpoints.load_strictly(network, loaded)
    network.set_train(False)
    return network, recipe


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Each input file with its output file; InputError if two would share one."""
    if source.is_dir():
        pictures = list_pictures(source)
        pairs = [(path, target / f"{path.stem}.png") for path in pictures]
        names = [written.name for _, written in pairs]
        shared = sorted({name for name in names if names.count(name) > 1})
        if shared:
            raise InputError(
                f"{source}: several images would be written as {listed(shared)}; "
                "rename them or put them in folders of their own"
            )
        return pairs
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if target.is_dir() or not target.suffix:
        target = target / f"{source.stem}.png"
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the input itself; name another output")
    return [(source, target)]
