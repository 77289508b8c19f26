"""EDSR: enhanced deep residual network for single-image super-resolution.

Lim, Son, Kim, Nah, Lee, "Enhanced Deep Residual Networks for Single Image Super-Resolution",
CVPR Workshops 2017, arXiv 1707.02921.

Differs from the paper: input and output are in [0, 1] instead of [0, 255]; one channel is allowed
(the mean is then the luma of the RGB mean); ImageNet mean and standard deviation may normalise.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from mindspore import Tensor, nn, ops

_STATISTICS = {  # RGB mean and standard deviation on [0, 1]
    "div2k": ((0.4488, 0.4371, 0.4040), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
_LUMA = (0.299, 0.587, 0.114)  # BT.601


class EDSR(nn.Cell):
    """x_hat = U(H(y) + B(H(y))), H a conv, B residual blocks without batch norm, U pixel shuffles.

    Args:
        scale: 2, 3 or 4; x4 is two stages of x2.
        channels: 3 (RGB) or 1 (gray).
        blocks: residual blocks; 32 in the paper's large model, 16 in its baseline.
        filters: width; 256 and 64.
        residual_scale: factor of each block's branch; 0.1 keeps wide networks stable, 1 in the
            baseline.
        normalisation: what is subtracted (and divided by) before the first conv and undone after
            the last: the RGB mean of "div2k" (paper), mean and deviation of "imagenet", or "none".

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
        self.receptive_radius = radius + 1  # the last conv reaches a part of an input pixel
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
        features = self.head((y - self.mean) / self.deviation)
        features = features + self.body_end(self.blocks(features))
        return self.tail(self.upsample(features)) * self.deviation + self.mean


class _Block(nn.Cell):
    """x + residual_scale * conv(ReLU(conv(x))), (N, filters, H, W) to the same."""

    def __init__(self, filters: int, residual_scale: float) -> None:
        super().__init__()
        self.conv1 = _conv(filters, filters)
        self.conv2 = _conv(filters, filters)
        self.residual_scale = residual_scale

    def construct(self, x: Tensor) -> Tensor:
        branch = self.conv2(ops.relu(self.conv1(x)))
        if self.residual_scale != 1.0:
            branch = branch * self.residual_scale
        return x + branch


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, pad_mode="pad", padding=1, has_bias=True)
