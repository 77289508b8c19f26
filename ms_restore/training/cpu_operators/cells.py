"""Cells that compute by the compiled operators, all of float32 in the layout NCHW."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops


def _operator(
    operators: Path, name: str, shapes: Callable[..., Any], outputs: int = 1
) -> ops.Custom:
    """Return a compiled operator; ``shapes`` gives the shape of its output, or those of several."""
    kinds = ms.float32 if outputs == 1 else (ms.float32,) * outputs
    return ops.Custom(f"{operators}:{name}", shapes, kinds, "aot")


def _shape_of_first(x: list[int], *_: list[int]) -> list[int]:
    return x


class Windows(NamedTuple):
    """Where the windows of a convolution lie, in pixels."""

    stride: tuple[int, ...]  # rows, columns
    padding: tuple[int, ...]  # top, bottom, left, right
    dilation: tuple[int, ...]  # rows, columns


class _ConvolutionOperators(nn.Cell):
    """A convolution from (N, C, H, W) to (N, O, h, w) by weights (O, C, k, l), and its gradients.

    All are float32. With ``depthwise`` each channel has a kernel of its own, weights are
    (C, 1, k, l), and stride and dilation 1.
    """

    has_bias = False

    def __init__(self, operators: Path, windows: Windows, depthwise: bool = False) -> None:
        super().__init__(auto_prefix=False)
        top, bottom, left, right = windows.padding
        down, across = windows.stride
        has_bias = self.has_bias

        def window(w: list[int]) -> tuple[int, ...]:
            return tuple((k - 1) * d + 1 for k, d in zip(w[2:], windows.dilation))

        def result(x: list[int], w: list[int], *_: list[int]) -> list[int]:
            rows, columns = window(w)
            height = (x[2] + top + bottom - rows) // down + 1
            return [x[0], w[0], height, (x[3] + left + right - columns) // across + 1]

        def source(dy: list[int], w: list[int], _: list[int]) -> list[int]:
            rows, columns = window(w)
            height = (dy[2] - 1) * down + rows - top - bottom
            channels = dy[1] if depthwise else w[1]
            return [dy[0], channels, height, (dy[3] - 1) * across + columns - left - right]

        def weights(x: list[int], dy: list[int], _: list[int], w: list[int]) -> Any:
            return (w, w[:1]) if has_bias else w

        self.windows = Tensor(np.concatenate(windows).astype(np.int64))
        name, outputs = "Depthwise" if depthwise else "", 2 if has_bias else 1
        self.forward = _operator(operators, f"{name}Forward", result)
        self.backward_data = _operator(operators, f"{name}BackwardData", source)
        self.backward_weights = _operator(operators, f"{name}BackwardWeights", weights, outputs)


class Convolution(_ConvolutionOperators):
    """A convolution of x by weights."""

    def construct(self, x: Tensor, w: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, w, self.windows)

    def bprop(self, x: Tensor, w: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the inputs."""
        return (
            self.backward_data(dy, w, self.windows),
            self.backward_weights(x, dy, self.windows, w),
        )


