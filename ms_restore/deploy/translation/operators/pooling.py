"""Pooling: the largest or the mean pixel of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor
from ms_restore.deploy.translation.operators.convolutions import (
    Numbers,
    Window,
    channels_first,
    pad_mode_of,
)
from ms_restore.deploy.translation.operators.matrices import reduced
from ms_restore.deploy.translation.operators.table import (
    Unsupported,
    integers,
    operator,
    sizes_of,
    whole,
)


@operator("MaxPool")
def _max_pool(
    graph: Graph,
    x: Tensor,
    kernel_size: Numbers,
    strides: Numbers,
    pad_mode: Union[int, str] = "VALID",
    format: str = "NCHW",
) -> Tensor:
    channels_first(format)
    window = Window(whole(kernel_size), whole(strides), [1, 1], pad_mode_of(pad_mode), [0] * 4)
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
    argmax_type: Any = None,
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
    window = Window(whole(kernel_size), whole(strides), [1, 1], pad_mode_of(pad_mode), [0] * 4)
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
    window = Window(kernel[1:], steps[1:], [1, 1], pad_mode_of(pad_mode), pad_list[2:])
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


@operator("AdaptiveMaxPool2D")
def _largest_of_all(graph: Graph, x: Tensor, output_size: Numbers) -> tuple[Tensor, ...]:
    if whole(output_size) != [1, 1]:
        raise Unsupported("to other sizes than 1x1")
    return (reduced(graph, "ReduceMax", x, (-2, -1), True),)
