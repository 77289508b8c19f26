"""A network for images of any size."""

from __future__ import annotations

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn


class AnySize(nn.Cell):
    """A network compiled once for every batch size, height and width, or for those of ``shape``."""

    def __init__(self, network: nn.Cell, shape: Optional[tuple[int, int]] = None) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        sides = shape or (None, None)
        self.set_inputs(Tensor(shape=[None, network.channels, *sides], dtype=ms.float32))

    def construct(self, y: Tensor) -> Tensor:
        return self.network(y)
