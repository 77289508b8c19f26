"""IRCNN, a small denoiser with dilated convolutions, which solvers use as their prior.

Zhang, Zuo, Gu, Zhang, "Learning Deep CNN Denoiser Prior for Image Restoration", CVPR 2017,
arXiv 1704.03264. As in the authors' released networks there is no batch normalisation.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mindspore import Tensor, nn, ops
from pydantic import Field

from ms_restore.networks.layers import conv3x3

_DILATIONS = (1, 2, 3, 4, 3, 2, 1)


class IRCNN(nn.Cell):
    """The denoiser IRCNN for one noise level: x_hat = y - R(y), with R of seven convolutions.

    Args:
        channels: 1 (gray) or 3 (RGB).
        filters: number of filters in each layer.

    Inputs: y (N, channels, H, W) float32 in [0, 1], noise not clipped.
    Outputs: x_hat, of the same shape, not clipped.
    """

    scale = 1
    size_multiple = 1
    receptive_radius = sum(_DILATIONS)

    def __init__(
        self, *, channels: Literal[1, 3] = 1, filters: Annotated[int, Field(ge=1)] = 64
    ) -> None:
        super().__init__()
        self.channels = channels
        self.floats_per_pixel = 4 * filters
        widths = [channels, *[filters] * (len(_DILATIONS) - 1), channels]
        self.convolutions = nn.CellList(
            [
                conv3x3(inputs, outputs, dilation=dilation)
                for inputs, outputs, dilation in zip(widths, widths[1:], _DILATIONS)
            ]
        )

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, H, W) for y (N, channels, H, W)."""
        x = y
        for convolution in self.convolutions[:-1]:
            x = ops.relu(convolution(x))
        return y - self.convolutions[-1](x)
