"""The rules by which the ONNX graph of a network is made faster; see ``onnx_simplify``."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import Input, Node, SizeVector
from ms_restore.deploy.translation.onnx_simplify import Rewritten, View

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def neutral(view: View, node: Node) -> Rewritten:
    """Replace x * 1, x / 1, x + 0, x - 0 and -(-x) by x."""
    if not view.can_go(node.outputs[0]):
        return None
    if node.kind == "Neg":
        inner = view.maker(node.inputs[0], "Neg")
        return _name(inner.inputs[0]) if inner else None
    nothing = {"Mul": 1, "Div": 1, "Add": 0, "Sub": 0}.get(node.kind)
    if nothing is None:
        return None
    pairs = [(node.inputs[0], node.inputs[1])]
    if node.kind in ("Mul", "Add"):
        pairs.append((node.inputs[1], node.inputs[0]))
    for x, value in pairs:
        if isinstance(value, np.ndarray) and isinstance(x, str) and (value == nothing).all():
            sizes = view.sizes(x)
            if sizes is not None and sizes == view.sizes(node.outputs[0]):
                return x
    return None


def negative_summand(view: View, node: Node) -> Rewritten:
    """Replace x + (-y) by x - y, and x - (-y) by x + y."""
    if node.kind not in ("Add", "Sub"):
        return None
    first, second = node.inputs
    inner = view.maker(second, "Neg")
    if inner is not None:
        kind = {"Add": "Sub", "Sub": "Add"}[node.kind]
        return [Node(kind, [first, inner.inputs[0]], node.outputs, {})]
    inner = view.maker(first, "Neg") if node.kind == "Add" else None
    if inner is not None:
        return [Node("Sub", [second, inner.inputs[0]], node.outputs, {})]
    return None


def bias_of_convolution(view: View, node: Node) -> Rewritten:
    """Replace a convolution and a number added to each channel by one with a bias."""
    found = _convolution_and_numbers(view, node, ("Add", "Sub"))
    if found is None:
        return None
    made, numbers = found
    weight, bias = _weights(made)
    if node.kind == "Sub":
        if not isinstance(node.inputs[1], np.ndarray):
            return None
        numbers = -numbers
    return [_convolution(made, node, weight, bias + numbers)]


def gain_of_convolution(view: View, node: Node) -> Rewritten:
    """Replace a convolution times a number for each channel by one with other weights."""
    found = _convolution_and_numbers(view, node, ("Mul", "Div"))
    if found is None:
        return None
    made, numbers = found
    if node.kind == "Div":
        if not isinstance(node.inputs[1], np.ndarray):
            return None
        numbers = 1 / numbers
    weight, bias = _weights(made)
    if made.kind == "Conv":
        weight = weight * numbers[:, None, None, None]
    elif made.attributes.get("group", 1) == 1:
        weight = weight * numbers[:, None, None]
    else:
        return None
    return [_convolution(made, node, weight, bias * numbers)]


def _convolution_and_numbers(
    view: View, node: Node, kinds: tuple[str, ...]
) -> Optional[tuple[Node, np.ndarray]]:
    """The convolution that is one input, and the other as one number for each channel."""
    if node.kind not in kinds:
        return None
    for x, value in (node.inputs, node.inputs[::-1]):
        made = view.own_maker(x, *_CONVOLUTIONS)
        if made is None or not isinstance(value, np.ndarray):
            continue
        if not all(isinstance(weight, np.ndarray) for weight in made.inputs[1:]):
            continue
        weight = made.inputs[1]
        if weight.ndim != 4:  # type: ignore[union-attr]
            continue
        channels = _channels(made)
        shape = (1,) * (4 - value.ndim) + value.shape
        if value.ndim <= 4 and shape in ((1, channels, 1, 1), (1, 1, 1, 1)):
            numbers = np.broadcast_to(value.reshape(-1), channels).astype(np.float64)
            return made, numbers
    return None


def _channels(convolution: Node) -> int:
    shape = convolution.inputs[1].shape  # type: ignore[union-attr]
    if convolution.kind == "Conv":
        return shape[0]
    return shape[1] * convolution.attributes.get("group", 1)


def _weights(convolution: Node) -> tuple[Any, Any]:
    """In float64."""
    weight, *bias = convolution.inputs[1:]
    numbers = bias[0] if bias else np.zeros(_channels(convolution))
    return np.asarray(weight, np.float64), np.asarray(numbers, np.float64)


def _convolution(old: Node, node: Node, weight: np.ndarray, bias: np.ndarray) -> Node:
    """The old one with these weights, making what ``node`` makes."""
    dtype = old.inputs[1].dtype  # type: ignore[union-attr]
    same = old.inputs[1]
    kept = same if np.array_equal(same, weight) else weight.astype(dtype)  # type: ignore[arg-type]
    inputs: list[Input] = [old.inputs[0], kept, bias.astype(dtype)]
    return Node(old.kind, inputs, node.outputs, old.attributes)


def gate_of_convolution(view: View, node: Node) -> Rewritten:
    """Replace the product of the halves of a convolution's channels by that of two convolutions.

    ONNX Runtime computes convolutions and products in a layout of its own, from which it must
    return for the halves. A convolution before it, if it is one of each channel, is halved too.
    """
    if node.kind != "Mul":
        return None
    halves = [half for value in node.inputs if (half := view.own_maker(value, "Slice"))]
    if len(halves) != 2 or halves[0].inputs[0] != halves[1].inputs[0]:
        return None
    made = view.maker(halves[0].inputs[0], "Conv")
    if made is None or view.uses(made.outputs[0]) != 2:
        return None
    new: list[Node] = []
    results: list[Input] = []
    for number, half in enumerate(halves):
        bounds = _channels_of_slice(half)
        parts = None if bounds is None else _part_of_convolution(view, made, *bounds, number)
        if parts is None:
            return None
        new += parts
        results += parts[-1].outputs
    return [*new, Node("Mul", results, node.outputs, {})]


def _channels_of_slice(node: Node) -> Optional[tuple[int, int]]:
    """The channels from and up to which a slice goes, if it cuts nothing else."""
    numbers = [value.tolist() for value in node.inputs[1:] if isinstance(value, np.ndarray)]
    if len(numbers) != len(node.inputs) - 1 or len(numbers) not in (3, 4):
        return None
    start, stop, axis, step = (*numbers, [1])[:4]
    if axis != [1] or step != [1] or not 0 <= start[0] < stop[0]:
        return None
    return start[0], stop[0]


def _part_of_convolution(
    view: View, made: Node, start: int, stop: int, number: int
) -> Optional[list[Node]]:
    """The convolution of these channels of the result, and before it what it alone needs."""
    if not all(isinstance(value, np.ndarray) for value in made.inputs[1:]):
        return None
    if not view.can_go(made.outputs[0]):
        return None
    group, channels = made.attributes.get("group", 1), _channels(made)
    source, before, attributes = made.inputs[0], [], made.attributes
    if group != 1:
        inner = view.own_maker(source, "Conv")
        if group != channels or inner is None or inner.attributes.get("group", 1) != 1:
            return None
        found = _part_of_convolution(view, inner, start, stop, number)
        if found is None:
            return None
        before, source = found, found[-1].outputs[0]
        attributes = {**attributes, "group": min(stop, channels) - start}
    numbers = [value[start:stop] for value in made.inputs[1:]]  # type: ignore[index]
    name = f"{made.outputs[0]}_{number}"
    return [*before, Node("Conv", [source, *numbers], [name], attributes)]


def leaky_relu(view: View, node: Node) -> Rewritten:
    """Replace s x + (1 - s) relu(x), and max(x, s x) with s below 1, by a leaky ReLU."""
    if node.kind == "Max" and len(node.inputs) == 2:
        for x, scaled in (node.inputs, node.inputs[::-1]):
            source, slope = _times_number(view, scaled)
            if source and source == x and slope is not None and 0 <= slope <= 1:
                return [Node("LeakyRelu", [x], node.outputs, {"alpha": slope})]
    if node.kind != "Add":
        return None
    for scaled, rest in (node.inputs, node.inputs[::-1]):
        x, slope = _times_number(view, scaled)
        positive, share = _times_number(view, rest)
        relu = view.maker(positive, "Relu")
        if relu is None or slope is None or share is None or relu.inputs[0] != x:
            continue
        if abs(slope + share - 1) < 1e-6:
            return [Node("LeakyRelu", [relu.inputs[0]], node.outputs, {"alpha": slope})]
    return None


def _times_number(view: View, value: Input) -> tuple[str, Optional[float]]:
    """The tensor and the number that were multiplied to make it."""
    product = view.maker(value, "Mul")
    if product is None:
        return "", None
    for x, factor in (product.inputs, product.inputs[::-1]):
        if isinstance(x, str) and isinstance(factor, np.ndarray) and factor.size == 1:
            return x, float(str(factor.reshape(-1)[0]))
    return "", None


def pixel_shuffle(view: View, node: Node) -> Rewritten:
    """Replace the reshape, transposition and reshape of a pixel shuffle by DepthToSpace."""
    if node.kind != "Reshape":
        return None
    turn = view.maker(node.inputs[0], "Transpose")
    split = view.maker(turn.inputs[0], "Reshape") if turn is not None else None
    if turn is None or split is None or turn.attributes["perm"] != [0, 1, 4, 2, 5, 3]:
        return None
    source, parts, whole = (
        view.sizes(name) for name in (split.inputs[0], *split.outputs, *node.outputs)
    )
    if source is None or parts is None or whole is None or len(source) != 4 or len(whole) != 4:
        return None
    number, channels, factor, same, height, width = parts
    if factor != same or not isinstance(factor, int) or not isinstance(channels, int):
        return None
    if source != (number, channels * factor**2, height, width):
        return None
    if whole != (number, channels, height * factor, width * factor):
        return None
    attributes = {"blocksize": factor, "mode": "CRD"}
    return [Node("DepthToSpace", [split.inputs[0]], node.outputs, attributes)]


def repeated_pixels(view: View, node: Node) -> Rewritten:
    """Replace the reshape, tiling and reshape by which each pixel is repeated by Resize."""
    if node.kind != "Reshape":
        return None
    tiled = view.maker(node.inputs[0], "Tile")
    split = view.maker(tiled.inputs[0], "Reshape") if tiled is not None else None
    if tiled is None or split is None or not isinstance(tiled.inputs[1], np.ndarray):
        return None
    source, parts, whole = (
        view.sizes(name) for name in (split.inputs[0], *split.outputs, *node.outputs)
    )
    if source is None or parts is None or whole is None or len(source) != 4:
        return None
    number, channels, height, width = source
    times = [int(count) for count in tiled.inputs[1]]
    if parts != (number, channels, height, 1, width, 1) or len(times) != 6:
        return None
    if times[:3] != [1, 1, 1] or times[4] != 1:
        return None
    if whole != (number, channels, height * times[3], width * times[5]):
        return None
    scales = np.array([1, 1, times[3], times[5]], np.float32)
    attributes = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return [Node("Resize", [split.inputs[0], "", scales], node.outputs, attributes)]


def mean_of_channels(view: View, node: Node) -> Rewritten:
    """Replace the mean over the channels of each pixel by a convolution, which is faster."""
    sizes = _averaged(view, node, [1])
    if sizes is None or not isinstance(sizes[1], int):
        return None
    weight = np.full((1, sizes[1], 1, 1), 1 / sizes[1], np.float32)
    return [Node("Conv", [node.inputs[0], weight], node.outputs, {"kernel_shape": [1, 1]})]


def mean_of_planes(view: View, node: Node) -> Rewritten:
    """Replace the mean over height and width by global average pooling, which is faster."""
    if _averaged(view, node, [2, 3]) is None:
        return None
    return [Node("GlobalAveragePool", node.inputs[:1], node.outputs, {})]


def _averaged(view: View, node: Node, axes: list[int]) -> Optional[tuple[Any, ...]]:
    """The sizes of an image (N, C, H, W) whose mean over the axes the node keeps, else None."""
    if node.kind != "ReduceMean" or not node.attributes.get("keepdims", 1):
        return None
    sizes = view.sizes(node.inputs[0])
    if sizes is None or len(sizes) != 4:
        return None
    return sizes if sorted(axis % 4 for axis in node.attributes.get("axes", ())) == axes else None


def transposed_twice(view: View, node: Node) -> Rewritten:
    """Replace two transpositions by one, or by none."""
    if node.kind != "Transpose":
        return None
    order, source = node.attributes["perm"], node.inputs[0]
    inner = view.maker(source, "Transpose")
    if inner is not None:
        order = [inner.attributes["perm"][axis] for axis in order]
        source = inner.inputs[0]
    if order == sorted(order) and view.can_go(node.outputs[0]):
        return _name(source)
    return [Node("Transpose", [source], node.outputs, {"perm": order})] if inner else None


def reshaped_twice(view: View, node: Node) -> Rewritten:
    """Leave out a reshape before another one, and one to the same shape."""
    if node.kind != "Reshape":
        return None
    sizes = view.sizes(node.outputs[0])
    if sizes is not None and sizes == view.sizes(node.inputs[0]) and view.can_go(node.outputs[0]):
        return _name(node.inputs[0])
    inner = view.own_maker(node.inputs[0], "Reshape")
    shape = node.inputs[1]
    explicit = isinstance(shape, SizeVector) or (
        isinstance(shape, np.ndarray) and (shape != 0).all()
    )
    if inner is not None and explicit:
        return [Node("Reshape", [inner.inputs[0], shape], node.outputs, {})]
    return None


def _name(value: Input) -> Optional[str]:
    return value if isinstance(value, str) else None


RULES = (
    neutral,
    negative_summand,
    leaky_relu,
    pixel_shuffle,
    repeated_pixels,
    mean_of_channels,
    mean_of_planes,
    transposed_twice,
    reshaped_twice,
    bias_of_convolution,
    gain_of_convolution,
    gate_of_convolution,
)
