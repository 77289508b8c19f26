"""A network of one's own: an ``nn.Cell``, with what ``ms_restore.contracts.Network`` describes."""

from mindspore import Tensor, nn, ops


class GatedNet(nn.Cell):
    """x_hat = y + f(y), f gated blocks with channel attention, after NAFNet (2204.04676).

    The attention takes the mean over the whole picture, so the network names no
    ``receptive_radius`` and is never computed in tiles.

    Args:
        width: filters.
        blocks: gated blocks.

    Inputs: y (N, 3, H, W) float32 in [0, 1].
    Outputs: x_hat, of the same shape, not clipped.
    """

    def __init__(self, *, width: int = 16, blocks: int = 2) -> None:
        super().__init__()
        self.width = width  # kept under the arguments' names, so that a checkpoint can say them
        self.blocks = blocks
        self.first = _conv(3, width, 3)
        self.body = nn.SequentialCell([GatedBlock(width) for _ in range(blocks)])
        self.last = _conv(width, 3, 3)

    def construct(self, y: Tensor) -> Tensor:
        return y + self.last(self.body(self.first(y)))


class GatedBlock(nn.Cell):
    """x + conv(attention(gate(depthwise(conv(x))))), (N, width, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = _conv(width, 2 * width, 1)
        self.depthwise = _conv(2 * width, 2 * width, 3, group=2 * width)
        self.attention = _conv(width, width, 1)
        self.narrow = _conv(width, width, 1)

    def construct(self, x: Tensor) -> Tensor:
        first, second = ops.chunk(self.depthwise(self.widen(x)), 2, axis=1)
        gated = first * second
        gated = gated * self.attention(gated.mean(axis=(2, 3), keep_dims=True))
        return x + self.narrow(gated)


def _conv(inputs: int, outputs: int, size: int, group: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inputs, outputs, size, pad_mode="pad", padding=size // 2, group=group, has_bias=True
    )
