"""FFDNet, a fast denoiser that is told the noise level, at each pixel where it varies.

Zhang, Zuo, Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN based Image Denoising",
IEEE TIP 2018, arXiv 1710.04026. As in the authors' released networks there is no batch
normalisation, and the output is the clean image itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Orthogonal
from pydantic import Field

from ms_restore.networks.layers import conv3x3, split_into_channels

_FACTOR = 2  # of the reduced images that the network computes with
_GAIN = 2**0.5  # of the weights at the start, since a ReLU halves the power of what it is given


class FFDNet(nn.Cell):
    """The denoiser FFDNet: the image is split into four of half its size, and joined again.

    Args:
        channels: 1 (gray) or 3 (RGB).
        layers: number of convolutions; 15 for gray images in the paper, 12 for colours.
        filters: number of filters in each layer; 64 for gray images, 96 for colours.
        noise_map: the input has one more channel, the noise's standard deviation at each pixel in
            the range of the image; without it the network is blind.

    Inputs: y (N, channels + noise_map, H, W) float32 in [0, 1], noise not clipped; H and W even.
    Outputs: x_hat (N, channels, H, W) float32, not clipped.
    """

    scale = 1
    size_multiple = _FACTOR

    def __init__(
        self,
        *,
        channels: Literal[1, 3] = 1,
        layers: Annotated[int, Field(ge=2)] = 15,
        filters: Annotated[int, Field(ge=1)] = 64,
        noise_map: bool = True,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.noise_map = noise_map
        self.receptive_radius = _FACTOR * layers + _FACTOR - 1
        self.floats_per_pixel = 4 * filters // _FACTOR**2 + 4 * channels
        inputs = channels * _FACTOR**2
        widths = [inputs + noise_map, *[filters] * (layers - 1), inputs]
        self.reduce_map = nn.AvgPool2d(_FACTOR, _FACTOR)
        self.convolutions = nn.CellList(
            [conv3x3(a, b, weight_init=Orthogonal(_GAIN)) for a, b in zip(widths, widths[1:])]
        )
        self.join = nn.PixelShuffle(_FACTOR)

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, H, W) for y (N, channels + noise_map, H, W)."""
        x = split_into_channels(y[:, : self.channels], _FACTOR)
        if self.noise_map:
            x = ops.concat((x, self.reduce_map(y[:, self.channels :])), 1)
        for convolution in self.convolutions[:-1]:
            x = ops.relu(convolution(x))
        return self.join(self.convolutions[-1](x))
