"""Losses: (x_hat, x) of shape (N, C, H, W) to a scalar."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


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
