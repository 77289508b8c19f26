"""FDnCNN, the DnCNN without batch normalisation that is told the noise level.

It is one of the networks that the authors of DnCNN released beside the paper (arXiv 1608.03981).
"""

from __future__ import annotations

from typing import Annotated, Literal

from mindspore import Tensor, nn, ops
from pydantic import Field

from ms_restore.networks.layers import conv3x3


class FDnCNN(nn.Cell):
    """The denoiser FDnCNN, whose output is the clean image itself.

    Args:
        channels: 1 (gray) or 3 (RGB).
        layers: number of convolutions.
        filters: number of filters in each layer.

    Inputs: y (N, channels + 1, H, W) float32 in [0, 1], noise not clipped; the last channel is the
        noise's standard deviation at each pixel, in the range of the image.
    Outputs: x_hat (N, channels, H, W) float32, not clipped.
    """

    scale = 1
    size_multiple = 1
    noise_map = True

    def __init__(
        self,
        *,
        channels: Literal[1, 3] = 1,
        layers: Annotated[int, Field(ge=2)] = 20,
        filters: Annotated[int, Field(ge=1)] = 64,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.receptive_radius = layers
        self.floats_per_pixel = 4 * filters
        widths = [channels + 1, *[filters] * (layers - 1), channels]
        self.convolutions = nn.CellList([conv3x3(a, b) for a, b in zip(widths, widths[1:])])

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, H, W) for y (N, channels + 1, H, W)."""
        x = y
        for convolution in self.convolutions[:-1]:
            x = ops.relu(convolution(x))
        return self.convolutions[-1](x)
