"""Convolutions, transposed ones, and their biases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor, constant
from ms_restore.deploy.translation.operators.table import (
    Unsupported,
    known,
    operator,
    sizes_of,
    whole,
)
from ms_restore.deploy.translation.sizes import Number

_PAD_MODES = {0: "PAD", 1: "SAME", 2: "VALID"}
Numbers = Union[int, tuple[int, ...]]


def pad_mode_of(mode: Union[int, str]) -> str:
    """Return the padding mode of a convolution: PAD, SAME or VALID."""
    return _PAD_MODES[mode] if isinstance(mode, int) else mode.upper()


class Window:
    """A kernel's steps over an image: along each axis its reach, stride, and padding before, after.

    ``padding`` is that of mode PAD: (top, bottom, left, right).
    """

    def __init__(
        self,
        kernel: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        mode: str,
        padding: Sequence[int],
    ) -> None:
        self.kernel, self.stride, self.dilation = list(kernel), list(stride), list(dilation)
        self.reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
        self.automatic = mode == "SAME" and max(stride) > 1
        if mode == "SAME":
            pairs = [((r - 1) // 2, r // 2) for r in self.reach]
        elif mode == "VALID":
            pairs = [(0, 0)] * len(self.kernel)
        else:
            pairs = [(padding[2 * i], padding[2 * i + 1]) for i in range(len(self.kernel))]
        self.before, self.after = [a for a, _ in pairs], [b for _, b in pairs]

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of ONNX's convolution."""
        words: dict[str, Any] = {"kernel_shape": self.kernel}
        if max(self.stride) > 1:
            words["strides"] = self.stride
        if max(self.dilation) > 1:
            words["dilations"] = self.dilation
        if self.automatic:
            words["auto_pad"] = "SAME_UPPER"
        elif any(self.before + self.after):
            words["pads"] = self.before + self.after
        return words

    def outputs(self, sizes: tuple[Number, ...]) -> tuple[Number, ...]:
        """Return the sizes of what it makes of an image."""
        if self.automatic:
            return tuple((size + s - 1) // s for size, s in zip(sizes[-2:], self.stride))
        columns = zip(sizes[-2:], self.before, self.after, self.reach, self.stride)
        return tuple((size + a + b - r) // s + 1 for size, a, b, r, s in columns)


@operator("Conv2D")
def _convolution(
    graph: Graph,
    x: Tensor,
    weight: Tensor,
    stride: Numbers = 1,
    pad_mode: Union[int, str] = "valid",
    pad_list: Sequence[int] = (0, 0, 0, 0),
    dilation: Numbers = 1,
    group: int = 1,
    format: str = "NCHW",
) -> Tensor:
    channels_first(format)
    kernel = [known(size) for size in sizes_of(weight)[2:]]
    window = Window(kernel, whole(stride), whole(dilation), pad_mode_of(pad_mode), pad_list)
    return convolved(graph, x, weight, None, window, group)


def convolved(
    graph: Graph, x: Tensor, weight: Tensor, bias: Optional[Tensor], window: Window, group: int
) -> Tensor:
    """Return a convolution, of known sizes."""
    sizes = sizes_of(x)
    more = {"group": group} if group > 1 else {}
    inputs = [x, weight] if bias is None else [x, weight, bias]
    made = graph.node("Conv", *inputs, **window.attributes(), **more)
    return graph.described(made, (sizes[0], sizes_of(weight)[0], *window.outputs(sizes)), x.dtype)


@operator("Conv2DExt", "Conv2DPadding")
def _convolution_of_mint(
    graph: Graph,
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    stride: Numbers = 1,
    padding: Union[Numbers, str] = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Tensor:
    kernel = [known(size) for size in sizes_of(weight)[2:]]
    mode = padding.upper() if isinstance(padding, str) else "PAD"
    sides = [0, 0] if isinstance(padding, str) else whole(padding)
    pads = [sides[0], sides[0], sides[1], sides[1]]
    window = Window(kernel, whole(stride), whole(dilation), mode, pads)
    return convolved(graph, x, weight, bias, window, groups)


@operator("Conv2DTranspose", "Conv2DBackpropInput")
def _transposed_convolution(
    graph: Graph,
    x: Tensor,
    weight: Tensor,
    size: tuple[Number, ...],
    stride: Numbers = 1,
    pad_mode: Union[int, str] = "valid",
    pad_list: Sequence[int] = (0, 0, 0, 0),
    dilation: Numbers = 1,
    group: int = 1,
    format: str = "NCHW",
) -> Tensor:
    channels_first(format)
    kernel = [known(side) for side in sizes_of(weight)[2:]]
    window = Window(kernel, whole(stride), whole(dilation), pad_mode_of(pad_mode), pad_list)
    if pad_mode_of(pad_mode) == "SAME":  # the gradient of a convolution that keeps the size
        missing = [max(r - s, 0) for r, s in zip(window.reach, window.stride)]
        window.before = [m // 2 for m in missing]
        window.after = [m - m // 2 for m in missing]
        window.automatic = False
    made = _spread(graph, x, weight, None, window, group, size[2:])
    return graph.described(made, tuple(size), x.dtype)


@operator("ConvTranspose2D")
def _transposed_convolution_of_mint(
    graph: Graph,
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    kernel = [known(side) for side in sizes_of(weight)[2:]]
    sides = whole(padding)
    pads = [sides[0], sides[0], sides[1], sides[1]]
    window = Window(kernel, whole(stride), whole(dilation), "PAD", pads)
    given, more = sizes_of(x), whole(output_padding)
    size = [side + extra for side, extra in zip(_spread_sizes(given, window), more)]
    made = _spread(graph, x, weight, bias, window, groups, size)
    channels = sizes_of(weight)[1] * groups
    return graph.described(made, (given[0], channels, *size), x.dtype)


def _spread_sizes(sizes: tuple[Number, ...], window: Window) -> list[Number]:
    columns = zip(sizes[-2:], window.stride, window.reach, window.before, window.after)
    return [(size - 1) * s + r - a - b for size, s, r, a, b in columns]


def _spread(
    graph: Graph,
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor],
    window: Window,
    group: int,
    size: Sequence[Number],
) -> Tensor:
    extra = [side - made for side, made in zip(size, _spread_sizes(sizes_of(x), window))]
    if not all(isinstance(rest, int) and 0 <= rest < max(window.stride) for rest in extra):
        raise Unsupported("of an output size that does not follow from its input's")
    more: dict[str, Any] = {"group": group} if group > 1 else {}
    if any(extra):
        more["output_padding"] = extra
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return graph.node("ConvTranspose", *inputs, **window.attributes(), **more)


def channels_first(format: str) -> None:
    """Raise Unsupported for another order of axes than (N, C, H, W)."""
    if format != "NCHW":
        raise Unsupported(f"of {format}")


@operator("BiasAdd")
def _bias(graph: Graph, x: Tensor, bias: Tensor, format: Any = 0) -> Tensor:
    count = len(sizes_of(x))
    if format not in (0, "NCHW"):
        raise Unsupported(f"of format {format}")
    shape = [1, -1, *[1] * (count - 2)]
    made = graph.node("Add", x, graph.node("Reshape", bias, constant(shape, np.int64)))
    return graph.described(made, x.sizes, x.dtype)
