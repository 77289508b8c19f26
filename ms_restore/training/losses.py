"""Losses: (x_hat, x) of shape (N, C, H, W) to a scalar.

x is the clean patch, or with ``data.target: degraded`` an independent corruption of it.
"""

from __future__ import annotations

import math
from typing import Annotated

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from pydantic import Field


def _mean(errors: Tensor) -> Tensor:
    """Return the mean of all numbers, along one axis, where MindSpore's CPU kernel is fast."""
    return errors.reshape(-1).mean()


class L1(nn.Cell):
    """The mean absolute error, mean |x_hat - x|."""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of (N, C, H, W) batches."""
        return _mean(ops.abs(x_hat - x))


class MSE(nn.Cell):
    """The mean squared error, mean (x_hat - x)^2."""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of (N, C, H, W) batches."""
        return _mean(ops.square(x_hat - x))


class Charbonnier(nn.Cell):
    """The error of Charbonnier et al., mean sqrt((x_hat - x)^2 + eps^2) (Lai et al. 2017).

    It is the L1 of large errors with a gradient that is smooth at zero, arXiv 1704.03915.

    Args:
        eps: errors well below it count quadratically, those above it linearly.
    """

    def __init__(self, *, eps: Annotated[float, Field(gt=0)] = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of (N, C, H, W) batches."""
        difference = x_hat.astype(ms.float32) - x
        # the gradient of a root is for an Ascend's slow processors, that of a power is not
        return _mean(ops.pow(ops.square(difference) + self.eps**2, 0.5))


class PSNR(nn.Cell):
    """The negative PSNR in dB, mean over images of 10 log10(MSE + eps); it may be below zero.

    Each image counts alike, however noisy it is (Chen et al. 2022, arXiv 2204.04676).

    Args:
        eps: added to the mean squared error, so that a perfect image has a gradient.
    """

    def __init__(self, *, eps: Annotated[float, Field(gt=0)] = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of (N, C, H, W) batches."""
        squares = ops.square(x_hat.astype(ms.float32) - x)
        decibels = ops.log(squares.reshape(squares.shape[0], -1).mean(-1) + self.eps)
        return decibels.mean() * (10 / math.log(10))


class SumSquared(nn.Cell):
    """DnCNN's loss, sum (x_hat - x)^2 / (2 N), which grows with the size of a patch."""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of (N, C, H, W) batches."""
        return ops.square(x_hat - x).reshape(-1).sum() / (2 * x.shape[0])


class MaskedMSE(nn.Cell):
    """The error where a mask m is 1, mean (m (x_hat - x))^2; m lies behind x's channels."""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of (N, C, H, W) batches."""
        channels = x_hat.shape[1]
        difference = x_hat - x[:, :channels]
        if x.shape[1] > channels:
            difference = difference * x[:, channels:]
        return _mean(ops.square(difference))


class AnnealedL0(nn.Cell):
    """A loss that finds modes: mean (|x_hat - x| + 1e-8)^gamma, gamma falling from 2 to 0.

    It finds the mode of corrupted targets, where L2 finds their mean (Lehtinen et al. 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = Parameter(Tensor([0], ms.int32), name="annealed", requires_grad=False)
        self.steps = 1

    def follow(self, step: Parameter, steps: int) -> None:
        """Take the counter of updates, and how many updates the run has."""
        self.step = step
        self.steps = steps

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of (N, C, H, W) batches."""
        gamma = 2 - 2 * self.step.astype(ms.float32).reshape(()) / self.steps
        return _mean(ops.pow(ops.abs(x_hat - x) + 1e-8, gamma))
