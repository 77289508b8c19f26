"""Convolutions, pooling, and normalisation over an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from ms_restore.export.onnx_nodes import Graph, Tensor, constant
from ms_restore.export.operators.matrices import normalised, reduced
from ms_restore.export.operators.table import (
    Unsupported,
    integers,
    operator,
    sizes_of,
    tensor_of,
    whole,
)
from ms_restore.export.sizes import Number

_PAD_MODES = {0: "PAD", 1: "SAME", 2: "VALID"}
Numbers = Union[int, tuple[int, ...]]


def _mode(mode: Union[int, str]) -> str:
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
        """ONNX's words for it."""
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
        """The sizes of what it makes of an image."""
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
    _channels_first(format)
    kernel = [int(size) for size in sizes_of(weight)[2:]]
    window = Window(kernel, whole(stride), whole(dilation), _mode(pad_mode), pad_list)
    return convolved(graph, x, weight, None, window, group)


def convolved(
    graph: Graph, x: Tensor, weight: Tensor, bias: Optional[Tensor], window: Window, group: int
) -> Tensor:
    """A convolution, of known sizes."""
    sizes = sizes_of(x)
    more = {"group": group} if group > 1 else {}
    inputs = [x, weight] if bias is None else [x, weight, bias]
    made = graph.node("Conv", *inputs, **window.attributes(), **more)
    return graph.described(
        made, (sizes[0], sizes_of(weight)[0], *window.outputs(sizes)), x.dtype
    )


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
    kernel = [int(size) for size in sizes_of(weight)[2:]]
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
    _channels_first(format)
    kernel = [int(side) for side in sizes_of(weight)[2:]]
    window = Window(kernel, whole(stride), whole(dilation), _mode(pad_mode), pad_list)
    if _mode(pad_mode) == "SAME":  # the gradient of a convolution that keeps the size
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
    kernel = [int(side) for side in sizes_of(weight)[2:]]
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


def _channels_first(format: str) -> None:
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


@operator("BatchNorm")
def _batch_norm(
    graph: Graph,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
    is_training: bool = False,
    epsilon: float = 1e-5,
    *_: Any,
) -> tuple[Tensor, ...]:
    if is_training:
        raise Unsupported("in training")
    return (_scaled(graph, x, gamma, beta, mean, variance, epsilon),)


