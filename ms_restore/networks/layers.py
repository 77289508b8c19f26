"""Layers that several networks share."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, mint, nn, ops


class LeakyReLU(nn.Cell):
    """The leaky ReLU: x where it is positive, else slope * x.

    The gradient of MindSpore's ``nn.LeakyReLU``, a maximum, takes seven times as long on CPUs; an
    Ascend has one kernel for it, which is chosen where that is the device when the layer is made.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self._one_kernel = ms.get_context("device_target") == "Ascend"

    def construct(self, x: Tensor) -> Tensor:
        """Return the activation, of x's shape."""
        if self._one_kernel:
            return mint.nn.functional.leaky_relu(x, self.slope)
        return self.slope * x + (1 - self.slope) * ops.relu(x)
