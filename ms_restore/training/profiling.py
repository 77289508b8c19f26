"""What some steps of a run spend their time on, by mindspore.profiler: ``--profile 20:30``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Optional

import mindspore as ms
from mindspore.train import Callback, RunContext

from ms_restore import parallel
from ms_restore.errors import InputError
from ms_restore.report.terminal import say
from ms_restore.training.callbacks import Steps


def steps_of(text: str) -> tuple[int, int]:
    """Return the first and the last step of a text such as 20:30; both are profiled."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise InputError(f"--profile {text}: expected the first and the last step, such as 20:30")
    return first, last


class Profiling(Callback):
    """Profiles the steps from ``first`` to ``last`` into ``folder``, on the first rank.

    The folder holds trace_view.json, for MindStudio Insight or chrome://tracing, and on an Ascend
    tables of operators. With data sink Python sees whole chunks of steps, so all chunks with one
    of these steps are profiled. Compiling is in the first step that a run computes.

    Args:
        steps: counts the steps of the run.
        first: the first step that is profiled, from 1.
        last: the last one.
        folder: where the profile goes.
    """

    def __init__(self, steps: Steps, first: int, last: int, folder: Path) -> None:
        super().__init__()
        if first > steps.last or last <= steps.first:
            raise InputError(
                f"--profile {first}:{last}: none of these is among the steps "
                f"{steps.first + 1} to {steps.last} that are to be done"
            )
        self._steps = steps
        self._first, self._last = first, last
        self._folder = folder
        self._profile: Any = None
        self._from = self._begun = steps.first + 1
        self._done = not parallel.ranks().first

    def on_train_step_begin(self, run_context: RunContext) -> None:
        """Begin where the step, or the chunk of steps, could be or hold the first one."""
        size = _chunk(run_context)
        if self._done or self._profile is not None or self._begun + size - 1 < self._first:
            return
        self._from = self._begun
        self._profile = _profile(self._folder)
        self._profile.start()

    def on_train_step_end(self, run_context: RunContext) -> None:
        """End after the last step, and say where the profile is."""
        step = self._steps.now(run_context)
        self._begun = step + 1
        if self._profile is not None:
            self._profile.step()
            if step >= self._last:
                self._stop(step)

    def on_train_end(self, run_context: RunContext) -> None:
        """End where the run ended before the last step."""
        if self._profile is not None:
            self._stop(self._steps.now(run_context))

    def _stop(self, step: int) -> None:
        self._profile.stop()
        self._profile, self._done = None, True
        say(f"profile of the steps {self._from} to {step} in {self._folder}")


def _chunk(run_context: RunContext) -> int:
    """How many steps pass before Python is called again."""
    arguments = run_context.original_args()
    sink = bool(arguments.get("dataset_sink_mode", False))
    return int(arguments.get("batch_num", 1)) if sink else 1


def _profile(folder: Path, environment: Optional[dict[str, str]] = None) -> Any:
    from mindspore.profiler import ProfilerActivity, profile, tensorboard_trace_handler

    on_ascend = ms.get_current_device().device_target == "Ascend"
    if on_ascend and "ASCEND_RT_VISIBLE_DEVICES" in (environment or os.environ):
        say("note: CANN does not support profiling where ASCEND_RT_VISIBLE_DEVICES is set")
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.NPU] if on_ascend else [])
    folder.mkdir(parents=True, exist_ok=True)
    return profile(
        activities=activities,
        start_profile=False,
        on_trace_ready=tensorboard_trace_handler(str(folder)),
    )
