"""EDSR, the enhanced deep residual network for single-image super-resolution.

Lim, Son, Kim, Nah, Lee, "Enhanced Deep Residual Networks for Single Image Super-Resolution",
CVPR Workshops 2017, arXiv 1707.02921.

Differs from the paper: input and output are in [0, 1] instead of [0, 255]; images may have one
channel (whose mean is the luma of the RGB mean); ImageNet's mean and standard deviation can be used
for normalisation.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from mindspore import Tensor, nn, ops

_STATISTICS = {  # RGB mean and standard deviation of images in [0, 1]
    "div2k": ((0.4488, 0.4371, 0.4040), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
_LUMA = (0.299, 0.587, 0.114)  # BT.601


class EDSR(nn.Cell):
    """The super-resolution network EDSR: x_hat = U(H(y) + B(H(y))).

    H is a convolution, B a sequence of residual blocks without batch normalisation, and U enlarges
    by pixel shuffles.

    Args:
        scale: 2, 3 or 4; x4 enlarges by x2 twice.
        channels: 3 (RGB) or 1 (gray).
        blocks: number of residual blocks; 32 in the paper's large model, 16 in its baseline.
        filters: number of filters in each layer; 256 in the large model, 64 in the baseline.
        residual_scale: factor of each block's branch; 0.1 keeps wide networks stable, 1 in the
            baseline.
        normalisation: statistics with which the input is normalised and the output restored: the
            RGB mean of "div2k" (paper), mean and standard deviation of "imagenet", or "none".

    Inputs: y (N, channels, H, W) float32 in [0, 1].
    Outputs: x_hat (N, channels, scale * H, scale * W) float32, not clipped.
    """

    size_multiple = 1

    def __init__(
        self,
        *,
        scale: Literal[2, 3, 4] = 2,
        channels: Literal[1, 3] = 3,
        blocks: int = 32,
        filters: int = 256,
        residual_scale: float = 0.1,
        normalisation: Literal["div2k", "imagenet", "none"] = "div2k",
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.head = _conv(channels, filters)
        self.blocks = nn.SequentialCell([_Block(filters, residual_scale) for _ in range(blocks)])
        self.body_end = _conv(filters, filters)
        stages: list[nn.Cell] = []
        radius = 1 + 2 * blocks + 1
        for factor in {2: (2,), 3: (3,), 4: (2, 2)}[scale]:
            stages += [_conv(filters, filters * factor**2), nn.PixelShuffle(factor)]
            radius += 1
        self.receptive_radius = radius + 1  # the last conv reaches less than an input pixel
        self.floats_per_pixel = 6 * filters * scale**2
        self.upsample = nn.SequentialCell(stages)
        self.tail = _conv(filters, channels)
        mean, deviation = (np.array(values, np.float32) for values in _STATISTICS[normalisation])
        if channels == 1:
            luma = np.array(_LUMA, np.float32)
            mean, deviation = mean @ luma, deviation @ luma
        self.mean = Tensor(mean.reshape(1, channels, 1, 1))
        self.deviation = Tensor(deviation.reshape(1, channels, 1, 1))

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, scale * H, scale * W) for y (N, channels, H, W)."""
        features = self.head((y - self.mean) / self.deviation)
        features = features + self.body_end(self.blocks(features))
        return self.tail(self.upsample(features)) * self.deviation + self.mean


class _Block(nn.Cell):
    """A residual block x + residual_scale * conv(ReLU(conv(x)))."""

    def __init__(self, filters: int, residual_scale: float) -> None:
        super().__init__()
        self.conv1 = _conv(filters, filters)
        self.conv2 = _conv(filters, filters)
        self.residual_scale = residual_scale

    def construct(self, x: Tensor) -> Tensor:
        """Return the block's output (N, filters, H, W) for x (N, filters, H, W)."""
        branch = self.conv2(ops.relu(self.conv1(x)))
        if self.residual_scale != 1.0:
            branch = branch * self.residual_scale
        return x + branch


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, pad_mode="pad", padding=1, has_bias=True)
