"""Layers that several networks share."""

from __future__ import annotations

from typing import Optional

import mindspore as ms
from mindspore import Tensor, mint, nn, ops
from mindspore.common.initializer import HeNormal, Initializer


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


def conv3x3(
    inputs: int, outputs: int, *, dilation: int = 1, weight_init: Optional[Initializer] = None
) -> nn.Conv2d:
    """Return a convolution of 3x3 that keeps height and width, with a bias that starts at zero.

    The weights start as He et al. (arXiv 1502.01852) draw them, unless ``weight_init`` is given.
    """
    return nn.Conv2d(
        inputs,
        outputs,
        3,
        pad_mode="pad",
        padding=dilation,
        dilation=dilation,
        has_bias=True,
        weight_init=weight_init or HeNormal(mode="fan_in"),
        bias_init="zeros",
    )