@operator("BatchNormExt")
def _batch_norm_of_mint(
    graph: Graph,
    x: Tensor,
    gamma: Optional[Tensor],
    beta: Optional[Tensor],
    mean: Optional[Tensor],
    variance: Optional[Tensor],
    training: bool = False,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[Tensor, ...]:
    if training or mean is None or variance is None:
        raise Unsupported("in training, or with the statistics of the image")
    return (_scaled(graph, x, gamma, beta, mean, variance, epsilon),)


def _scaled(
    graph: Graph,
    x: Tensor,
    gamma: Optional[Tensor],
    beta: Optional[Tensor],
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
) -> Tensor:
    """x times one number for each channel, plus another: the numbers are computed in float64."""
    known = [_numbers(value) for value in (gamma, beta, mean, variance)]
    scale, shift = known[0], known[1]
    assert known[2] is not None and known[3] is not None
    gain = (1.0 if scale is None else scale) / np.sqrt(known[3] + epsilon)
    offset = (0.0 if shift is None else shift) - known[2] * gain
    shape = [1, -1, *[1] * (len(sizes_of(x)) - 2)]
    product = graph.node("Mul", x, constant(gain.reshape(shape), x.dtype))
    made = graph.node("Add", product, constant(offset.reshape(shape), x.dtype))
    return graph.described(made, x.sizes, x.dtype)


def _numbers(tensor: Optional[Tensor]) -> Optional[np.ndarray]:
    if tensor is None:
        return None
    if tensor.value is None:
        raise Unsupported("with weights that the image gives")
    return tensor.value.astype(np.float64)


@operator("GroupNorm")
def _group_norm(
    graph: Graph,
    x: Tensor,
    groups: int,
    gamma: Optional[Tensor] = None,
    beta: Optional[Tensor] = None,
    epsilon: float = 1e-5,
) -> tuple[Tensor, ...]:
    sizes = sizes_of(x)
    split = graph.node("Reshape", x, integers([0, groups, -1]))
    grouped = graph.described(split, (sizes[0], groups, None), x.dtype)
    normal = normalised(graph, grouped, 2, None, None, epsilon)
    shape = Tensor("", (len(sizes),), np.int64, None, sizes)
    made = graph.node("Reshape", normal, shape)
    return (_affine(graph, made, gamma, beta, len(sizes)),)


@operator("InstanceNorm")
def _instance_norm(
    graph: Graph,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Any = None,
    variance: Any = None,
    effects: Any = None,
    epsilon: float = 1e-5,
) -> tuple[Tensor, ...]:
    normal = normalised(graph, x, 2, None, None, epsilon)
    return (_affine(graph, normal, gamma, beta, len(sizes_of(x))),)


def _affine(
    graph: Graph, x: Tensor, gamma: Optional[Tensor], beta: Optional[Tensor], axes: int
) -> Tensor:
    shape = constant([1, -1, *[1] * (axes - 2)], np.int64)
    if gamma is not None:
        x = graph.node("Mul", x, graph.node("Reshape", gamma, shape))
    if beta is not None:
        x = graph.node("Add", x, graph.node("Reshape", beta, shape))
    return x


@operator("MaxPool")
def _max_pool(
    graph: Graph,
    x: Tensor,
    kernel_size: Numbers,
    strides: Numbers,
    pad_mode: Union[int, str] = "VALID",
    format: str = "NCHW",
) -> Tensor:
    _channels_first(format)
    window = Window(whole(kernel_size), whole(strides), [1, 1], _mode(pad_mode), [0] * 4)
    return _pooled(graph, "MaxPool", x, window)


@operator("MaxPoolWithArgmaxV2", "MaxPoolWithMask", "MaxPoolWithIndices")
def _max_pool_padded(
    graph: Graph,
    x: Tensor,
    kernel_size: Numbers,
    strides: Numbers,
    pads: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, ...]:
    """Only the maxima."""
    _rounds_down(ceil_mode)
    down, right = whole(pads[-2:] if isinstance(pads, tuple) else pads)
    if isinstance(pads, tuple) and len(pads) == 4:  # of (N, C, H, W), or (H, W, C, N)?
        down, right = _sides(pads)
    window = Window(
        whole(kernel_size), whole(strides), whole(dilation), "PAD", [down, down, right, right]
    )
    return (_pooled(graph, "MaxPool", x, window),)


@operator("MaxPool3DWithArgmax")
def _max_pool_of_volumes(
    graph: Graph,
    x: Tensor,
    ksize: Numbers,
    strides: Numbers,
    pads: Numbers,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, ...]:
    """MindSpore's form of a padded pooling of images."""
    _rounds_down(ceil_mode)
    kernel, steps, sides = whole(ksize, 3), whole(strides, 3), whole(pads, 3)
    if kernel[0] != 1 or steps[0] != 1 or sides[0]:
        raise Unsupported("of volumes")
    pairs = [side for side in sides[1:] for _ in range(2)]
    window = Window(kernel[1:], steps[1:], whole(dilation, 3)[1:], "PAD", pairs)
    return (_on_images(graph, "MaxPool", x, window),)


@operator("AvgPool")
def _mean_pool(
    graph: Graph,
    x: Tensor,
    kernel_size: Numbers,
    strides: Numbers,
    pad_mode: Union[int, str] = "VALID",
    format: Any = 0,
) -> Tensor:
    window = Window(whole(kernel_size), whole(strides), [1, 1], _mode(pad_mode), [0] * 4)
    return _pooled(graph, "AveragePool", x, window)


@operator("AvgPool2D")
def _mean_pool_of_mint(
    graph: Graph,
    x: Tensor,
    kernel_size: Numbers,
    stride: Optional[Numbers] = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: Optional[int] = None,
) -> Tensor:
    _rounds_down(ceil_mode)
    if divisor:
        raise Unsupported("with a divisor")
    sides = whole(padding)
    pads = [sides[0], sides[0], sides[1], sides[1]]
    window = Window(whole(kernel_size), whole(stride or kernel_size), [1, 1], "PAD", pads)
    return _pooled(graph, "AveragePool", x, window, count_include_pad=int(count_include_pad))


@operator("AvgPool3D")
def _mean_pool_of_volumes(
    graph: Graph,
    x: Tensor,
    kernel_size: Numbers,
    strides: Numbers,
    pad_list: Sequence[int],
    pad_mode: str = "PAD",
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int = 0,
) -> Tensor:
    """MindSpore's form of a padded pooling of images."""
    _rounds_down(ceil_mode)
    kernel, steps = whole(kernel_size, 3), whole(strides, 3)
    if kernel[0] != 1 or steps[0] != 1 or any(pad_list[:2]) or divisor_override:
        raise Unsupported("of volumes")
    window = Window(kernel[1:], steps[1:], [1, 1], _mode(pad_mode), pad_list[2:])
    include = int(count_include_pad)
    return _on_images(graph, "AveragePool", x, window, count_include_pad=include)


def _sides(pads: tuple[int, ...]) -> tuple[int, int]:
    """Of MindSpore's (1, vertical, horizontal, 1) or (1, 1, vertical, horizontal)."""
    return (pads[1], pads[2]) if pads[3] == 1 and pads[1] != 1 else (pads[2], pads[3])


def _rounds_down(ceil_mode: bool) -> None:
    if ceil_mode:
        raise Unsupported("with ceil_mode")


def _pooled(graph: Graph, kind: str, x: Tensor, window: Window, **more: int) -> Tensor:
    sizes = sizes_of(x)
    made = graph.node(kind, x, **window.attributes(), **more)
    return graph.described(made, (*sizes[:2], *window.outputs(sizes)), x.dtype)


def _on_images(graph: Graph, kind: str, x: Tensor, window: Window, **more: int) -> Tensor:
    """Of (N, C, 1, H, W): without that axis, and put back."""
    sizes = sizes_of(x)
    if sizes[2] != 1:
        raise Unsupported("of volumes")
    image = graph.node("Squeeze", x, integers(2))
    image = graph.described(image, (*sizes[:2], *sizes[3:]), x.dtype)
    pooled = _pooled(graph, kind, image, window, **more)
    made = graph.node("Unsqueeze", pooled, integers(2))
    (*first, height, width) = sizes_of(pooled)
    return graph.described(made, (*first, 1, height, width), x.dtype)


@operator("AdaptiveAvgPool2D", "AdaptiveAvgPool2DExt")
def _mean_of_all(graph: Graph, x: Tensor, output_size: Numbers) -> Tensor:
    if whole(output_size) != [1, 1]:
        raise Unsupported("to other sizes than 1x1")
    return reduced(graph, "ReduceMean", x, (-2, -1), True)

