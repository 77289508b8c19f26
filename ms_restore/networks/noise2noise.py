"""The U-Net of Noise2Noise.

Lehtinen, Munkberg, Hasselgren, Laine, Karras, Aittala, Aila, "Noise2Noise: Learning Image
Restoration without Clean Data", ICML 2018, arXiv 1803.04189.

Differs from the paper: input and output are in [0, 1], as the network itself shifts to [-0.5, 0.5].
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal

from ms_restore.networks.layers import LeakyReLU

_LEVELS = 5  # number of poolings
_WIDTH = 48
SLOPE = 0.1  # of the leaky ReLU for negative values
SHIFT = 0.5


class Noise2Noise(nn.Cell):
    """A U-Net of five levels with 3x3 convolutions, whose last skip connection is the input image.

    Args:
        channels: 3 (RGB) or 1 (gray).
        width: number of filters in the encoder's layers; the decoder's have twice as many.

    Inputs: y (N, channels, H, W) float32 in [0, 1], noise not clipped; H and W multiples of 32.
    Outputs: x_hat, of the same shape, not clipped.
    """

    scale = 1
    size_multiple = 2**_LEVELS
    # 3x3 convolutions at each level, and the pixels that share a pooled or upsampled one
    receptive_radius = 2 + (2 + 4 + 8 + 16) + 32 + 2 * (16 + 8 + 4 + 2) + 3 + 2**_LEVELS - 1

    def __init__(self, *, channels: Literal[1, 3] = 3, width: int = _WIDTH) -> None:
        super().__init__()
        self.channels = channels
        self.floats_per_pixel = 10 * width
        self.first = _conv(channels, width)
        self.encoder = nn.CellList([_conv(width, width) for _ in range(_LEVELS)])
        self.middle = _conv(width, width)
        self.pool = nn.MaxPool2d(2, 2)
        self.activation = LeakyReLU(SLOPE)
        inputs = [width] + [2 * width] * (_LEVELS - 2)
        levels = [_UpsampleBlock(doubled, width, 2 * width, 2 * width) for doubled in inputs]
        self.decoder = nn.CellList(levels)
        self.full = _UpsampleBlock(2 * width, channels, 64 * width // _WIDTH, 32 * width // _WIDTH)
        self.last = _conv(32 * width // _WIDTH, channels, gain=1.0)

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, H, W) for y (N, channels, H, W)."""
        y = y - SHIFT
        x = self.activation(self.first(y))
        skips: tuple[Tensor, ...] = (y,)
        for conv in self.encoder:
            x = self.pool(self.activation(conv(x)))
            skips = (*skips, x)
        x = self.activation(self.middle(x))
        for level in range(_LEVELS - 1):
            x = self.decoder[level](x, skips[_LEVELS - 1 - level])
        return self.last(self.full(x, y)) + SHIFT


class _UpsampleBlock(nn.Cell):
    """A level of the decoder: x is doubled in size, joined with a skip connection and convolved.

    The size is doubled by repeating pixels, the skip's channels come after those of x, and two
    convolutions follow.

    Inputs: x (N, doubled, H, W), skip (N, skipped, 2 H, 2 W).
    Outputs: (N, outputs, 2 H, 2 W).
    """

    def __init__(self, doubled: int, skipped: int, between: int, outputs: int) -> None:
        super().__init__()
        self.doubled = doubled
        self.conv1 = _conv(doubled + skipped, between)
        self.conv2 = _conv(between, outputs)
        self.activation = LeakyReLU(SLOPE)
        self.conv_doubled = _UpsampledConv(doubled)  # this and the next compute conv1
        self.conv_skipped = ops.Conv2D(between, 3, pad_mode="pad", pad=1)

    def construct(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (N, outputs, 2 H, 2 W) for x (N, doubled, H, W) and its skip connection."""
        weight = self.conv1.weight.astype(skip.dtype)
        x = self.conv_doubled(x, weight[:, : self.doubled])
        x = x + self.conv_skipped(skip, weight[:, self.doubled :])
        x = self.activation(ops.bias_add(x, self.conv1.bias.astype(x.dtype)))
        return self.activation(self.conv2(x))


class _UpsampledConv(nn.Cell):
    """The zero-padded 3x3 convolution of an image that is doubled in size by repeating its pixels.

    It is computed without doubling, as a transposed convolution with a 4x4 kernel: each pixel of x
    takes 16 products, instead of 36 for its 2x2 copies.

    Inputs: x (N, C, H, W), weight (O, C, 3, 3).
    Outputs: (N, O, 2 H, 2 W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.transposed = ops.Conv2DTranspose(channels, 4, pad_mode="pad", pad=1, stride=2)
        along = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)
        self.spread = Tensor(np.kron(along, along).T)  # 3x3 kernel to 4x4 kernel

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return (N, O, 2 H, 2 W) for x (N, C, H, W) and the 3x3 kernels (O, C, 3, 3)."""
        outputs, channels = weight.shape[:2]
        wide = ops.matmul(weight.reshape(-1, 9), self.spread.astype(weight.dtype))
        wide = wide.reshape(outputs, channels, 4, 4).swapaxes(0, 1)
        count, _, height, width = x.shape
        return self.transposed(x, wide, (count, outputs, 2 * height, 2 * width))


def _conv(inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Conv2d:
    return nn.Conv2d(
        inputs,
        outputs,
        3,
        pad_mode="pad",
        padding=1,
        has_bias=True,
        weight_init=Normal(gain / (9 * inputs) ** 0.5),
        bias_init="zeros",
    )
