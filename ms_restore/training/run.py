"""One training run: from a recipe to a run folder with checkpoints and a log."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any, Optional

import mindspore as ms
import numpy as np
from mindspore import nn

from ms_restore import parallel, parts
from ms_restore.data import patches, sources
from ms_restore.errors import InputError
from ms_restore.inference.geometry import Geometry
from ms_restore.inference.restorer import Restorer
from ms_restore.metrics.protocols import PROTOCOLS
from ms_restore.recipe import Recipe, TrainSettings
from ms_restore.report.terminal import TrainingProgress, say
from ms_restore.training import callbacks, cpu_operators, folder, loggers
from ms_restore.training.step import LossScale, NetworkWithLoss, TrainStep
from ms_restore.weights import checkpoint
from ms_restore.weights.checkpoint import Checkpoint

_SINK_STEPS = 100  # steps that an Ascend runs between two looks of the host
_DERIVED = "learning_rate"  # a table that the recipe gives, not a state


@dataclasses.dataclass
class Run:
    """A training run's folder, best weights, steps done and best validation PSNR in dB."""

    folder: Path
    checkpoint: Path
    steps: int
    psnr: float


class Stopped(SystemExit):
    """A run that a signal ended; the exit code is the shell's for that signal."""


def train(
    recipe: Recipe,
    output: Path,
    *,
    device_target: str,
    max_steps: Optional[int] = None,
    pretrained: Optional[Path] = None,
    resumed: Optional[Checkpoint] = None,
    logger_names: str = "jsonl",
) -> Run:
    """Train the recipe's network, on the device that ``runtime.start`` chose, into a folder.

    ``max_steps`` ends the run early; the learning-rate schedule stays that of the whole run.
    ``resumed`` is the checkpoint of the same folder to go on from.
    """
    names = loggers.check_names(logger_names)
    ranks = parallel.ranks()
    if resumed is None and ranks.first:
        folder.check_free(output)
    settings = recipe.train
    steps = callbacks.Steps(
        first=resumed.facts["step"] if resumed else 0,
        last=min(max_steps or settings.steps, settings.steps),
    )
    best = resumed.facts["best_psnr"] if resumed else -np.inf
    if steps.first >= steps.last:
        say(f"{output}: all {steps.last} steps are done")
        return Run(output, checkpoint.locate(output), steps.first, best)
    network = parts.build("network", recipe.network)
    degradation = parts.build("degradation", recipe.degradation)
    done = resumed.facts.get("samples", steps.first * images_per_step(recipe)) if resumed else 0
    batches, valid_source = open_data(recipe, network, degradation, steps, done)
    if pretrained is not None:
        say(checkpoint.load_pretrained(network, checkpoint.read(pretrained)))
    step_cell = build_step(network, recipe)
    if resumed is not None:
        _load_state(network, step_cell, resumed)
    count = sum(parameter.size for parameter in network.trainable_params())
    start = f"from step {steps.first} " if resumed else ""
    say(f"{recipe.model}: {count:,} parameters, {device_target}, {start}to step {steps.last}")
    note = "" if recipe.data.dir else " (no --data_dir)"
    say(f"training on {batches.source.description}{note}, validating on {valid_source.description}")
    with folder.in_use(output, recipe) if ranks.first else contextlib.nullcontext():
        if ranks.first:
            folder.cut_log(output, steps.first)
        began = time.perf_counter()
        session = _Session(recipe, output, steps, network, step_cell, names, best, done)
        stop = session.run(degradation, valid_source, batches, sink=device_target == "Ascend")
        seconds = time.perf_counter() - began
    if stop is not None:
        last = checkpoint.newest(output)[0].stem
        say(f"stopped, saved as {last}; go on with: train --resume {output}")
        raise Stopped(128 + stop)
    kept = checkpoint.locate(output) if ranks.first else output / checkpoint.BEST
    run = Run(output, kept, steps.last, session.best)
    say(
        f"{steps.last - steps.first} steps in {seconds:.0f} s, best PSNR {run.psnr:.2f} dB, "
        f"in {run.checkpoint}"
    )
    return run


