"""SRVGG, a compact network that computes at the low resolution alone.

It is the small network of Real-ESRGAN's authors (Wang, Xie, Dong, Shan, arXiv 2107.10833), who
describe it with its weights and not in the paper: a plain chain of convolutions in the manner of
VGG. PReLU is that of He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, arXiv
1502.01852, and the pixel shuffle that of Shi et al., CVPR 2016, arXiv 1609.05158.

Differs from that: the last convolution starts at zero, so that the untrained network repeats
pixels.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mindspore import Tensor, nn
from mindspore.common.initializer import Zero
from pydantic import Field

from ms_restore.networks.layers import PReLU, conv3x3, repeated


class SRVGG(nn.Cell):
    """The compact network SRVGG: x_hat = shuffle(F(y)) + y, whose pixels are repeated.

    F is conv + PReLU, then conv + PReLU ``convolutions`` times, then conv.

    Args:
        scale: 4, 3, 2 or 1.
        channels: 3 (RGB) or 1 (gray).
        convolutions: number of convolutions between the first and the last; 32 in the authors'
            general model, 16 in that for animated films.
        filters: number of filters in each layer.

    Inputs: y (N, channels, H, W) float32 in [0, 1].
    Outputs: x_hat (N, channels, scale * H, scale * W) float32, not clipped.
    """

    size_multiple = 1

    def __init__(
        self,
        *,
        scale: Literal[1, 2, 3, 4] = 4,
        channels: Literal[1, 3] = 3,
        convolutions: Annotated[int, Field(ge=0)] = 32,
        filters: Annotated[int, Field(ge=1)] = 64,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.receptive_radius = convolutions + 2
        self.floats_per_pixel = 4 * max(filters, channels * scale**2)
        cells: list[nn.Cell] = [conv3x3(channels, filters), PReLU(filters)]
        for _ in range(convolutions):
            cells += [conv3x3(filters, filters), PReLU(filters)]
        cells.append(conv3x3(filters, channels * scale**2, weight_init=Zero()))
        self.body = nn.SequentialCell(cells)
        self.join = nn.PixelShuffle(scale)

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, scale * H, scale * W) for y (N, channels, H, W)."""
        x = self.body(y)
        if self.scale == 1:
            return x + y
        return self.join(x) + repeated(y, self.scale)
