"""Optimizers: ``f(parameters, rates, *, ...)`` with one learning rate for every update."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Optional

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from pydantic import Field

Beta = Annotated[float, Field(ge=0, lt=1)]


def adam(
    parameters: list[Parameter],
    rates: list[float],
    *,
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    beta1_end: Optional[Beta] = None,
) -> nn.Optimizer:
    """Return the Adam optimizer (Kingma and Ba 2015, arXiv 1412.6980).

    With ``beta1_end``, beta1 goes there along with the learning rate's fall from its peak.
    """
    if beta1_end is None:
        return nn.Adam(
            parameters, rates, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
        )
    betas = betas1(rates, beta1, beta1_end)
    return _AdamOfBetas(parameters, rates, betas, _Numbers(beta2, eps, weight_decay))


def adam_w(
    parameters: list[Parameter],
    rates: list[float],
    *,
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    eps: float = 1e-8,
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2,
) -> nn.Optimizer:
    """Return Adam whose weight decay is apart from the gradient (arXiv 1711.05101).

    Each update first multiplies every weight by 1 - rate * ``weight_decay``. MindSpore's own
    AdamWeightDecay leaves out the correction of the moments' bias, so that it is not this one.
    """
    return _AdamOfBetas(parameters, rates, [beta1], _Numbers(beta2, eps, shrinkage=weight_decay))


def betas1(rates: list[float], beta1: float, beta1_end: float) -> list[float]:
    """Return beta1 of every update: constant up to the rates' last peak, then in step with them."""
    peak = max(rates)
    last = max(step for step, rate in enumerate(rates) if rate == peak)
    share = [1.0 if step <= last else rate / peak for step, rate in enumerate(rates)]
    return [s * beta1 + (1 - s) * beta1_end for s in share]


class _Numbers(NamedTuple):
    """Of Adam; ``shrinkage`` is the weight decay apart from the gradient."""

    beta2: float
    eps: float
    weight_decay: float = 0.0
    shrinkage: float = 0.0


class _AdamOfBetas(nn.Optimizer):
    """Adam with a beta1 for every update; the bias correction is the product of those used.

    The last beta1 serves for all further updates.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        rates: list[float],
        betas: list[float],
        numbers: _Numbers,
    ) -> None:
        super().__init__(rates, parameters, numbers.weight_decay)
        self.betas = Tensor(np.array(betas, np.float32))
        self.beta2 = Tensor(numbers.beta2, ms.float32)
        self.eps = Tensor(numbers.eps, ms.float32)
        self.beta1_power = Parameter(Tensor(1, ms.float32), name="beta1_power")
        self.beta2_power = Parameter(Tensor(1, ms.float32), name="beta2_power")
        self.moment1 = self.parameters.clone("moment1", "zeros")
        self.moment2 = self.parameters.clone("moment2", "zeros")
        self.adam = ops.Adam()
        self.shrinkage = numbers.shrinkage

    def construct(self, gradients: tuple[Tensor, ...]) -> bool:
        gradients = self.decay_weight(self.flatten_gradients(gradients))
        beta1 = self.betas[ops.minimum(self.global_step, len(self.betas) - 1)].reshape(())
        lr = self.get_lr()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        if self.shrinkage:
            self.map_(ops.partial(_shrink, 1 - lr * self.shrinkage), self.parameters)
        power1 = self.beta1_power * beta1
        power2 = self.beta2_power * self.beta2
        self.beta1_power = power1
        self.beta2_power = power2
        update = ops.partial(_adam, self.adam, power1, power2, lr, beta1, self.beta2, self.eps)
        return self.map_(update, gradients, self.parameters, self.moment1, self.moment2)


def _shrink(factor: Tensor, weight: Parameter) -> Tensor:
    return ops.assign(weight, weight * factor)


def _adam(
    adam: ops.Primitive,
    power1: Tensor,
    power2: Tensor,
    lr: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    gradient: Tensor,
    weight: Parameter,
    moment1: Parameter,
    moment2: Parameter,
) -> bool:
    adam(weight, moment1, moment2, power1, power2, lr, beta1, beta2, eps, gradient)
    return True


def sgd(
    parameters: list[Parameter],
    rates: list[float],
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> nn.Optimizer:
    """Return stochastic gradient descent with momentum."""
    return nn.SGD(
        parameters, rates, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
    )
