"""One training run: from a recipe to a run folder with checkpoints and a log."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import mindspore as ms
from mindspore import nn

from ms_restore import __version__, parts
from ms_restore.data import patches, sources
from ms_restore.errors import InputError
from ms_restore.inference.engines import MindSporeEngine
from ms_restore.inference.restorer import Restorer
from ms_restore.metrics.protocols import PROTOCOLS
from ms_restore.recipe import Recipe
from ms_restore.report.terminal import TrainingProgress, say
from ms_restore.training.callbacks import Log, Validation
from ms_restore.training.step import NetworkWithLoss, TrainStep
from ms_restore.weights import checkpoint

_SINK_STEPS = 100  # steps that an Ascend runs between two looks of the host


@dataclasses.dataclass
class Run:
    """A finished training run; ``psnr`` is the best validation's."""

    folder: Path
    checkpoint: Path
    steps: int
    psnr: float
    seconds: float


def train(
    recipe: Recipe,
    folder: Path,
    *,
    device_target: str,
    max_steps: Optional[int] = None,
    pretrained: Optional[Path] = None,
) -> Run:
    """Train the recipe's network on the device that ``runtime.start`` chose, into a new folder.

    ``max_steps`` ends the run early; the learning-rate schedule stays that of the whole run.
    """
    _check_free(folder)
    began = time.perf_counter()
    steps = min(max_steps or recipe.train.steps, recipe.train.steps)
    network = parts.build("network", recipe.network)
    degradation = parts.build("degradation", recipe.degradation)
    protocol = PROTOCOLS[recipe.eval.protocol]
    train_source, valid_source = sources.open_training(
        recipe.data.dir,
        recipe.data.valid_dir,
        network.channels,
        recipe.data.patch_size,
        protocol.smallest(degradation.scale),
    )
    if pretrained is not None:
        say(checkpoint.load_pretrained(network, checkpoint.read(pretrained)))
    count = sum(parameter.size for parameter in network.trainable_params())
    say(f"{recipe.model}: {count:,} parameters, {device_target}, {steps} steps")
    note = "" if recipe.data.dir else " (no --data_dir)"
    say(f"training on {train_source.description}{note}, validating on {valid_source.description}")

    batches = patches.TrainingBatches(
        train_source,
        degradation,
        patch_size=recipe.data.patch_size,
        batch_size=recipe.train.batch_size,
        augment=recipe.data.augment,
        seed=recipe.seed,
        steps=steps,
    )
    restorer = Restorer(
        MindSporeEngine(network), recipe, scale=network.scale, channels=network.channels
    )
    with _new_folder(folder, recipe):
        progress = TrainingProgress(steps, recipe.train.batch_size)
        log = Log(folder / "log.jsonl", recipe.train.batch_size, progress)
        validation = Validation(folder, restorer, network, degradation, valid_source, log, steps)
        try:
            _fit(
                step=_train_step(network, recipe),
                dataset=patches.as_dataset(batches, recipe.data.workers),
                steps=steps,
                callbacks=[log, validation],
                sink=device_target == "Ascend",
            )
        finally:
            progress.close()
            log.close()
    seconds = time.perf_counter() - began
    best = folder / checkpoint.BEST
    say(f"{steps} steps in {seconds:.0f} s, best PSNR {validation.best:.2f} dB, in {best}")
    return Run(folder, best, steps, validation.best, seconds)


def _train_step(network: nn.Cell, recipe: Recipe) -> TrainStep:
    steps = recipe.train.steps
    rates = [
        recipe.train.lr * parts.build("schedule", recipe.train.schedule, step, steps)
        for step in range(steps)
    ]
    parameters = network.trainable_params()
    optimizer = parts.build("optimizer", recipe.train.optimizer, parameters, rates)
    with_loss = NetworkWithLoss(network, parts.build("loss", recipe.train.loss))
    return TrainStep(with_loss, optimizer)


def _fit(
    step: nn.Cell, dataset: Any, steps: int, callbacks: list[ms.train.Callback], sink: bool
) -> None:
    """Run the steps through ``mindspore.train.Model``; with data sink in chunks on the device."""
    model = ms.train.Model(step)
    step.set_train()
    if sink:
        size = min(_SINK_STEPS, steps)
        model.train(-(-steps // size), dataset, callbacks, dataset_sink_mode=True, sink_size=size)
    else:
        model.train(1, dataset, callbacks, dataset_sink_mode=False)


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        holds = "holds another run" if (folder / "recipe.yaml").exists() else "is not empty"
        raise InputError(f"{folder} {holds}; choose another --output_dir, or remove it first")


@contextlib.contextmanager
def _new_folder(folder: Path, recipe: Recipe) -> Iterator[None]:
    """The run's folder with its recipe and environment; gone again if no checkpoint comes of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
        environment = {
            "command": sys.argv,
            "ms_restore": __version__,
            "mindspore": ms.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
        }
        (folder / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        yield
    finally:
        if not any(folder.glob("*.ckpt")):
            shutil.rmtree(folder)
