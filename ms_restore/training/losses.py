"""Losses: (x_hat, x) of shape (N, C, H, W) to a scalar.

x is the clean patch, or with ``data.target: degraded`` an independent corruption of it.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops


class L1(nn.Cell):
    """mean |x_hat - x|"""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return ops.abs(x_hat - x).mean()


class MSE(nn.Cell):
    """mean (x_hat - x)^2"""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return ops.square(x_hat - x).mean()


class SumSquared(nn.Cell):
    """sum (x_hat - x)^2 / (2 N): DnCNN's loss, whose size goes with that of a patch."""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return ops.square(x_hat - x).sum() / (2 * x.shape[0])


class MaskedMSE(nn.Cell):
    """mean (m (x_hat - x))^2 with the mask m behind x's channels; without one, MSE."""

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        channels = x_hat.shape[1]
        difference = x_hat - x[:, :channels]
        if x.shape[1] > channels:
            difference = difference * x[:, channels:]
        return ops.square(difference).mean()


class AnnealedL0(nn.Cell):
    """mean (|x_hat - x| + 1e-8)^gamma, gamma falling from 2 to 0 over the run.

    It finds the mode of corrupted targets, where L2 finds their mean (Lehtinen et al. 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = Parameter(Tensor([0], ms.int32), name="annealed", requires_grad=False)
        self.steps = 1

    def follow(self, step: Parameter, steps: int) -> None:
        """Anneal by this counter of updates, over so many."""
        self.step = step
        self.steps = steps

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        gamma = 2 - 2 * self.step.astype(ms.float32).reshape(()) / self.steps
        return ops.pow(ops.abs(x_hat - x) + 1e-8, gamma).mean()