def open_data(
    recipe: Recipe, network: nn.Cell, degradation: Any, steps: callbacks.Steps, done: int = 0
) -> tuple[patches.TrainingBatches, sources.ImageSource]:
    """This rank's batches of these steps of the recipe's run, and the source of its validation.

    The run goes on after ``done`` samples, of however many ranks. InputError where the network does
    not take patches of the recipe's size.
    """
    geometry = Geometry.of(network)
    multiple = geometry.size_multiple * geometry.scale
    if recipe.data.patch_size % multiple:
        raise InputError(
            f"data.patch_size {recipe.data.patch_size}: {recipe.model} is trained on patches whose "
            f"sides are multiples of {multiple}"
        )
    train_source, valid_source = sources.open_training(
        recipe.data.dir,
        recipe.data.valid_dir,
        geometry.output_channels,
        recipe.data.patch_size,
        PROTOCOLS[recipe.eval.protocol].smallest(degradation.factor),
        recipe.data.scales,
        recipe.data.stride,
        recipe.data.embedded,
    )
    ranks = parallel.ranks()
    batches = patches.TrainingBatches(
        train_source,
        degradation,
        patch_size=recipe.data.patch_size,
        stride=recipe.data.stride,
        batch_size=images_per_step(recipe) // ranks.count,
        target=recipe.data.target,
        translation=recipe.data.translation,
        shuffle_channels=recipe.data.shuffle_channels,
        augment=recipe.data.augment,
        seed=recipe.seed,
        steps=steps.last - steps.first,
        first_sample=done,
        rank=ranks.rank,
        ranks=ranks.count,
    )
    return batches, valid_source


def images_per_step(recipe: Recipe) -> int:
    """Of all ranks together.

    InputError where that is not what the recipe demands.
    """
    count = parallel.ranks().count
    images = recipe.train.batch_size * recipe.train.accumulate * count
    wanted = recipe.train.global_batch
    if wanted is not None and images != wanted:
        raise InputError(
            f"{count} ranks with batches of {recipe.train.batch_size * recipe.train.accumulate} "
            f"are {images} images a step, but train.global_batch is {wanted}; "
            + (
                f"set train.batch_size to {wanted // count // recipe.train.accumulate}"
                if wanted % (count * recipe.train.accumulate) == 0
                else "start a number of ranks that divides it"
            )
        )
    return images


class _Session:
    """One process's part of a run."""

    def __init__(
        self,
        recipe: Recipe,
        output: Path,
        steps: callbacks.Steps,
        network: nn.Cell,
        step_cell: TrainStep,
        logger_names: list[str],
        best: float,
        samples: int,
    ) -> None:
        self._recipe = recipe
        self._output = output
        self._steps = steps
        self._network = network
        self._step_cell = step_cell
        self._logger_names = logger_names
        # float32 whatever the training's precision, and it takes the averaged weights
        self._judged = parts.build("network", recipe.network)
        self.best = best
        self._samples = samples  # used before this session

    def run(
        self,
        degradation: Any,
        valid_source: sources.ImageSource,
        batches: patches.TrainingBatches,
        sink: bool,
    ) -> Optional[int]:
        """Train; the number of the signal that ended it early, if one did."""
        recipe, settings = self._recipe, self._recipe.train
        names = self._logger_names if parallel.ranks().first else []
        outlets = [loggers.LOGGERS[name](self._output) for name in names]
        progress = TrainingProgress(self._steps.first, self._steps.last)
        figures = callbacks.Figures(
            self._steps,
            outlets,
            progress,
            learning_rates(settings),
            images_per_step(recipe),
            dynamic=settings.loss_scale == "dynamic",
            skipped=int(self._step_cell.skipped),
        )
        restorer = Restorer(self._judged, recipe)
        validation = callbacks.Validation(
            self._steps,
            settings.validate_every,
            restorer,
            degradation,
            valid_source,
            figures,
            outlets,
            self._refresh,
            self._keep_best,
            self.best,
        )
        every = settings.checkpoint_every
        checkpoints = callbacks.Checkpoints(self._steps, every, self._save, figures)
        stop = callbacks.Stop(self._steps, checkpoints)
        dataset = patches.as_dataset(batches, recipe.data.workers)
        try:
            with stop.listening():
                count = self._steps.last - self._steps.first
                listeners = [figures, validation, checkpoints, stop]
                fit(self._step_cell, dataset, count, listeners, sink)
        finally:
            progress.close()
            for outlet in outlets:
                outlet.close()
        if stop.signal is None and stop.last_step < self._steps.last:
            raise RuntimeError(f"the data ended after step {stop.last_step} of {self._steps.last}")
        return stop.signal

    def _refresh(self) -> None:
        """Copy the network's parameters, the weights averaged if they are, to the judged one."""
        averages = {p.name[len("ema.") :]: p for p in self._step_cell.averages}
        for name, parameter in self._judged.parameters_and_names():
            source = averages.get(name, self._network.parameters_dict()[name])
            parameter.set_data(ms.Tensor(source.asnumpy()))

    def _keep_best(self, step: int, psnr: float) -> None:
        self.best = psnr
        if not parallel.ranks().first:
            return
        facts = {"step": step, "valid_psnr": psnr, "protocol": self._recipe.eval.protocol}
        checkpoint.save(self._output / checkpoint.BEST, self._judged, self._recipe, facts)

    def _save(self, step: int) -> None:
        """Everything that the run needs to go on, and only so many files of it."""
        if not parallel.ranks().first:
            return
        path = checkpoint.numbered(self._output, step)
        samples = self._samples + (step - self._steps.first) * images_per_step(self._recipe)
        facts = {"step": step, "samples": samples, "best_psnr": self.best}
        state = _state(self._network, self._step_cell)
        checkpoint.save(path, self._network, self._recipe, facts, state)
        for old in checkpoint.newest(self._output)[self._recipe.train.keep :]:
            old.unlink()


