"""A network for images of any size."""

from __future__ import annotations

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn

from ms_restore.contracts import Geometry, Size


class AnySize(nn.Cell):
    """A network compiled once for every batch size, height and width, or for those of ``shape``."""

    def __init__(self, network: nn.Cell, shape: Optional[Size] = None) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.set_inputs(placeholder(Geometry.of(network).input_channels, shape))

    def construct(self, y: Tensor) -> Tensor:
        """Compute the network's output for y (N, channels, H, W)."""
        return self.network(y)


def placeholder(channels: int, shape: Optional[Size] = None) -> Tensor:
    """Return an input (N, channels, H, W) that says nothing of N, nor without ``shape`` of H, W."""
    return Tensor(shape=[None, channels, *(shape or (None, None))], dtype=ms.float32)
