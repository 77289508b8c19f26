"""Convolutions that are computed by the compiled operators, all of float32 in the layout NCHW."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mindspore import Parameter, Tensor, nn

from ms_restore.training.cpu_operators.library import operator


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

    def __init__(self, windows: Windows, depthwise: bool = False) -> None:
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
        self.forward = operator(f"{name}Forward", result)
        self.backward_data = operator(f"{name}BackwardData", source)
        self.backward_weights = operator(f"{name}BackwardWeights", weights, outputs)


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
