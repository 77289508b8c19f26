"""The U-Net of Noise2Noise, and its form for MRI that keeps the measured frequencies.

Lehtinen, Munkberg, Hasselgren, Laine, Karras, Aittala, Aila, "Noise2Noise: Learning Image
Restoration without Clean Data", ICML 2018, arXiv 1803.04189.

Differs from the paper: input and output are in [0, 1], the shift to [-0.5, 0.5] is inside.
"""

from __future__ import annotations

from typing import Literal

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal

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
        self.floats_per_pixel = 8 * width
        self.first = _conv(channels, width)
        self.encoder = nn.CellList([_conv(width, width) for _ in range(_LEVELS)])
        self.middle = _conv(width, width)
        self.pool = nn.MaxPool2d(2, 2)
        inputs = [2 * width] + [3 * width] * (_LEVELS - 2)
        self.decoder = nn.CellList([_Pair(size, 2 * width, 2 * width) for size in inputs])
        self.full = _Pair(2 * width + channels, 64 * width // _WIDTH, 32 * width // _WIDTH)
        self.last = _conv(32 * width // _WIDTH, channels, gain=1.0)

    def construct(self, y: Tensor) -> Tensor:
        y = y - SHIFT
        x = _activated(self.first(y))
        skips: tuple[Tensor, ...] = (y,)
        for conv in self.encoder:
            x = self.pool(_activated(conv(x)))
            skips = (*skips, x)
        x = _activated(self.middle(x))
        for level in range(_LEVELS - 1):
            x = self.decoder[level](ops.cat((_doubled(x), skips[_LEVELS - 1 - level]), axis=1))
        x = self.full(ops.cat((_doubled(x), y), axis=1))
        return self.last(x) + SHIFT


class _Pair(nn.Cell):
    """Two convolutions, (N, inputs, H, W) to (N, outputs, H, W)."""

    def __init__(self, inputs: int, between: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, between)
        self.conv2 = _conv(between, outputs)

    def construct(self, x: Tensor) -> Tensor:
        return _activated(self.conv2(_activated(self.conv1(x))))


def _activated(x: Tensor) -> Tensor:
    return ops.maximum(x, SLOPE * x)


def _doubled(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling, (N, C, H, W) to (N, C, 2 H, 2 W)."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


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
