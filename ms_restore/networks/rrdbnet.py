"""RRDBNet, residual-in-residual dense blocks: the network of ESRGAN and of Real-ESRGAN.

Wang, Yu, Wu, Gu, Liu, Dong, Qiao, Loy, "ESRGAN: Enhanced Super-Resolution Generative Adversarial
Networks", ECCV Workshops 2018, arXiv 1809.00219; Wang, Xie, Dong, Shan, "Real-ESRGAN: Training
Real-World Blind Super-Resolution with Pure Synthetic Data", ICCV Workshops 2021, arXiv 2107.10833,
whose networks of scale 2 and 1 begin by rearranging the input.

Differs from the paper: the weights of the dense blocks start a tenth as large as He et al. draw
them; the paper asks for a smaller start and names no factor.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal
from pydantic import Field

from ms_restore.networks.layers import LeakyReLU, conv3x3, repeated, split_into_channels

_ENLARGED = 4  # what the network enlarges its features by
_SLOPE = 0.2  # of the leaky ReLU for negative values
_RESIDUAL_SCALE = 0.2
_SMALLER_START = 0.1
_CONVOLUTIONS = 5  # of a dense block
_DENSE_BLOCKS = 3  # of an RRDB


class RRDBNet(nn.Cell):
    """The super-resolution network RRDBNet, which always enlarges features by four.

    For scale 2 and 1 the input is first rearranged, each 2x2 or 4x4 pixels to one with four or
    sixteen times the channels.

    Args:
        scale: 4, 2 or 1.
        channels: 3 (RGB) or 1 (gray).
        blocks: number of residual-in-residual dense blocks; 23 in the papers, 6 in Real-ESRGAN's
            model for drawings.
        filters: number of filters outside of the dense blocks.
        growth: number of filters that each layer of a dense block adds.

    Inputs: y (N, channels, H, W) float32 in [0, 1]; H and W multiples of 4 / scale.
    Outputs: x_hat (N, channels, scale * H, scale * W) float32, not clipped.
    """

    def __init__(
        self,
        *,
        scale: Literal[1, 2, 4] = 4,
        channels: Literal[1, 3] = 3,
        blocks: Annotated[int, Field(ge=1)] = 23,
        filters: Annotated[int, Field(ge=1)] = 64,
        growth: Annotated[int, Field(ge=1)] = 32,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        factor = _ENLARGED // scale
        self.size_multiple = factor
        # first and last convolution of the features, the blocks, and the four after them, which
        # reach two of the features' pixels, but only from the side of a pixel that is nearer
        reach = 2 + _CONVOLUTIONS * _DENSE_BLOCKS * blocks + 2
        self.receptive_radius = factor * reach
        self.floats_per_pixel = 5 * filters * scale**2
        self.conv_first = conv3x3(channels * factor**2, filters)
        self.body = nn.SequentialCell([_RRDB(filters, growth) for _ in range(blocks)])
        self.conv_body = conv3x3(filters, filters)
        self.conv_up1 = conv3x3(filters, filters)
        self.conv_up2 = conv3x3(filters, filters)
        self.conv_hr = conv3x3(filters, filters)
        self.conv_last = conv3x3(filters, channels)
        self.activation = LeakyReLU(_SLOPE)

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, scale * H, scale * W) for y (N, channels, H, W)."""
        features = self.conv_first(split_into_channels(y, self.size_multiple))
        features = features + self.conv_body(self.body(features))
        features = self.activation(self.conv_up1(repeated(features, 2)))
        features = self.activation(self.conv_up2(repeated(features, 2)))
        return self.conv_last(self.activation(self.conv_hr(features)))


class _RRDB(nn.Cell):
    """A residual-in-residual dense block x + 0.2 D3(D2(D1(x))), (N, filters, H, W) to the same."""

    def __init__(self, filters: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = _DenseBlock(filters, growth)
        self.rdb2 = _DenseBlock(filters, growth)
        self.rdb3 = _DenseBlock(filters, growth)

    def construct(self, x: Tensor) -> Tensor:
        """Return the block's output, of x's shape."""
        return x + self.rdb3(self.rdb2(self.rdb1(x))) * _RESIDUAL_SCALE


class _DenseBlock(nn.Cell):
    """A residual dense block, each of whose five convolutions takes all that was before it."""

    def __init__(self, filters: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _small(filters, growth)
        self.conv2 = _small(filters + growth, growth)
        self.conv3 = _small(filters + 2 * growth, growth)
        self.conv4 = _small(filters + 3 * growth, growth)
        self.conv5 = _small(filters + 4 * growth, filters)
        self.activation = LeakyReLU(_SLOPE)

    def construct(self, x: Tensor) -> Tensor:
        """Return the block's output (N, filters, H, W), of x's shape."""
        dense = x
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            dense = ops.concat((dense, self.activation(convolution(dense))), 1)
        return x + self.conv5(dense) * _RESIDUAL_SCALE


def _small(inputs: int, outputs: int) -> nn.Conv2d:
    start = Normal(_SMALLER_START * (2 / (9 * inputs)) ** 0.5)
    return conv3x3(inputs, outputs, weight_init=start)
