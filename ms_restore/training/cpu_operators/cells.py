"""Cells that compute by the compiled operators, all of float32 in the layout NCHW."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ms_restore.training.cpu_operators.library import operator


def _shape_of_first(x: list[int], *_: list[int]) -> list[int]:
    return x


class ChannelNormalization(nn.Cell):
    """Layer normalisation over the channels of each pixel of x (N, C, H, W)."""

    name = "ChannelNorm"  # of the operator

    def __init__(self, epsilon: float) -> None:
        super().__init__(auto_prefix=False)

        def all_three(dy: list[int], x: list[int], weight: list[int], _: list[int]) -> Any:
            return x, weight, weight

        self.epsilon = Tensor(np.array([epsilon], np.float32))
        self.forward = operator(self.name, _shape_of_first)
        self.backward = operator(f"{self.name}Backward", all_three, 3)

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


class _Normalization(nn.Cell):
    """Batch normalisation of x (N, C, H, W), with what its gradient and the moving ones need.

    With ``relu`` the output is the ReLU of that.
    """

    def __init__(self, epsilon: float, momentum: float, relu: bool) -> None:
        super().__init__(auto_prefix=False)

        def forward(x: list[int], weight: list[int], *_: list[int]) -> Any:
            return x, weight, weight, weight, weight

        def backward(dy: list[int], x: list[int], weight: list[int], *_: list[int]) -> Any:
            return x, weight, weight

        self.numbers = Tensor(np.array([epsilon, momentum, relu], np.float32))
        self.forward = operator("BatchNorm", forward, 5)
        self.backward = operator("BatchNormBackward", backward, 3)

    def construct(
        self, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the output, the batch's mean and one over its deviation, and the moving ones."""
        return self.forward(x, weight, bias, mean, variance, self.numbers)

    def bprop(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        outputs: tuple[Tensor, ...],
        gradients: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients of the inputs; the moving ones have none."""
        moments = outputs[1], outputs[2]
        of_x, of_weight, of_bias = self.backward(
            gradients[0], x, weight, bias, *moments, self.numbers
        )
        return of_x, of_weight, of_bias, ops.zeros_like(mean), ops.zeros_like(variance)


class BatchNorm(nn.Cell):
    """Batch normalisation in training, in the place of the primitive, of whose outputs it has one.

    Args:
        epsilon: added to the variance.
        momentum: the share of the batch in the new moving mean and variance.
        relu: the output is the ReLU of what is normalised.
    """

    def __init__(self, epsilon: float, momentum: float, *, relu: bool = False) -> None:
        super().__init__(auto_prefix=False)
        self.normalize = _Normalization(epsilon, momentum, relu)

    def construct(
        self, x: Tensor, weight: Tensor, bias: Tensor, mean: Parameter, variance: Parameter
    ) -> tuple[Tensor]:
        """Compute the output, and change the moving mean and variance."""
        outputs = self.normalize(x, weight, bias, mean, variance)
        ops.assign(mean, outputs[3])
        ops.assign(variance, outputs[4])
        return (outputs[0],)


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

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

        def half(x: list[int]) -> list[int]:
            return [x[0], x[1] // 2, *x[2:]]

        def whole(dy: list[int], x: list[int]) -> list[int]:
            return x

        self.forward = operator("Gate", half)
        self.backward = operator("GateBackward", whole)


class WindowAttention(nn.Cell):
    """Attention from queries, keys and values (windows, pixels, 3 * C), positions and a mask."""

    def __init__(self, masked: bool) -> None:
        super().__init__(auto_prefix=False)

        def result(qkv: list[int], *_: list[int]) -> list[int]:
            return [*qkv[:2], qkv[2] // 3]

        def both(dy: list[int], qkv: list[int], position: list[int], *_: list[int]) -> Any:
            return qkv, position

        self.masked = masked
        self.forward = operator("Attention", result)
        self.backward = operator("AttentionBackward", both, 2)

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

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

        def both(dy: list[int], x: list[int], factors: list[int]) -> Any:
            return x, factors

        self.forward = operator("ScaleChannels", _shape_of_first)
        self.backward = operator("ScaleChannelsBackward", both, 2)

    def construct(self, x: Tensor, factors: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, factors)

    def bprop(self, x: Tensor, factors: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the inputs."""
        return self.backward(dy, x, factors)


class PlaneMean(_OfOneImage):
    """The mean over the pixels of each channel, (N, C, 1, 1) for x (N, C, H, W)."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

        def means(x: list[int]) -> list[int]:
            return [*x[:2], 1, 1]

        def whole(dy: list[int], x: list[int]) -> list[int]:
            return x

        self.forward = operator("PlaneMean", means)
        self.backward = operator("PlaneMeanBackward", whole)


class EuclideanNorm(nn.Cell):
    """The root of the sum of squares of x, of any shape: (1,), finite where all of x are."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

        def one(x: list[int]) -> list[int]:
            return [1]

        self.forward = operator("EuclideanNorm", one)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x)


class PixelShuffle(nn.Cell):
    """Rearranges (N, C * r * r, H, W) to (N, C, r * H, r * W)."""

    def __init__(self, factor: int) -> None:
        super().__init__(auto_prefix=False)

        def wide(x: list[int]) -> list[int]:
            return [x[0], x[1] // factor**2, x[2] * factor, x[3] * factor]

        def deep(y: list[int]) -> list[int]:
            return [y[0], y[1] * factor**2, y[2] // factor, y[3] // factor]

        self.to_wide = operator("ToWide", wide)
        self.to_deep = operator("ToDeep", deep)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.to_wide(x)

    def bprop(self, x: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor]:
        """Return the gradients of the inputs."""
        return (self.to_deep(dy),)


class LeakyReLU(nn.Cell):
    """Leaky ReLU: x where it is positive, else slope * x."""

    def __init__(self, slope: float) -> None:
        super().__init__(auto_prefix=False)

        self.slope = Tensor(np.array([slope], np.float32))
        self.forward = operator("Leaky", _shape_of_first)
        self.backward = operator("LeakyBackward", _shape_of_first)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, self.slope)

    def bprop(self, x: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor]:
        """Return the gradients of the inputs."""
        return (self.backward(dy, self.slope, y),)


class PReLU(nn.Cell):
    """Parametric ReLU of x (N, C, H, W): x where it is positive, else its channel's slope * x."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

        def both(dy: list[int], slopes: list[int], x: list[int]) -> Any:
            return x, slopes

        self.forward = operator("Parametric", _shape_of_first)
        self.backward = operator("ParametricBackward", both, 2)

    def construct(self, x: Tensor, slopes: Tensor) -> Tensor:
        """Compute the output."""
        return self.forward(x, slopes)

    def bprop(self, x: Tensor, slopes: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the inputs."""
        of_x, of_slopes = self.backward(dy, slopes, x)
        return of_x, of_slopes


class MaxPool(nn.Cell):
    """The largest of each 2x2 pixels, (N, C, H, W) to (N, C, H // 2, W // 2)."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

        def halved(x: list[int]) -> list[int]:
            return [x[0], x[1], x[2] // 2, x[3] // 2]

        def whole(dy: list[int], x: list[int], y: list[int]) -> list[int]:
            return x

        self.pool = operator("Pool", halved)
        self.backward = operator("PoolBackward", whole)

    def construct(self, x: Tensor) -> Tensor:
        """Compute the output."""
        return self.pool(x)

    def bprop(self, x: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor]:
        """Return the gradients of the inputs."""
        return (self.backward(dy, x, y),)
