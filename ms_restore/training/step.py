"""One training step: forward, backward and update in a single compiled graph.

Precision O2 computes the network in float16, or bfloat16, with float32 weights; the loss, the
gradients of the weights and the update stay float32. The loss is multiplied by a scale so that
small gradients do not vanish in float16 (Micikevicius et al. 2018, arXiv 1710.03740); bfloat16, of
float32's range, needs none. A step whose gradients overflow is skipped, by all ranks where one of
them overflows.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Literal, Optional

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, amp, nn, ops
from mindspore._c_expression import MSContext
from mindspore.ops.operations.math_ops import NPUClearFloatStatusV2

from ms_restore.contracts import PartlyFloat16

_FIRST_SCALE = 2.0**16
_FIXED_SCALE = 1024.0


class NetworkWithLoss(nn.Cell):
    """A cell from a degraded and a clean batch (y, x) to the scalar loss(network(y), x)."""

    def __init__(
        self,
        network: nn.Cell,
        loss: nn.Cell,
        amp_level: Literal["O0", "O2"] = "O0",
        amp_dtype: Literal["float16", "bfloat16"] = "float16",
    ) -> None:
        super().__init__(auto_prefix=False)
        dtype = {"float16": ms.float16, "bfloat16": ms.bfloat16}[amp_dtype]
        if isinstance(network, PartlyFloat16):
            if amp_level == "O2":  # in place: a cell around it would rename its parameters
                network.float16_part.to_float(dtype)
            self.network: nn.Cell = network
        else:
            self.network = amp.auto_mixed_precision(network, amp_level, dtype)
        self.loss = loss

    def construct(self, y: Tensor, x: Tensor) -> Tensor:
        """Compute the step, or the loss, of a batch."""
        return self.loss(self.network(y), x)


class LossScale(nn.Cell):
    """The factor on the loss: "none" (1), "fixed" (1024) or "dynamic".

    The dynamic one starts at 2^16, is halved (not below 1) after a step that overflowed and
    doubled after ``window`` steps that did not.
    """

    def __init__(self, kind: Literal["none", "fixed", "dynamic"], window: int) -> None:
        super().__init__(auto_prefix=False)
        first = {"none": 1.0, "fixed": _FIXED_SCALE, "dynamic": _FIRST_SCALE}[kind]
        self.dynamic = kind == "dynamic"
        self.scales = kind != "none"
        self.scaler = amp.DynamicLossScaler(first, 2, window)
        self.scaler.scale_value.name = "loss_scale"
        self.scaler.counter.name = "loss_scale_good_steps"
        self.value = self.scaler.scale_value  # as attributes they are parameters of this cell
        self.good_steps = self.scaler.counter

    def construct(self, finite: Tensor) -> Tensor:
        """Adjust to whether the step's gradients were finite; return the new scale."""
        if self.dynamic:
            self.scaler.adjust(finite)
        return self.value


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """What a training step does beside forward, backward and update.

    Attributes:
        clip_norm: the gradients are scaled down to this global norm; None: they are not.
        accumulate: the batch is computed in this number of parts, and their gradients are averaged.
        ema_decay: keeps an exponential moving average of the weights in ``averages``; 0: none.
            Update n decays by min(ema_decay, (1 + n) / (4 + n)): at first the last third counts.
        ranks: processes whose gradients are averaged. Where one of them overflows, all of them
            skip the step.
        norm: a cell from a gradient to its Euclidean norm, (1,), by which overflows are found and
            gradients are clipped; None: operators of MindSpore.
    """

    clip_norm: Optional[float] = None
    accumulate: int = 1
    ema_decay: float = 0.0
    ranks: int = 1
    norm: Optional[nn.Cell] = None


