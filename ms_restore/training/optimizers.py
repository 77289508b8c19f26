"""Optimizers: ``f(parameters, rates, *, ...)`` with one learning rate for every update."""

from __future__ import annotations

from mindspore import Parameter, nn


def adam(
    parameters: list[Parameter],
    rates: list[float],
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> nn.Optimizer:
    """Kingma and Ba 2015, arXiv 1412.6980."""
    return nn.Adam(parameters, rates, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)


def sgd(
    parameters: list[Parameter],
    rates: list[float],
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> nn.Optimizer:
    """Stochastic gradient descent with momentum."""
    return nn.SGD(
        parameters, rates, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
    )