class Biased(_ConvolutionOperators):
    """A convolution of x by weights, with a bias for each output channel."""

    has_bias = True

    def construct(self, x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, w, self.windows, bias)

    def bprop(
        self, x: Tensor, w: Tensor, bias: Tensor, y: Tensor, dy: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the inputs."""
        of_weights, of_bias = self.backward_weights(x, dy, self.windows, w)
        return self.backward_data(dy, w, self.windows), of_weights, of_bias


class WithBias(nn.Cell):
    """A convolution of x by weights that adds the bias of another cell."""

    bias: Parameter

    def __init__(self, convolution: Biased) -> None:
        super().__init__(auto_prefix=False)
        self.convolution = convolution

    def construct(self, x: Tensor, w: Tensor) -> Tensor:
        """Compute the output."""
        return self.convolution(x, w, self.bias)


class Transposed(_ConvolutionOperators):
    """A transposed convolution of y by weights, to an x of the given shape."""

    def construct(self, y: Tensor, w: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Compute the output."""
        return self.backward_data(y, w, self.windows)

    def bprop(
        self, y: Tensor, w: Tensor, shape: tuple[int, ...], x: Tensor, dx: Tensor
    ) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Return the gradients of the inputs."""
        return (
            self.forward(dx, w, self.windows),
            self.backward_weights(dx, y, self.windows, w),
            shape,
        )


class ChannelNormalization(nn.Cell):
    """Layer normalisation over the channels of each pixel of x (N, C, H, W)."""

    name = "ChannelNorm"  # of the operator

    def __init__(self, operators: Path, epsilon: float) -> None:
        super().__init__(auto_prefix=False)

        def all_three(dy: list[int], x: list[int], weight: list[int], _: list[int]) -> Any:
            return x, weight, weight

        self.epsilon = Tensor(np.array([epsilon], np.float32))
        self.forward = _operator(operators, self.name, _shape_of_first)
        self.backward = _operator(operators, f"{self.name}Backward", all_three, 3)

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, weight, bias, self.epsilon)

    def bprop(
        self, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor, dy: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the inputs."""
        return self.backward(dy, x, weight, self.epsilon)


class LayerNorm(ChannelNormalization):
    """Layer normalisation over the last axis of x (..., C), in the place of the primitive.

    Of the three outputs, the primitive's mean and variance are not computed: other tensors take
    their places, which nothing may use.
    """

    name = "LayerNorm"

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the output, and two that stand for others."""
        return self.forward(x, weight, bias, self.epsilon), weight, bias

    def bprop(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        outputs: tuple[Tensor, ...],
        gradients: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the inputs."""
        return self.backward(gradients[0], x, weight, self.epsilon)


class _OfOneImage(nn.Cell):
    """An operator of one image x, whose gradient is computed from that of the output and x."""

    forward: ops.Custom
    backward: ops.Custom

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x)

    def bprop(self, x: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor]:
        """Return the gradients of the inputs."""
        return (self.backward(dy, x),)


