"""What happens beside the steps: the log, validation, checkpoints."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn
from mindspore.train import Callback, RunContext

from ms_restore.data.sources import ImageSource
from ms_restore.inference.restorer import Restorer
from ms_restore.metrics.evaluate import trials
from ms_restore.metrics.protocols import PROTOCOLS
from ms_restore.report.terminal import TrainingProgress
from ms_restore.weights import checkpoint


class Log(Callback):
    """One JSON line a step (a chunk of steps with data sink) and a validation; feeds the bar."""

    def __init__(self, path: Path, batch_size: int, progress: TrainingProgress) -> None:
        super().__init__()
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._batch_size = batch_size
        self._progress = progress
        self._step = 0
        self._time = time.perf_counter()
        self.loss = math.nan
        self.images_per_second = 0.0

    def on_train_step_end(self, run_context: RunContext) -> None:
        arguments = run_context.original_args()
        step = int(arguments.cur_step_num)
        now = time.perf_counter()
        self.loss = float(arguments.net_outputs.asnumpy())
        self.images_per_second = (step - self._step) * self._batch_size / (now - self._time)
        self._step, self._time = step, now
        self._write(step=step, loss=self.loss, images_per_second=round(self.images_per_second, 2))
        self._progress.step(step, self.loss, self.images_per_second)

    def validated(self, step: int, psnr: float) -> None:
        self._write(step=step, valid_psnr=psnr)
        self._progress.validation(step, self.loss, psnr, self.images_per_second)
        self._time = time.perf_counter()  # the next step's rate is without the validation

    def _write(self, **figures: Any) -> None:
        self._file.write(json.dumps(figures) + "\n")

    def close(self) -> None:
        self._file.close()


class Validation(Callback):
    """Scores the network every ``train.validate_every`` steps and at the end, then saves it."""

    def __init__(
        self,
        folder: Path,
        restorer: Restorer,
        network: nn.Cell,
        degradation: Any,
        source: ImageSource,
        log: Log,
        steps: int,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._restorer = restorer
        self._network = network
        self._degradation = degradation
        self._source = source
        self._log = log
        self._steps = steps
        self._done = 0
        self.best = -math.inf

    def on_train_step_end(self, run_context: RunContext) -> None:
        step = int(run_context.original_args().cur_step_num)
        every = self._restorer.recipe.train.validate_every
        if step // every > self._done // every or step >= self._steps:
            self._done = step
            self._validate(step)

    def _validate(self, step: int) -> None:
        recipe = self._restorer.recipe
        protocol = PROTOCOLS[recipe.eval.protocol]
        psnr = float(
            np.mean(
                [
                    protocol.psnr(trial.x_hat, trial.x, self._restorer.scale)
                    for trial in trials(self._restorer, self._degradation, self._source)
                ]
            )
        )
        self._log.validated(step, psnr)
        facts = {"step": step, "valid_psnr": psnr, "protocol": recipe.eval.protocol}
        names = [checkpoint.LAST] if psnr <= self.best else [checkpoint.LAST, checkpoint.BEST]
        for name in names:
            checkpoint.save(self._folder / name, self._network, recipe, facts)
        self.best = max(self.best, psnr)