def fit(
    step_cell: TrainStep,
    dataset: Any,
    count: int,
    listeners: list[ms.train.Callback],
    sink: bool,
) -> None:
    """Run ``count`` steps through ``mindspore.train.Model``; with data sink in chunks."""
    model = ms.train.Model(step_cell)
    step_cell.set_train()
    if sink:
        size = max(n for n in range(1, min(_SINK_STEPS, count) + 1) if count % n == 0)
        model.train(count // size, dataset, listeners, dataset_sink_mode=True, sink_size=size)
    else:
        model.train(1, dataset, listeners, dataset_sink_mode=False)


def learning_rates(settings: TrainSettings) -> list[float]:
    """The learning rate of every step of the whole run."""
    lr = settings.lr * (parallel.ranks().count if settings.scale_lr == "linear" else 1)
    factor = parts.bound("schedule", settings.schedule)
    return [
        lr * factor(step, settings.steps) * min(1.0, (step + 1) / (settings.warm_up + 1))
        for step in range(settings.steps)
    ]


def build_step(network: nn.Cell, recipe: Recipe) -> TrainStep:
    """The recipe's training step of this network."""
    settings = recipe.train
    _speed_up(network, settings)
    optimizer = parts.build(
        "optimizer", settings.optimizer, network.trainable_params(), learning_rates(settings)
    )
    parallel.fuse(settings.all_reduce)
    loss = parts.build("loss", settings.loss)
    if hasattr(loss, "follow"):
        loss.follow(optimizer.global_step, settings.steps)
    return TrainStep(
        NetworkWithLoss(network, loss, settings.amp_level),
        optimizer,
        LossScale(settings.loss_scale or "none", settings.loss_scale_window),
        clip_norm=settings.clip_norm,
        accumulate=settings.accumulate,
        ema_decay=settings.ema_decay,
        ranks=parallel.ranks().count,
    )


def _speed_up(network: nn.Cell, settings: TrainSettings) -> None:
    """Let compiled operators compute the network, where they can and should."""
    wanted = settings.cpu_convolutions == "onednn" and settings.amp_level == "O0"
    graph = ms.get_context("mode") == ms.GRAPH_MODE
    if not (wanted and graph and ms.get_context("device_target") == "CPU"):
        return
    try:
        cpu_operators.replace_operators(network)
    except cpu_operators.Unavailable as reason:
        say(f"operators of MindSpore, which train slower than compiled ones: {reason}")


def _state(network: nn.Cell, step_cell: TrainStep) -> dict[str, ms.Parameter]:
    """The parameters of training that are not the network's."""
    weights = network.parameters_dict()
    named = {parameter.name: parameter for parameter in step_cell.get_parameters()}
    return {name: p for name, p in named.items() if name not in weights and name != _DERIVED}


def _load_state(network: nn.Cell, step_cell: TrainStep, resumed: Checkpoint) -> None:
    """Weights and state, every parameter of both."""
    checkpoint.load_strictly(network, resumed)
    wanted = _state(network, step_cell)
    if set(wanted) != set(resumed.training):
        differing = sorted(set(wanted) ^ set(resumed.training))
        raise InputError(
            f"{resumed.path}: its state of training does not fit the recipe ({differing[0]} ...); "
            "start anew from its weights with --pretrained"
        )
    for name, parameter in wanted.items():
        parameter.set_data(ms.Tensor(resumed.training[name].asnumpy()))
