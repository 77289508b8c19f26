"""Training a network into a run folder with checkpoints and a log."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Optional

import mindspore as ms
import numpy as np
from mindspore import nn

from ms_restore import parallel, registry
from ms_restore.contracts import Degradation, Geometry, ImageSource
from ms_restore.data.sampling import TrainingBatches, as_dataset
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.restorer import Restorer
from ms_restore.report.progress_bars import TrainingProgress
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.training import callbacks, going_back, loggers, run_folder, run_images
from ms_restore.training.divergence import kept_nothing
from ms_restore.training.profiling import Profiling
from ms_restore.training.run_data import images_per_step, open_data
from ms_restore.training.run_files import PROFILE, check_free
from ms_restore.training.run_images import RunImages
from ms_restore.training.state import RunState
from ms_restore.training.step import TrainStep
from ms_restore.training.step_builder import build_step, learning_rate
from ms_restore.training.validation import Scorer, Validation
from ms_restore.weights import checkpoint, run_checkpoints
from ms_restore.weights.checkpoint import Checkpoint

SINK_STEPS = 100  # steps that an Ascend runs before Python sees its figures again


@dataclasses.dataclass
class Run:
    """A training run's folder, best weights, steps done and best validation PSNR in dB."""

    folder: Path
    checkpoint: Path
    steps: int
    psnr: float

    def __fspath__(self) -> str:
        """Let a run stand for its folder wherever a path is taken."""
        return str(self.folder)


class Stopped(SystemExit):
    """A run that a signal ended; the exit code is the shell's for that signal."""


