"""The U-Net of Noise2Noise, and its form for MRI that keeps the measured frequencies.

Lehtinen, Munkberg, Hasselgren, Laine, Karras, Aittala, Aila, "Noise2Noise: Learning Image
Restoration without Clean Data", ICML 2018, arXiv 1803.04189.

Differs from the paper: input and output are in [0, 1], the shift to [-0.5, 0.5] is inside.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal

from ms_restore.networks.layers import LeakyReLU

_LEVELS = 5  # of pooling
_WIDTH = 48
SLOPE = 0.1  # of the leaky ReLU
SHIFT = 0.5


class Noise2Noise(nn.Cell):
    """A U-Net of five levels with 3x3 convolutions, and the input image as the last skip.

    Args:
        channels: 3 (RGB) or 1 (gray).
        width: filters of the encoder; the decoder has twice as many.

    Inputs: y (N, channels, H, W) float32 in [0, 1], noise not clipped; H and W multiples of 32.
    Outputs: x_hat, of the same shape, not clipped.
    """

    scale = 1
    size_multiple = 2**_LEVELS
    # 3x3 convolutions at each level, and the pixels that pooling and upsampling tie together
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
        pairs = [_Pair(doubled, width, 2 * width, 2 * width) for doubled in inputs]
        self.decoder = nn.CellList(pairs)
        self.full = _Pair(2 * width, channels, 64 * width // _WIDTH, 32 * width // _WIDTH)
        self.last = _conv(32 * width // _WIDTH, channels, gain=1.0)

    def construct(self, y: Tensor) -> Tensor:
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


class _Pair(nn.Cell):
    """Two convolutions of x, doubled by repeating its pixels, with a skip behind its channels.

    Inputs: x (N, doubled, H, W), skip (N, skipped, 2 H, 2 W).
    Outputs: (N, outputs, 2 H, 2 W).
    """

    def __init__(self, doubled: int, skipped: int, between: int, outputs: int) -> None:
        super().__init__()
        self.doubled = doubled
        self.conv1 = _conv(doubled + skipped, between)
        self.conv2 = _conv(between, outputs)
        self.activation = LeakyReLU(SLOPE)
        self.conv_doubled = _ConvDoubled(doubled)  # these two compute conv1
        self.conv_skipped = ops.Conv2D(between, 3, pad_mode="pad", pad=1)

    def construct(self, x: Tensor, skip: Tensor) -> Tensor:
        weight = self.conv1.weight.astype(skip.dtype)
        x = self.conv_doubled(x, weight[:, : self.doubled])
        x = x + self.conv_skipped(skip, weight[:, self.doubled :])
        x = self.activation(ops.bias_add(x, self.conv1.bias.astype(x.dtype)))
        return self.activation(self.conv2(x))


class _ConvDoubled(nn.Cell):
    """The 3x3 convolution of an image that is doubled by repeating its pixels, padded by zeros.

    Without doubling: each pixel of x adds to 4x4 pixels what the kernel makes of its 2x2 copies,
    in 16 products instead of 36.

    Inputs: x (N, C, H, W), weight (O, C, 3, 3).
    Outputs: (N, O, 2 H, 2 W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.transposed = ops.Conv2DTranspose(channels, 4, pad_mode="pad", pad=1, stride=2)
        along = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)
        self.spread = Tensor(np.kron(along, along).T)  # a 3x3 kernel to a 4x4 one

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
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
