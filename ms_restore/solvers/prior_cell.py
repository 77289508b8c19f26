"""A denoiser as a cell of a solver's graph."""

from __future__ import annotations

from typing import Optional

from mindspore import Tensor, nn, ops

from ms_restore.contracts.network import Padding


class PriorCell(nn.Cell):
    """A denoiser of any number of channels: a gray network denoises each channel on its own.

    Args:
        network: the denoiser.
        channels: that it takes.
        multiple: images are continued at the lower and right border to multiples of this.
        padding: how, in the words of ``contracts.Network``.
        level: what it is told, in the range of the image; None: it is not told.
    """

    def __init__(
        self,
        network: nn.Cell,
        channels: int,
        multiple: int,
        padding: Padding,
        level: Optional[float],
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self._channels = channels
        self._multiple = multiple
        self._padding = "replicate" if padding == "edge" else padding
        self._told = level is not None
        self._level = level or 0.0

    def construct(self, y: Tensor, level: Optional[Tensor] = None) -> Tensor:
        """Return the denoised images (N, C, H, W) for y (N, C, H, W).

        ``level`` (1,) is what the network is told instead of the cell's own.
        """
        images, channels, height, width = y.shape
        planes = y.reshape(images * channels // self._channels, self._channels, height, width)
        below, beside = -height % self._multiple, -width % self._multiple
        if below or beside:
            planes = ops.pad(planes, (0, beside, 0, below), self._padding)
        if self._told:
            noise = ops.zeros_like(planes[:, :1]) + (self._level if level is None else level)
            planes = ops.concat((planes, noise), 1)
        x_hat = self.network(planes)[:, :, :height, :width]
        return x_hat.reshape(images, channels, height, width)
