"""A loss of one's own."""

from mindspore import Tensor, nn, ops


class Cauchy(nn.Cell):
    """mean log(1 + ((x_hat - x) / width)^2), which spares large errors (of Cauchy's law).

    Args:
        width: errors well below it count quadratically, those above it by their logarithm.
    """

    def __init__(self, *, width: float = 0.1) -> None:
        super().__init__()
        self.width = width

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return ops.log(1 + ops.square((x_hat - x) / self.width)).mean()
