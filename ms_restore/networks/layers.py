"""Layers that several networks share."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class LeakyReLU(nn.Cell):
    """The leaky ReLU: x where it is positive, else slope * x.

    The gradient of MindSpore's ``nn.LeakyReLU``, a maximum, takes seven times as long on CPUs.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def construct(self, x: Tensor) -> Tensor:
        """Return the activation, of x's shape."""
        return self.slope * x + (1 - self.slope) * ops.relu(x)
