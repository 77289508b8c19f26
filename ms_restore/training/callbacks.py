"""What happens beside the steps: figures, checkpoints, and a stop that loses nothing.

MindSpore calls them in the order of the list: Figures stops a run that diverged before Validation
and Checkpoints could keep its weights; Stop comes last.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Callable, Optional

from mindspore.train import Callback, RunContext

from ms_restore import parallel
from ms_restore.training.divergence import Divergence, kept_nothing
from ms_restore.training.loggers import Reporter
from ms_restore.training.step import TrainStep

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Steps:
    """The number of the step that a callback is called at, counted over all sessions of the run.

    Attributes:
        first: steps done before this session.
        last: the number of the last step.
        part: steps done before the present part of the session, which MindSpore counts by itself.
        stopped: whether the run is to end before its last step.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first = self.part = first
        self.last = last
        self.stopped = False

    def now(self, run_context: RunContext) -> int:
        """Return the number of the present step, counted over all sessions of the run."""
        return self.part + int(run_context.original_args().cur_step_num)

    def due(self, step: int, done: int, every: int) -> bool:
        """Tell whether a multiple of ``every`` lies in (done, step], or the run ends.

        With data sink a callback is called after a chunk of steps, not after each.
        """
        return step // every > done // every or step >= self.last


class Figures(Callback):
    """Reports loss, learning rate, loss scale, images/s and data wait of every step.

    Args:
        steps: counts the steps of the run.
        reporter: where the figures go.
        step_cell: the training step.
        rate: returns the learning rate of a step, counted from 0.
        images_per_step: of all ranks together.
        kept: says what there is to go on from, where the run diverged.
    """

    def __init__(
        self,
        steps: Steps,
        reporter: Reporter,
        step_cell: TrainStep,
        rate: Callable[[int], float],
        images_per_step: int,
        kept: Callable[[], str] = kept_nothing,
    ) -> None:
        super().__init__()
        self.divergence = Divergence(step_cell.loss_scale.dynamic, kept)
        self.reporter = reporter
        self._steps = steps
        self._rate = rate
        self._images_per_step = images_per_step
        self._step = steps.first
        self._skipped = int(step_cell.skipped)
        self._ended = self._began = time.perf_counter()
        self.loss = math.nan
        self.images_per_second = 0.0

    def on_train_step_begin(self, run_context: RunContext) -> None:
        """Note the time, or listen for signals again."""
        self._began = time.perf_counter()

    def on_train_step_end(self, run_context: RunContext) -> None:
        """Do what is due after a step."""
        step = self._steps.now(run_context)
        outputs = run_context.original_args().net_outputs
        self.loss, scale = float(outputs[0].asnumpy()), float(outputs[1].asnumpy())
        skipped = int(outputs[2].asnumpy())
        now = time.perf_counter()
        seconds = now - self._ended
        self.images_per_second = (step - self._step) * self._images_per_step / seconds
        rate = self._rate(max(0, step - 1 - skipped))
        figures = {
            "loss": self.loss,
            "lr": rate,
            "loss_scale": scale,
            "skipped": skipped,
            "images_per_second": round(self.images_per_second, 2),
            "data_wait": round((self._began - self._ended) / seconds, 4),
        }
        self.reporter.scalars(step, figures)
        self.reporter.progress.step(step, self.loss, self.images_per_second)
        self.divergence.check(step, self.loss, rate, skipped > self._skipped, scale)
        self._step, self._ended, self._skipped = step, now, skipped

    def validated(self, step: int, psnr: float, best: float, each: Mapping[str, float]) -> None:
        """Report the PSNR of a validation, in dB; ``each`` is that of every kind of weights."""
        figures = {"valid_psnr": psnr, "best_psnr": best}
        if len(each) > 1:
            figures |= {f"valid_psnr_{name}": value for name, value in each.items()}
        self.reporter.scalars(step, figures)
        self.reporter.progress.validation(step, self.loss, psnr, each, self.images_per_second)

    def resume_clock(self) -> None:
        """Start measuring time again after a validation or a checkpoint, which count to no step."""
        self._ended = time.perf_counter()


class Checkpoints(Callback):
    """Saves what the run can be resumed from, regularly, at the end and when it is stopped."""

    def __init__(
        self, steps: Steps, every: int, save: Callable[[int], None], figures: Figures
    ) -> None:
        super().__init__()
        self._steps = steps
        self._every = every
        self._save = save
        self._figures = figures
        self._done = steps.first

    def on_train_step_end(self, run_context: RunContext) -> None:
        """Do what is due after a step."""
        step = self._steps.now(run_context)
        if self._steps.due(step, self._done, self._every):
            self.save(step)

    def save(self, step: int) -> None:
        """Save a checkpoint of this step, unless that is done."""
        if step > self._done:
            self._save(step)
            self._done = step
            self._figures.resume_clock()


class Stop(Callback):
    """Ends the run after the present step when SIGINT or SIGTERM has come, with a checkpoint.

    A second SIGINT between steps interrupts at once. MindData and the graph executor take the
    signals for themselves (the latter turns SIGINT into SIGTERM), so the handlers are set again at
    every step.
    """

    def __init__(self, steps: Steps, checkpoints: Checkpoints) -> None:
        super().__init__()
        self._steps = steps
        self._checkpoints = checkpoints
        self._listening = False
        self.signal: Optional[int] = None
        self.last_step = steps.first

    def on_train_step_begin(self, run_context: RunContext) -> None:
        """Note the time, or listen for signals again."""
        self._listen()

    def on_train_step_end(self, run_context: RunContext) -> None:
        """Do what is due after a step."""
        self.last_step = self._steps.now(run_context)
        if parallel.any_rank(self.signal is not None):
            self.signal = self.signal or signal.SIGTERM
            self._checkpoints.save(self.last_step)
            self._steps.stopped = True
            run_context.request_stop()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals in this block, in the main thread only (Python knows no other way)."""
        self._listening = threading.current_thread() is threading.main_thread()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                if self._listening and handler is not None:
                    signal.signal(number, handler)

    def _listen(self) -> None:
        if self._listening:
            for number in _SIGNALS:
                signal.signal(number, self._asked)

    def _asked(self, number: int, frame: Optional[FrameType]) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number
