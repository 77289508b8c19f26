"""The training step of a recipe, and its learning rates."""

from __future__ import annotations

from typing import Callable, Optional

import mindspore as ms
from mindspore import nn

from ms_restore import parallel, registry, runtime
from ms_restore.contracts import FollowsSteps
from ms_restore.errors import InputError
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe, TrainSettings
from ms_restore.training import cpu_operators
from ms_restore.training.step import (
    LossScale,
    NetworkWithLoss,
    StepOptions,
    TrainStep,
    is_first_ascend,
)


def learning_rates(settings: TrainSettings) -> list[float]:
    """Return the learning rate of every step of the whole run."""
    return list(map(learning_rate(settings), range(settings.steps)))


def learning_rate(settings: TrainSettings) -> Callable[[int], float]:
    """Return the function that gives the learning rate of a step, counted from 0."""
    lr = settings.lr * (parallel.ranks().count if settings.scale_lr == "linear" else 1)
    factor = registry.bound("schedule", settings.schedule)

    def rate(step: int) -> float:
        return lr * factor(step, settings.steps) * min(1.0, (step + 1) / (settings.warm_up + 1))

    return rate


def build_step(network: nn.Cell, recipe: Recipe) -> TrainStep:
    """Return the recipe's training step of this network, which is changed in place.

    The loss, the optimizer and the schedule are those that the recipe names. Raises InputError
    where the device does not compute in the recipe's precision.
    """
    settings = recipe.train
    _check_precision(settings)
    norm = _speed_up(network, settings)
    optimizer = registry.build(
        "optimizer", settings.optimizer, network.trainable_params(), learning_rates(settings)
    )
    parallel.fuse(settings.all_reduce)
    loss = registry.build("loss", settings.loss)
    if isinstance(loss, FollowsSteps):
        loss.follow(optimizer.global_step, settings.steps)
    step = TrainStep(
        NetworkWithLoss(network, loss, settings.amp_level, settings.amp_dtype),
        optimizer,
        LossScale(settings.loss_scale or "none", settings.loss_scale_window),
        StepOptions(
            clip_norm=settings.clip_norm,
            accumulate=settings.accumulate,
            ema_decay=settings.ema_decay,
            ranks=parallel.ranks().count,
            norm=norm,
        ),
    )
    runtime.use_jit_level(step)
    return step


def _check_precision(settings: TrainSettings) -> None:
    device = ms.get_current_device().device_target
    bfloat16 = settings.amp_level == "O2" and settings.amp_dtype == "bfloat16"
    if bfloat16 and (device == "CPU" or is_first_ascend()):
        here = "a CPU" if device == "CPU" else "an Ascend 910 of the first generation"
        raise InputError(
            f"train.amp_dtype bfloat16: MindSpore computes in it on an Ascend A2 or later, not on "
            f"{here}; set train.amp_dtype float16, or train.amp_level O0"
        )


def _speed_up(network: nn.Cell, settings: TrainSettings) -> Optional[nn.Cell]:
    """Let compiled operators compute the network, where they can and should.

    Returns that which computes the norm of a gradient, or None where MindSpore's are used.
    """
    wanted = settings.cpu_convolutions == "onednn" and settings.amp_level == "O0"
    graph = ms.get_context("mode") == ms.GRAPH_MODE
    if not (wanted and graph and ms.get_current_device().device_target == "CPU"):
        return None
    try:
        cpu_operators.replace_operators(network)
        return cpu_operators.euclidean_norm()
    except cpu_operators.Unavailable as reason:
        say(f"operators of MindSpore, which train slower than compiled ones: {reason}")
        return None