class TrainStep(nn.Cell):
    """One step of training: a cell from (y, x) to (loss, loss scale, steps skipped so far).

    Args:
        network_with_loss: (y, x) to the scalar loss.
        optimizer: updates its own parameters.
        loss_scale: see LossScale.
        options: what else the step does.

    Every state is a parameter of this cell, so its parameters are all that a run must save.
    """

    def __init__(
        self,
        network_with_loss: nn.Cell,
        optimizer: nn.Optimizer,
        loss_scale: LossScale,
        options: StepOptions = StepOptions(),
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network_with_loss = network_with_loss
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.loss_scale = loss_scale
        self.clip_norm = options.clip_norm
        self.accumulate = options.accumulate
        self.ema_decay = options.ema_decay
        self.ranks = options.ranks
        self.norm = options.norm
        if self.ranks > 1:
            self.reducer = nn.DistributedGradReducer(self.weights, True, self.ranks)
            self.sum = ops.AllReduce()
        self.averages = self.weights.clone("ema", "same") if self.ema_decay else ParameterTuple(())
        self.updates = Parameter(Tensor(0, ms.int32), name="updates", requires_grad=False)
        self.skipped = Parameter(Tensor(0, ms.int32), name="skipped_steps", requires_grad=False)
        self.loss_and_gradients = ops.value_and_grad(self.scaled_loss, None, self.weights)
        self.hyper_map = ops.HyperMap()

    def scaled_loss(self, y: Tensor, x: Tensor, scale: Tensor) -> Tensor:
        """Return the loss times the loss scale."""
        return self.network_with_loss(y, x) * scale

    def construct(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the step, or the loss, of a batch."""
        scale = self.loss_scale.value * 1.0
        if _has_float_status():  # validation or a collective may have set it
            y = ops.depend(y, NPUClearFloatStatusV2()(Tensor([0] * 8, ms.int32)))
        if self.accumulate == 1:
            loss, gradients = self.loss_and_gradients(y, x, scale)
        else:
            loss, gradients = self.accumulated(y, x, scale)
        if self.loss_scale.scales or self.accumulate > 1:
            shrink = 1.0 / (scale * self.accumulate)
            loss = loss * shrink
            gradients = self.hyper_map(ops.partial(_times, shrink), gradients)
        if self.ranks > 1:
            gradients = self.reducer(gradients)
            loss = self.sum(loss) / self.ranks
        norms = self.norms(gradients)
        finite = amp.all_finite(gradients) if norms is None else ops.isfinite(norms).all()
        if self.ranks > 1:  # the status of a device that saturates is its own
            finite = self.sum((~finite).astype(ms.float32)) < 0.5
        if finite:
            self.update(gradients, norms)
        else:
            ops.assign_add(self.skipped, Tensor(1, ms.int32))
        return loss, self.loss_scale(finite), self.skipped

    def accumulated(self, y: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Compute the batch in parts; return the sums of their losses and gradients."""
        size = y.shape[0] // self.accumulate
        loss, gradients = self.loss_and_gradients(y[:size], x[:size], scale)
        for part in range(1, self.accumulate):
            first = part * size
            more, others = self.loss_and_gradients(
                y[first : first + size], x[first : first + size], scale
            )
            loss = loss + more
            gradients = self.hyper_map(ops.add, gradients, others)
        return loss, gradients

    def norms(self, gradients: tuple[Tensor, ...]) -> Optional[Tensor]:
        """Return the Euclidean norm of each gradient; None where MindSpore's operators serve."""
        if self.norm is None:
            return None
        return ops.concat(self.hyper_map(self.norm, gradients))

    def clipped(self, gradients: tuple[Tensor, ...], norms: Optional[Tensor]) -> tuple[Tensor, ...]:
        """Return the gradients, scaled down where their common norm is above ``clip_norm``."""
        if norms is None:
            return ops.clip_by_global_norm(gradients, self.clip_norm)
        norm = ops.sqrt(ops.square(norms).sum())
        factor = self.clip_norm / ops.maximum(norm, self.clip_norm)
        return self.hyper_map(ops.partial(_times, factor), gradients)

    def update(self, gradients: tuple[Tensor, ...], norms: Optional[Tensor]) -> None:
        """Change the weights by their gradients, and their averages."""
        if self.clip_norm is not None:
            gradients = self.clipped(gradients, norms)
        self.optimizer(gradients)
        if self.ema_decay:
            done = ops.assign_add(self.updates, Tensor(1, ms.int32)).astype(ms.float32)
            decay = ops.minimum(Tensor(self.ema_decay, ms.float32), (1 + done) / (4 + done))
            self.hyper_map(ops.partial(_average, decay), self.averages, self.weights)


@ops.constexpr
def _has_float_status() -> bool:
    """Whether overflows show in a status of the device: where numbers saturate, as on a 910A."""
    asked_for = os.environ.get("MS_ASCEND_CHECK_OVERFLOW_MODE") == "SATURATION_MODE"
    return is_first_ascend() or (asked_for and ms.get_context("device_target") == "Ascend")


def is_first_ascend() -> bool:
    """Return whether the device is an Ascend 910 of the first generation (910A)."""
    if ms.get_context("device_target") != "Ascend":
        return False
    # MindSpore's own name for the line of products, by which its loss scale chooses too
    soc = MSContext.get_instance()
    return bool(soc.ascend_soc_supports_feature("amp_loss_scale_train_classic_target"))


def _times(factor: Tensor, value: Tensor) -> Tensor:
    return value * factor


def _average(decay: Tensor, average: Parameter, weight: Parameter) -> Tensor:
    return ops.assign(average, average * decay + weight * (1 - decay))
