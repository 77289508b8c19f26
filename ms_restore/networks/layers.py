"""Layers that several networks share."""

from __future__ import annotations

from typing import Optional

import mindspore as ms
from mindspore import Parameter, Tensor, mint, nn, ops
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


class NormalizedReLU(nn.Cell):
    """A base of layers with batch normalisation ``norm`` and a ReLU behind it.

    Where ``norm_has_relu``, the normalisation in training computes the ReLU too.
    """

    norm: Optional[nn.BatchNorm2d]
    norm_has_relu = False

    def activate(self, x: Tensor) -> Tensor:
        """Return ReLU(norm(x)), or ReLU(x) without a normalisation, of x's shape (N, C, H, W)."""
        if self.norm is not None:
            x = self.norm(x)
            if self.norm_has_relu and self.training:
                return x
        return ops.relu(x)


class PReLU(nn.Cell):
    """The parametric ReLU: x where it is positive, else a slope that each channel learns times x.

    Args:
        channels: of x.
        slope: with which all channels start; 0.25 in He et al. (arXiv 1502.01852).
    """

    def __init__(self, channels: int, slope: float = 0.25) -> None:
        super().__init__()
        self.weight = Parameter(Tensor([slope] * channels, ms.float32), name="weight")
        self.activate = ops.PReLU()

    def construct(self, x: Tensor) -> Tensor:
        """Return the activation of x (N, channels, H, W), of its shape."""
        return self.activate(x, self.weight.astype(x.dtype))


class SimpleGate(nn.Cell):
    """The product of the first and the second half of the channels.

    Args:
        width: channels of the product.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def construct(self, x: Tensor) -> Tensor:
        """Return the product (N, width, H, W) for x (N, 2 * width, H, W)."""
        return x[:, : self.width] * x[:, self.width :]


class PlaneMean(nn.Cell):
    """The mean over the pixels of each channel, (N, C, 1, 1) for x (N, C, H, W)."""

    def construct(self, x: Tensor) -> Tensor:
        """Return the means."""
        return x.mean((2, 3), keep_dims=True)


class ChannelScale(nn.Cell):
    """The product of an image and a factor for each of its channels."""

    def construct(self, x: Tensor, factors: Tensor) -> Tensor:
        """Return x * factors for x (N, C, H, W) and factors (N, C, 1, 1) or (1, C, 1, 1)."""
        return x * factors


class ChannelNormalization(nn.Cell):
    """Layer normalisation over the channels of each pixel, with a weight and a bias for each.

    Args:
        epsilon: is added to the variance.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the normalised x (N, C, H, W); weight and bias are (C,), and all float32."""
        difference = x - x.mean(1, keep_dims=True)
        variance = ops.square(difference).mean(1, keep_dims=True)
        # the gradient of a root is for an Ascend's slow processors, that of a power is not
        normal = difference * ops.pow(variance + self.epsilon, -0.5)
        return normal * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)


def repeated(x: Tensor, factor: int) -> Tensor:
    """Return x (N, C, H, W) with each pixel repeated, (N, C, factor * H, factor * W)."""
    count, channels, height, width = x.shape
    cells = ops.tile(x.reshape(count, channels, height, 1, width, 1), (1, 1, 1, factor, 1, factor))
    return cells.reshape(count, channels, factor * height, factor * width)


def split_into_channels(x: Tensor, factor: int) -> Tensor:
    """Return the images that every ``factor``-th pixel makes, (N, C * factor^2, H / factor, ...).

    The sides of x (N, C, H, W) are multiples of the factor. ``nn.PixelUnshuffle`` asks at run time
    whether they are, which no device does itself.
    """
    if factor == 1:
        return x
    count, channels, height, width = x.shape
    rows, columns = height // factor, width // factor
    cells = x.reshape(count, channels, rows, factor, columns, factor)
    planes = cells.transpose(0, 1, 3, 5, 2, 4)
    return planes.reshape(count, channels * factor**2, rows, columns)


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
