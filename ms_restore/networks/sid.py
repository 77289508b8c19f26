"""The U-Net of Learning to See in the Dark, from a raw mosaic to an sRGB picture.

Chen, Chen, Xu, Koltun, "Learning to See in the Dark", CVPR 2018, arXiv 1805.01934.

Differs from the authors' program: the channels before the last rearrangement are in the order
(colour, row, column) of PyTorch instead of TensorFlow's (row, column, colour); the initial weights
keep the variance from layer to layer (He et al.), so that short runs learn colours soon.
"""

from __future__ import annotations

from typing import Literal

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal

from ms_restore.networks.layers import LeakyReLU

_LEVELS = 4  # number of poolings
SLOPE = 0.2  # of the leaky ReLU for negative values
_GAIN = (2 / (1 + SLOPE**2)) ** 0.5  # He et al., arXiv 1502.01852: keeps the variance


class SID(nn.Cell):
    """A U-Net of four levels, whose last convolution gives the pixels of each packed block.

    Args:
        channels: 4 for a Bayer mosaic packed in 2x2 blocks, 9 for X-Trans packed in 3x3 blocks.
        width: number of filters at full size, doubled at each level.
        up_bias: use biases in the transposed convolutions, as a PyTorch port does.

    Inputs: y (N, channels, H, W) float32 in [0, 1], linear, amplified by the exposure ratio; H and
        W multiples of 16.
    Outputs: x_hat (N, 3, scale * H, scale * W) float32 sRGB, not clipped; scale is 2 or 3.
    """

    output_channels = 3
    size_multiple = 2**_LEVELS
    # two 3x3 convolutions at each level, down and up, and the pixels that share a pooled one
    receptive_radius = 2 * (2 ** (_LEVELS + 1) - 1) + 2 * (2**_LEVELS - 1) + 2**_LEVELS - 1

    def __init__(
        self, *, channels: Literal[4, 9] = 4, width: int = 32, up_bias: bool = False
    ) -> None:
        super().__init__()
        self.channels = channels
        self.scale = {4: 2, 9: 3}[channels]
        self.floats_per_pixel = 8 * width
        widths = [width * 2**level for level in range(_LEVELS + 1)]
        self.encoder = nn.CellList([_ConvPair(a, b) for a, b in zip([channels, *widths], widths)])
        self.pool = nn.MaxPool2d(2, 2)
        coarser = list(zip(widths[:0:-1], widths[-2::-1]))
        self.up = nn.CellList([_upsampling(a, b, up_bias) for a, b in coarser])
        self.decoder = nn.CellList([_ConvPair(a, b) for a, b in coarser])
        self.last = _conv(width, self.output_channels * self.scale**2, 1, gain=1.0)
        self.rearrange = nn.PixelShuffle(self.scale)

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, 3, scale * H, scale * W) for y (N, channels, H, W)."""
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


class _ConvPair(nn.Cell):
    """Two convolutions with activations."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs, 3)
        self.conv2 = _conv(outputs, outputs, 3)
        self.activation = LeakyReLU(SLOPE)

    def construct(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W) for x (N, inputs, H, W)."""
        return self.activation(self.conv2(self.activation(self.conv1(x))))


def _upsampling(inputs: int, outputs: int, bias: bool) -> nn.Conv2dTranspose:
    """Return a convolution to (N, outputs, 2 H, 2 W), which turns each pixel into 2x2."""
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
