"""The U-Net of Learning to See in the Dark: a raw mosaic in, an sRGB picture out.

Chen, Chen, Xu, Koltun, "Learning to See in the Dark", CVPR 2018, arXiv 1805.01934.

Differs from the authors' program: the channels before the last rearrangement are in PyTorch's order
(colour, row, column), TensorFlow's depth-to-space has (row, column, colour); the first weights keep
the variance from layer to layer (He et al.), so that small runs learn colours soon.
"""

from __future__ import annotations

from typing import Literal

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal

from ms_restore.networks.layers import LeakyReLU

_LEVELS = 4  # of pooling
SLOPE = 0.2  # of the leaky ReLU
_GAIN = (2 / (1 + SLOPE**2)) ** 0.5  # He et al., arXiv 1502.01852: keeps the variance


class SID(nn.Cell):
    """A U-Net of four levels; its last convolution gives the pixels of a block for each position.

    Args:
        channels: 4 for a Bayer mosaic packed by 2x2 blocks, 9 for X-Trans packed by 3x3.
        width: filters at full size, doubled at each level.
        up_bias: whether the transposed convolutions have a bias, as in a PyTorch port.

    Inputs: y (N, channels, H, W) float32 in [0, 1], linear, amplified by the exposure ratio; H and
        W multiples of 16.
    Outputs: x_hat (N, 3, scale * H, scale * W) float32 sRGB, not clipped; scale is 2 or 3.
    """

    output_channels = 3
    size_multiple = 2**_LEVELS
    # two 3x3 convolutions at each level, down and up, and the pixels that pooling ties together
    receptive_radius = 2 * (2 ** (_LEVELS + 1) - 1) + 2 * (2**_LEVELS - 1) + 2**_LEVELS - 1

    def __init__(
        self, *, channels: Literal[4, 9] = 4, width: int = 32, up_bias: bool = False
    ) -> None:
        super().__init__()
        self.channels = channels
        self.scale = {4: 2, 9: 3}[channels]
        self.floats_per_pixel = 8 * width
        widths = [width * 2**level for level in range(_LEVELS + 1)]
        self.encoder = nn.CellList([_Pair(a, b) for a, b in zip([channels, *widths], widths)])
        self.pool = nn.MaxPool2d(2, 2)
        coarser = list(zip(widths[:0:-1], widths[-2::-1]))
        self.up = nn.CellList([_doubling(a, b, up_bias) for a, b in coarser])
        self.decoder = nn.CellList([_Pair(a, b) for a, b in coarser])
        self.last = _conv(width, self.output_channels * self.scale**2, 1, gain=1.0)
        self.rearrange = nn.PixelShuffle(self.scale)

    def construct(self, y: Tensor) -> Tensor:
        x = self.encoder[0](y)
        skips: tuple[Tensor, ...] = ()
        for level in range(_LEVELS):
            skips = (*skips, x)
            x = self.encoder[level + 1](self.pool(x))
        for level in range(_LEVELS):
            x = self.decoder[level](
                ops.cat((self.up[level](x), skips[_LEVELS - 1 - level]), axis=1)
            )
        return self.rearrange(self.last(x))


class _Pair(nn.Cell):
    """Two convolutions, (N, inputs, H, W) to (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs, 3)
        self.conv2 = _conv(outputs, outputs, 3)
        self.activation = LeakyReLU(SLOPE)

    def construct(self, x: Tensor) -> Tensor:
        return self.activation(self.conv2(self.activation(self.conv1(x))))


def _doubling(inputs: int, outputs: int, bias: bool) -> nn.Conv2dTranspose:
    """(N, inputs, H, W) to (N, outputs, 2 H, 2 W), each pixel to 2x2 of its own."""
    first = Normal(inputs**-0.5)
    return nn.Conv2dTranspose(
        inputs, outputs, 2, stride=2, pad_mode="valid", has_bias=bias, weight_init=first
    )


def _conv(inputs: int, outputs: int, size: int, gain: float = _GAIN) -> nn.Conv2d:
    return nn.Conv2d(
        inputs,
        outputs,
        size,
        pad_mode="pad",
        padding=size // 2,
        has_bias=True,
        weight_init=Normal(gain / (size**2 * inputs) ** 0.5),
        bias_init="zeros",
    )
