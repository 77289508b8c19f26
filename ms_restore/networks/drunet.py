"""DRUNet, a U-Net of residual blocks that is told the noise level: the denoiser prior of DPIR.

Zhang, Li, Zuo, Zhang, Van Gool, Timofte, "Plug-and-Play Image Restoration with Deep Denoiser
Prior", IEEE TPAMI 2021, arXiv 2008.13751.

Differs from the authors' program: the first weights are normal instead of orthogonal, with their
gain of 0.2 in the residual blocks alone.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal
from pydantic import Field

_SCALES = 4
_Count = Annotated[int, Field(ge=1)]
_GAIN = 0.2  # of the residual blocks' first weights


class DRUNet(nn.Cell):
    """A U-Net of four scales whose skips are sums, without a bias anywhere.

    Without bias and normalisation it scales with its input: twice the image at twice the noise
    gives twice the output.

    Args:
        channels: 1 (gray) or 3 (RGB).
        width: number of filters at full size, doubled at each of the three coarser scales.
        blocks: number of residual blocks at each scale, down and up; or one number for each of the
            four scales, the first at full size.
        noise_map: the input has one more channel, the noise's standard deviation at each pixel in
            the range of the image; without it the network is blind.
        residual: the network learns the noise, which is subtracted from y; small networks learn
            in fewer steps that way. The paper's gives the clean image itself.

    Inputs: y (N, channels + noise_map, H, W) float32 in [0, 1], noise not clipped; H and W
        multiples of 8.
    Outputs: x_hat (N, channels, H, W) float32, not clipped.
    """

    scale = 1
    size_multiple = 2 ** (_SCALES - 1)
    padding = "edge"

    def __init__(
        self,
        *,
        channels: Literal[1, 3] = 1,
        width: _Count = 64,
        blocks: Union[_Count, tuple[_Count, _Count, _Count, _Count]] = 4,
        noise_map: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.noise_map = noise_map
        self.residual = residual
        counts = (blocks,) * _SCALES if isinstance(blocks, int) else blocks
        # two 3x3 convolutions a block, down and up, first and last, and the pixels of a coarse one
        seen = [2 * count * 2**level for level, count in enumerate(counts)]
        self.receptive_radius = 2 * sum(seen[:-1]) + seen[-1] + 2 + self.size_multiple - 1
        self.floats_per_pixel = 8 * width
        widths = [width * 2**level for level in range(_SCALES)]
        finer = list(zip(widths, widths[1:]))
        alike = list(zip(widths, counts))[:-1]
        self.first = _conv(channels + noise_map, width, 1.0)
        self.encoder = nn.CellList([_residual_blocks(*scale) for scale in alike])
        self.down = nn.CellList([_halving(a, b) for a, b in finer])
        self.body = _residual_blocks(widths[-1], counts[-1])
        self.up = nn.CellList([_doubling(b, a) for a, b in reversed(finer)])
        self.decoder = nn.CellList([_residual_blocks(*scale) for scale in reversed(alike)])
        self.last = _conv(width, channels, 0.1 if residual else 1.0)

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, H, W) for y (N, channels + noise_map, H, W)."""
        x = self.first(y)
        skips: tuple[Tensor, ...] = (x,)
        for level in range(_SCALES - 1):
            x = self.down[level](self.encoder[level](x))
            skips = (*skips, x)
        x = self.body(x)
        for level in range(_SCALES - 1):
            x = self.decoder[level](self.up[level](x + skips[_SCALES - 1 - level]))
        x = self.last(x + skips[0])
        return y[:, : self.channels] - x if self.residual else x


class _Block(nn.Cell):
    """A residual block x + conv(ReLU(conv(x)))."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv1 = _conv(filters, filters, _GAIN)
        self.conv2 = _conv(filters, filters, _GAIN)

    def construct(self, x: Tensor) -> Tensor:
        """Return the block's output (N, filters, H, W) for x (N, filters, H, W)."""
        return x + self.conv2(ops.relu(self.conv1(x)))


def _residual_blocks(filters: int, count: int) -> nn.SequentialCell:
    return nn.SequentialCell([_Block(filters) for _ in range(count)])


def _conv(inputs: int, outputs: int, gain: float) -> nn.Conv2d:
    first = Normal(gain / (9 * inputs) ** 0.5)
    return nn.Conv2d(
        inputs, outputs, 3, pad_mode="pad", padding=1, has_bias=False, weight_init=first
    )


def _halving(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a convolution to (N, outputs, H / 2, W / 2), of each 2x2 pixels."""
    first = Normal(1 / (4 * inputs) ** 0.5)
    return nn.Conv2d(
        inputs, outputs, 2, stride=2, pad_mode="valid", has_bias=False, weight_init=first
    )


def _doubling(inputs: int, outputs: int) -> nn.Conv2dTranspose:
    """Return a convolution to (N, outputs, 2 H, 2 W), which turns each pixel into 2x2."""
    first = Normal(inputs**-0.5)
    return nn.Conv2dTranspose(
        inputs, outputs, 2, stride=2, pad_mode="valid", has_bias=False, weight_init=first
    )
