"""A loss of one's own."""

from mindspore import Tensor, nn, ops


class Charbonnier(nn.Cell):
    """mean sqrt((x_hat - x)^2 + eps^2), Lai et al. 2017 (arXiv 1704.03915).

    Args:
        eps: errors well below it count quadratically, those above it linearly.
    """

    def __init__(self, *, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return ops.sqrt(ops.square(x_hat - x) + self.eps**2).mean()