class SimpleGate(_OfOneImage):
    """The product of the first and the second half of the channels of x (N, 2 * C, H, W)."""

    def __init__(self, operators: Path) -> None:
        super().__init__(auto_prefix=False)

        def half(x: list[int]) -> list[int]:
            return [x[0], x[1] // 2, *x[2:]]

        def whole(dy: list[int], x: list[int]) -> list[int]:
            return x

        self.forward = _operator(operators, "Gate", half)
        self.backward = _operator(operators, "GateBackward", whole)


class WindowAttention(nn.Cell):
    """Attention from queries, keys and values (windows, pixels, 3 * C), positions and a mask."""

    def __init__(self, operators: Path, masked: bool) -> None:
        super().__init__(auto_prefix=False)

        def result(qkv: list[int], *_: list[int]) -> list[int]:
            return [*qkv[:2], qkv[2] // 3]

        def both(dy: list[int], qkv: list[int], position: list[int], *_: list[int]) -> Any:
            return qkv, position

        self.masked = masked
        self.forward = _operator(operators, "Attention", result)
        self.backward = _operator(operators, "AttentionBackward", both, 2)

    def construct(self, qkv: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """Compute the output."""
        if self.masked:
            return self.forward(qkv, position, mask)
        return self.forward(qkv, position)

    def bprop(
        self, qkv: Tensor, position: Tensor, mask: Tensor, y: Tensor, dy: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the inputs; the mask, which follows from the size, has none."""
        if self.masked:
            of_qkv, of_position = self.backward(dy, qkv, position, mask)
        else:
            of_qkv, of_position = self.backward(dy, qkv, position)
        return of_qkv, of_position, ops.zeros_like(mask)


class ChannelScale(nn.Cell):
    """The product of x (N, C, H, W) and a factor for each channel, (N, C, 1, 1) or (1, C, 1, 1)."""

    def __init__(self, operators: Path) -> None:
        super().__init__(auto_prefix=False)

        def both(dy: list[int], x: list[int], factors: list[int]) -> Any:
            return x, factors

        self.forward = _operator(operators, "ScaleChannels", _shape_of_first)
        self.backward = _operator(operators, "ScaleChannelsBackward", both, 2)

    def construct(self, x: Tensor, factors: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, factors)

    def bprop(self, x: Tensor, factors: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the inputs."""
        return self.backward(dy, x, factors)


class PlaneMean(_OfOneImage):
    """The mean over the pixels of each channel, (N, C, 1, 1) for x (N, C, H, W)."""

    def __init__(self, operators: Path) -> None:
        super().__init__(auto_prefix=False)

        def means(x: list[int]) -> list[int]:
            return [*x[:2], 1, 1]

        def whole(dy: list[int], x: list[int]) -> list[int]:
            return x

        self.forward = _operator(operators, "PlaneMean", means)
        self.backward = _operator(operators, "PlaneMeanBackward", whole)


class EuclideanNorm(nn.Cell):
    """The root of the sum of squares of x, of any shape: (1,), finite where all of x are."""

    def __init__(self, operators: Path) -> None:
        super().__init__(auto_prefix=False)

        def one(x: list[int]) -> list[int]:
            return [1]

        self.forward = _operator(operators, "EuclideanNorm", one)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x)


class PixelShuffle(nn.Cell):
    """Rearranges (N, C * r * r, H, W) to (N, C, r * H, r * W)."""

    def __init__(self, operators: Path, factor: int) -> None:
        super().__init__(auto_prefix=False)

        def wide(x: list[int]) -> list[int]:
            return [x[0], x[1] // factor**2, x[2] * factor, x[3] * factor]

        def deep(y: list[int]) -> list[int]:
            return [y[0], y[1] * factor**2, y[2] // factor, y[3] // factor]

        self.to_wide = _operator(operators, "ToWide", wide)
        self.to_deep = _operator(operators, "ToDeep", deep)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.to_wide(x)

    def bprop(self, x: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor]:
        """Return the gradients of the inputs."""
        return (self.to_deep(dy),)


class LeakyReLU(nn.Cell):
    """Leaky ReLU: x where it is positive, else slope * x."""

    def __init__(self, operators: Path, slope: float) -> None:
        super().__init__(auto_prefix=False)

        self.slope = Tensor(np.array([slope], np.float32))
        self.forward = _operator(operators, "Leaky", _shape_of_first)
        self.backward = _operator(operators, "LeakyBackward", _shape_of_first)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, self.slope)

    def bprop(self, x: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor]:
        """Return the gradients of the inputs."""
        return (self.backward(dy, self.slope, y),)


class PReLU(nn.Cell):
    """Parametric ReLU of x (N, C, H, W): x where it is positive, else its channel's slope * x."""

    def __init__(self, operators: Path) -> None:
        super().__init__(auto_prefix=False)

        def both(dy: list[int], slopes: list[int], x: list[int]) -> Any:
            return x, slopes

        self.forward = _operator(operators, "Parametric", _shape_of_first)
        self.backward = _operator(operators, "ParametricBackward", both, 2)

    def construct(self, x: Tensor, slopes: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, slopes)

    def bprop(self, x: Tensor, slopes: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the inputs."""
        of_x, of_slopes = self.backward(dy, slopes, x)
        return of_x, of_slopes


class MaxPool(nn.Cell):
    """The largest of each 2x2 pixels, (N, C, H, W) to (N, C, H // 2, W // 2)."""

    def __init__(self, operators: Path) -> None:
        super().__init__(auto_prefix=False)

        def halved(x: list[int]) -> list[int]:
            return [x[0], x[1], x[2] // 2, x[3] // 2]

        def whole(dy: list[int], x: list[int], y: list[int]) -> list[int]:
            return x

        self.pool = _operator(operators, "Pool", halved)
        self.backward = _operator(operators, "PoolBackward", whole)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.pool(x)

    def bprop(self, x: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor]:
        """Return the gradients of the inputs."""
        return (self.backward(dy, x, y),)
