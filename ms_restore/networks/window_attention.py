"""Attention within windows of an image, as Swin and SwinIR have it.

Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo, "Swin Transformer: Hierarchical Vision Transformer using
Shifted Windows", ICCV 2021, arXiv 2103.14030. Images are (N, H, W, C) here, of sides that are
multiples of the window's.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import TruncatedNormal, initializer

_FAR = -100.0  # added where two pixels of a window are none of each other's business
_DEVIATION = 0.02  # of the first weights


class WindowLayer(nn.Cell):
    """A layer of the transformer: x + attention(norm(x)), then x + MLP(norm(x)).

    Args:
        width: channels.
        heads: of attention.
        window: side of a window.
        shift: by how many pixels the grid of windows is moved, 0 or half a window.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm((width,), epsilon=1e-5)
        self.attention = _Attention(width, heads, window, shift > 0)
        self.norm2 = nn.LayerNorm((width,), epsilon=1e-5)
        self.fc1 = _dense(width, 2 * width)
        self.gelu = nn.GELU(approximate=False)
        self.fc2 = _dense(2 * width, width)

    def construct(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the layer's output (N, H, W, C) for x and the mask of ``boundary_mask``."""
        count, height, width, channels = x.shape
        side = self.window
        y = self.norm1(x)
        if self.shift:
            y = _rolled(y, self.shift)
        y = y.reshape(count, height // side, side, width // side, side, channels)
        y = y.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * side, channels)
        y = self.attention(y, mask)
        y = y.reshape(count, height // side, width // side, side, side, channels)
        y = y.transpose(0, 1, 3, 2, 4, 5).reshape(count, height, width, channels)
        if self.shift:
            y = _rolled(y, -self.shift)
        x = x + y
        return x + self.fc2(self.gelu(self.fc1(self.norm2(x))))


class _Attention(nn.Cell):
    """Attention of the pixels of each window to each other, with a bias for where they lie."""

    def __init__(self, width: int, heads: int, window: int, masked: bool) -> None:
        super().__init__()
        self.qkv = _dense(width, 3 * width)
        self.proj = _dense(width, width)
        self.position = _PositionBias(window, heads)
        self.attend = WindowAttention(heads, masked)

    def construct(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (windows, pixels, C) for x of that shape."""
        return self.proj(self.attend(self.qkv(x), self.position(), mask))


class WindowAttention(nn.Cell):
    """Attention from queries, keys and values, all heads of them at once.

    Args:
        heads: of attention, one after the other in the channels.
        masked: whether the mask counts, as in shifted windows.
    """

    def __init__(self, heads: int, masked: bool) -> None:
        super().__init__()
        self.heads = heads
        self.masked = masked

    def construct(self, qkv: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """Return (windows, pixels, C) for queries, keys and values (windows, pixels, 3 * C).

        ``position`` (1, heads, pixels, pixels) and ``mask`` (windows of an image, 1, pixels,
        pixels) are float32, and added to what the pixels weigh for each other.
        """
        windows, pixels, channels = qkv.shape
        of_head = channels // 3 // self.heads
        parts = qkv.reshape(windows, pixels, 3, self.heads, of_head)
        parts = parts.transpose(2, 0, 3, 1, 4)
        query, key, value = parts[0] * of_head**-0.5, parts[1], parts[2]
        weights = ops.matmul(query, key.swapaxes(2, 3)).astype(ms.float32) + position
        if self.masked:  # windows of an image after those of the one before
            images = weights.reshape(-1, mask.shape[0], self.heads, pixels, pixels)
            weights = (images + mask).reshape(windows, self.heads, pixels, pixels)
        weights = ops.softmax(weights, axis=-1).astype(value.dtype)
        return ops.matmul(weights, value).swapaxes(1, 2).reshape(windows, pixels, channels // 3)


class _PositionBias(nn.Cell):
    """What is added to the attention of two pixels by how far they lie apart, for each head."""

    def __init__(self, window: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.pixels = window**2
        shape = ((2 * window - 1) ** 2, heads)
        self.table = Parameter(initializer(TruncatedNormal(_DEVIATION), shape, ms.float32))
        self.places = Tensor(relative_positions(window).reshape(-1, 1).astype(np.int32))
        self.rows = Tensor(np.arange(shape[0], dtype=np.int32))

    def construct(self) -> Tensor:
        """Return (1, heads, pixels, pixels) float32.

        Rows are chosen by a product of matrices, for the gradient of looking them up scatters,
        which is slow on an Ascend.
        """
        chosen = ops.equal(self.places, self.rows).astype(ms.float32)
        found = ops.matmul(chosen, self.table.astype(ms.float32))
        found = found.reshape(self.pixels, self.pixels, self.heads)
        return found.transpose(2, 0, 1).expand_dims(0)


def relative_positions(window: int) -> np.ndarray:
    """Return the row of the table for each two pixels of a window, (pixels, pixels)."""
    row, column = (place.ravel() for place in np.indices((window, window)))
    down, across = (place[:, None] - place[None] + window - 1 for place in (row, column))
    return down * (2 * window - 1) + across


class BoundaryMask(nn.Cell):
    """What is added to the attention within shifted windows of an image.

    After the shift the last row and column of windows hold pixels of opposite borders, which must
    not see each other.
    """

    def __init__(self, window: int) -> None:
        super().__init__(auto_prefix=False)
        self.window = window
        beyond = (place.ravel() >= window - window // 2 for place in np.indices((window, window)))
        rows, columns = (side[:, None] != side[None] for side in beyond)
        self.rows = Tensor(rows.astype(np.float32))
        self.columns = Tensor(columns.astype(np.float32))

    def construct(self, x: Tensor) -> Tensor:
        """Return (H / window * W / window, 1, pixels, pixels) float32, 0 or -100, for x."""
        count, height, width, channels = x.shape
        side = self.window
        corners = x.reshape(count, height // side, side, width // side, side, channels)
        of_rows = _is_last(corners[0, :, 0, 0, 0, 0]).reshape(-1, 1, 1, 1) * self.rows
        of_columns = _is_last(corners[0, 0, 0, :, 0, 0]).reshape(1, -1, 1, 1) * self.columns
        apart = ops.maximum(of_rows, of_columns) * _FAR
        return apart.reshape(-1, 1, side * side, side * side)


def _is_last(line: Tensor) -> Tensor:
    """Return zeros (length,) float32 with a one at the end."""
    line = line.astype(ms.float32)
    # zeros, of NaN too; MindSpore's own have no kernel on an Ascend, or none on a CPU
    zeros = (line > float("inf")).astype(ms.float32)
    return ops.concat((zeros[1:], 1 - zeros[:1]), 0)


def _rolled(x: Tensor, shift: int) -> Tensor:
    """Return an image (N, H, W, C) moved up and left, what leaves it coming back."""
    x = ops.concat((x[:, shift:], x[:, :shift]), 1)
    return ops.concat((x[:, :, shift:], x[:, :, :shift]), 2)


def _dense(inputs: int, outputs: int) -> nn.Dense:
    first = TruncatedNormal(_DEVIATION)
    return nn.Dense(inputs, outputs, weight_init=first, bias_init="zeros")