class Trainer:
    """Trains a network into a run folder, on the device that ``runtime.start`` chose.

    Args:
        network: is trained, in place.
        degradation: makes the degraded patches.
        recipe: the settings of the run; its ``network`` describes the network.
        output: the run folder.
        resumed: the checkpoint of the same folder to go on from.
        max_steps: ends the run early; the learning-rate schedule stays that of the whole run.
    """

    def __init__(
        self,
        network: nn.Cell,
        degradation: Degradation,
        recipe: Recipe,
        output: Path,
        resumed: Optional[Checkpoint] = None,
        max_steps: Optional[int] = None,
    ) -> None:
        self._network = network
        self._degradation = degradation
        self._recipe = recipe
        self._output = output
        self._resumed = resumed
        self._observers: list[ms.train.Callback] = []
        facts = resumed.facts if resumed else {}
        steps = recipe.train.steps
        self._steps = callbacks.Steps(
            first=facts.get("step", 0), last=min(max_steps or steps, steps)
        )
        best = facts.get("best_psnr")
        self._best: float = -np.inf if best is None else float(best)
        # the samples used so far, by however many ranks
        self._done: int = facts.get("samples", self._steps.first * images_per_step(recipe))

    def run(
        self,
        *,
        pretrained: Optional[Path] = None,
        logger_names: str = "jsonl",
        sink: bool = False,
        profile: Optional[tuple[int, int]] = None,
        allow_changes: bool = False,
        back: bool = False,
    ) -> Run:
        """Train to the last step.

        Args:
            pretrained: checkpoint, or weights of another framework, that are taken first, as far
                as they fit.
            logger_names: comma-separated, see ``loggers``.
            sink: hand the device many steps at a time.
            profile: the first and the last step to profile into the run folder; None: none.
            allow_changes: go on although the images are not those that the run began with.
            back: the checkpoint is an earlier one; what is later in the folder is to go.
        """
        recipe, output, steps, ranks = self._recipe, self._output, self._steps, parallel.ranks()
        names = loggers.check_names(logger_names)
        if self._resumed is None and ranks.first:
            check_free(output)
        if steps.first >= steps.last:
            say(f"{output}: all {steps.last} steps are done")
            return Run(output, run_checkpoints.locate(output), steps.first, self._best)
        if profile is not None:
            self._observers = [Profiling(steps, *profile, output / PROFILE)]
        batches, valid, images = self._open_images(allow_changes)
        if pretrained is not None:
            found = checkpoint.read_pretrained(pretrained, recipe)
            say(checkpoint.load_pretrained(self._network, found))
        step_cell = build_step(self._network, recipe)
        validated = registry.build("network", recipe.network)
        state = RunState(self._network, step_cell, validated, recipe)
        state.restore(self._resumed)
        count = sum(parameter.size for parameter in self._network.trainable_params())
        start = f"from step {steps.first} " if self._resumed else ""
        device = ms.get_current_device().device_target
        say(f"{recipe.model}: {count:,} parameters, {device}, {start}to step {steps.last}")
        note = "" if recipe.data.dir else " (no --data_dir)"
        say(f"training on {batches.source.description}{note}, validating on {valid.description}")
        resumed = self._resumed is not None
        with (
            run_folder.in_use(output, recipe, resumed) if ranks.first else contextlib.nullcontext()
        ):
            if ranks.first:
                self._prepare_folder(images, back)
            began = time.perf_counter()
            restorer = Restorer(LoadedNetwork.of(validated, recipe))
            scorer = Scorer(restorer, self._degradation, valid, state.validations())
            stop = self._fit(step_cell, state, scorer, batches, names, sink)
            seconds = time.perf_counter() - began
        if stop is not None:
            saved = run_checkpoints.newest(output)
            if saved:  # another host's ranks have no such folder
                say(f"stopped, saved as {saved[0].stem}; go on with: train --resume {output}")
            raise Stopped(128 + stop)
        kept = run_checkpoints.locate(output) if ranks.first else output / run_checkpoints.BEST
        say(
            f"{steps.last - steps.first} steps in {seconds:.0f} s, best PSNR {self._best:.2f} dB, "
            f"in {kept}"
        )
        return Run(output, kept, steps.last, self._best)

    def _open_images(self, allow_changes: bool) -> tuple[TrainingBatches, ImageSource, RunImages]:
        """Open the images, which a resumed run compares with those that it began with."""
        recipe, steps = self._recipe, self._steps
        before = run_images.read(self._output) if self._resumed else None
        batches, valid = open_data(
            recipe,
            Geometry.of(self._network),
            self._degradation,
            steps.last - steps.first,
            self._done,
            before.earlier() if before else None,
        )
        images = RunImages.of(batches.source, valid)
        if before is not None:
            images.check_unchanged(before, allow_changes)
        return batches, valid, images

    def _prepare_folder(self, images: RunImages, back: bool) -> None:
        """Bring the run folder to the step from which the run goes on."""
        first = self._steps.first
        if back:
            going_back.set_aside(self._output, first)
            if not going_back.has_best(self._output, first):
                self._best = -np.inf
        images.write(self._output)
        run_folder.cut_log(self._output, first)

    def _kept(self) -> str:
        """Say what a run that diverged can go on from."""
        found = run_checkpoints.newest(self._output)
        if not found:
            return kept_nothing()
        return (
            f"its last checkpoint is as it was; go on from that or an earlier one by train "
            f"--resume {found[0]} --train.lr LR --allow_changes"
        )

    def _fit(
        self,
        step_cell: TrainStep,
        state: RunState,
        scorer: Scorer,
        batches: TrainingBatches,
        logger_names: list[str],
        sink: bool,
    ) -> Optional[int]:
        """Run the steps; return the number of the signal that ended them early, if one did."""
        settings, steps = self._recipe.train, self._steps
        outlets = loggers.open_all(logger_names if parallel.ranks().first else [], self._output)
        reporter = loggers.Reporter(outlets, TrainingProgress(steps.first, steps.last))

        def keep_best(step: int, psnr: float) -> None:
            figures.divergence.check_weights(step, state.validated.trainable_params())
            self._best = psnr
            if parallel.ranks().first:
                facts = {
                    "step": step,
                    "valid_psnr": psnr,
                    "protocol": self._recipe.eval.protocol,
                }
                state.save_best(self._output / run_checkpoints.BEST, facts)

        def save(step: int) -> None:
            figures.divergence.check_weights(step, self._network.trainable_params())
            self._save(state, step)

        figures = callbacks.Figures(
            steps,
            reporter,
            step_cell,
            learning_rate(settings),
            images_per_step(self._recipe),
            self._kept,
        )
        validation = Validation(
            steps, settings.validate_every, scorer, figures, keep_best, self._best
        )
        checkpoints = callbacks.Checkpoints(steps, settings.checkpoint_every, save, figures)
        stop = callbacks.Stop(steps, checkpoints)
        workers = self._recipe.data.workers
        try:
            with stop.listening():
                listeners = [*self._observers, figures, validation, checkpoints, stop]
                fit(step_cell, batches, workers, steps, listeners, SINK_STEPS if sink else 0)
        finally:
            reporter.close()
        if stop.signal is None and stop.last_step < steps.last:
            raise RuntimeError(f"the data ended after step {stop.last_step} of {steps.last}")
        return stop.signal

    def _save(self, state: RunState, step: int) -> None:
        """Write a checkpoint, and keep the last few files alone."""
        if not parallel.ranks().first:
            return
        samples = self._done + (step - self._steps.first) * images_per_step(self._recipe)
        best = self._best if np.isfinite(self._best) else None
        facts = {"step": step, "samples": samples, "best_psnr": best}
        state.save(run_checkpoints.step_path(self._output, step), facts)
        going_back.discard(self._output)
        for old in run_checkpoints.newest(self._output)[self._recipe.train.keep :]:
            old.unlink()


def fit(
    step_cell: TrainStep,
    batches: TrainingBatches,
    workers: int,
    steps: callbacks.Steps,
    listeners: list[ms.train.Callback],
    chunk: int = 0,
) -> None:
    """Run a step for each batch through ``mindspore.train.Model``.

    Args:
        step_cell: the training step.
        batches: of the steps from ``steps.first`` on.
        workers: threads that make batches.
        steps: counts the steps, and says whether to stop.
        listeners: are called after each step, with data sink after each chunk.
        chunk: with data sink, the steps that the device is handed at a time. What is left at the
            end is a smaller chunk, whose graph is compiled once more: it reads another queue.
    """
    step_cell.set_train()
    for first, count, size in sink_parts(len(batches), chunk):
        steps.part = steps.first + first
        dataset = as_dataset(batches.part(first, count), workers)
        options = {"dataset_sink_mode": True, "sink_size": size} if chunk else {}
        model = ms.train.Model(step_cell)
        model.train(count // size, dataset, listeners, **{"dataset_sink_mode": False, **options})
        if steps.stopped:
            return


def sink_parts(count: int, chunk: int) -> list[tuple[int, int, int]]:
    """Return the parts of ``count`` steps as (steps before it, its steps, steps in its chunks).

    Without chunks there is one part, which is one epoch.
    """
    size = min(chunk, count) or count
    whole = count - count % size
    parts = [(0, whole, size)]
    return parts if whole == count else [*parts, (whole, count - whole, count - whole)]
