"""Operators that move numbers without changing them: reshaping, slicing, joining, repeating."""

from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor, of_sizes
from ms_restore.deploy.translation.operators.table import (
    Unsupported,
    integers,
    known,
    operator,
    sizes_of,
    tensor_of,
    vector_of,
)
from ms_restore.deploy.translation.sizes import Number, Undecided, compared, least, product_of

Axes = Union[int, tuple[int, ...], None]


@operator("Reshape", "View")
def _reshape(graph: Graph, x: Tensor, shape: Any) -> Tensor:
    return reshaped(graph, x, vector_of(shape))


def reshaped(graph: Graph, x: Tensor, shape: tuple[Number, ...]) -> Tensor:
    """Return the same numbers in another shape, which may hold one -1."""
    sizes = shape
    if x.sizes is not None and -1 in shape:
        others = product_of(tuple(size for size in shape if size != -1))
        try:
            rest: Optional[Number] = product_of(x.sizes) // others
        except Undecided:
            rest = None
        sizes = tuple(rest if size == -1 else size for size in shape)  # type: ignore[misc]
    made = graph.node("Reshape", x, of_sizes(_shortest(x, shape, sizes)))
    return graph.described(made, sizes, x.dtype)


def _shortest(
    x: Tensor, shape: tuple[Number, ...], sizes: tuple[Optional[Number], ...]
) -> tuple[Number, ...]:
    """With ONNX's 0 for an axis that stays and -1 for one that follows, if it is constant then."""
    unknown = [axis for axis, size in enumerate(sizes) if not isinstance(size, int)]
    if x.sizes is None:
        return shape
    stay = [axis for axis in unknown if axis < len(x.sizes) and x.sizes[axis] == sizes[axis]]
    follow = [axis for axis in unknown if axis not in stay]
    if len(follow) > 1:
        return shape
    if not follow and -1 not in sizes and stay:
        follow = [stay[-1]]
    return tuple(
        -1 if axis in follow else 0 if axis in stay else size  # type: ignore[misc]
        for axis, size in enumerate(sizes)
    )


@operator("FlattenExt")
def _flatten(graph: Graph, x: Tensor, first: int = 0, last: int = -1) -> Tensor:
    sizes = sizes_of(x)
    first, last = first % len(sizes), last % len(sizes)
    return reshaped(graph, x, (*sizes[:first], -1, *sizes[last + 1 :]))


@operator("Flatten")
def _flatten_images(graph: Graph, x: Tensor) -> Tensor:
    return _flatten(graph, x, 1)


@operator("Transpose", "Permute", "TransposeView")
def _transpose(graph: Graph, x: Tensor, order: tuple[int, ...]) -> Tensor:
    sizes = sizes_of(x)
    order = tuple(axis % len(sizes) for axis in order)
    made = graph.node("Transpose", x, perm=list(order))
    return graph.described(made, tuple(sizes[axis] for axis in order), x.dtype)


@operator("TransposeExtView", "SwapAxes")
def _swap(graph: Graph, x: Tensor, first: int, second: int) -> Tensor:
    order = list(range(len(sizes_of(x))))
    order[first], order[second] = order[second], order[first]
    return _transpose(graph, x, tuple(order))


@operator("ExpandDims", "ExpandDimsView")
def _expand(graph: Graph, x: Tensor, axis: int) -> Tensor:
    sizes = list(sizes_of(x))
    axis %= len(sizes) + 1
    sizes.insert(axis, 1)
    return graph.described(graph.node("Unsqueeze", x, integers(axis)), tuple(sizes), x.dtype)


@operator("Squeeze")
def _squeeze(graph: Graph, x: Tensor, axis: Axes = None) -> Tensor:
    sizes = sizes_of(x)
    if axis is None or axis == ():
        axis = tuple(index for index, size in enumerate(sizes) if size == 1)
    axes = [one % len(sizes) for one in ((axis,) if isinstance(axis, int) else axis)]
    left = tuple(size for index, size in enumerate(sizes) if index not in axes)
    return graph.described(graph.node("Squeeze", x, integers(axes)), left, x.dtype)


@operator("ChannelShuffle")
def _shuffle_channels(graph: Graph, x: Tensor, group: int) -> Tensor:
    number, channels, *sides = sizes_of(x)
    split = reshaped(graph, x, (number, group, known(channels) // group, *sides))
    order = (0, 2, 1, *range(3, 3 + len(sides)))
    return reshaped(graph, _transpose(graph, split, order), sizes_of(x))


@operator("Concat")
def _concat(graph: Graph, tensors: tuple[Tensor, ...], axis: int = 0) -> Tensor:
    shapes = [sizes_of(x) for x in tensors]
    axis %= len(shapes[0])
    total: Number = 0
    for shape in shapes:
        total = shape[axis] + total
    sizes: list[Number] = [
        next((s for s in column if isinstance(s, int)), column[0]) for column in zip(*shapes)
    ]
    sizes[axis] = total
    made = tensors[0] if len(tensors) == 1 else graph.node("Concat", *tensors, axis=axis)
    return graph.described(made, tuple(sizes), tensors[0].dtype)


@operator("Stack", "StackExt")
def _stack(graph: Graph, tensors: tuple[Tensor, ...], axis: int = 0) -> Tensor:
    axis %= len(sizes_of(tensors[0])) + 1
    return _concat(graph, tuple(_expand(graph, x, axis) for x in tensors), axis)


@operator("Unstack")
def _unstack(graph: Graph, x: Tensor, axis: int = 0) -> tuple[Tensor, ...]:
    count = known(sizes_of(x)[axis])
    return tuple(_squeeze(graph, part, axis) for part in _split(graph, x, axis, count))


@operator("UnstackExtView")
def _unstack_view(graph: Graph, x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    return _unstack(graph, x, dim)


@operator("Split")
def _split(graph: Graph, x: Tensor, axis: int = 0, output_num: int = 1) -> tuple[Tensor, ...]:
    size = known(sizes_of(x)[axis])
    return _parts(graph, x, [size // output_num] * output_num, axis)


@operator("SplitWithSize", "SplitWithSizeView")
def _split_by_sizes(
    graph: Graph, x: Tensor, sizes: tuple[int, ...], dim: int = 0
) -> tuple[Tensor, ...]:
    return _parts(graph, x, list(sizes), dim)


@operator("SplitTensor", "SplitTensorView")
def _split_by_size(graph: Graph, x: Tensor, size: int, dim: int = 0) -> tuple[Tensor, ...]:
    total = known(sizes_of(x)[dim])
    full = [size] * (total // size)
    return _parts(graph, x, [*full, total % size] if total % size else full, dim)


@operator("Chunk", "ChunkView")
def _chunk(graph: Graph, x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    total = known(sizes_of(x)[dim])
    return _split_by_size(graph, x, -(-total // chunks), dim)


def _parts(graph: Graph, x: Tensor, lengths: list[int], axis: int) -> tuple[Tensor, ...]:
    sizes = list(sizes_of(x))
    axis %= len(sizes)
    made = graph.nodes_of("Split", len(lengths), x, integers(lengths), axis=axis)
    return tuple(
        graph.described(part, (*sizes[:axis], length, *sizes[axis + 1 :]), x.dtype)
        for part, length in zip(made, lengths)
    )


@operator("Tile")
def _tile(graph: Graph, x: Tensor, times: tuple[Number, ...]) -> Tensor:
    sizes = sizes_of(x)
    if len(times) > len(sizes):
        x = reshaped(graph, x, (*[1] * (len(times) - len(sizes)), *sizes))
        sizes = sizes_of(x)
    repeats = (*[1] * (len(sizes) - len(times)), *times)
    made = graph.node("Tile", x, of_sizes(repeats))
    return graph.described(made, tuple(a * b for a, b in zip(sizes, repeats)), x.dtype)


@operator("RepeatInterleaveInt")
def _repeat_each(
    graph: Graph, x: Tensor, repeats: int, dim: Optional[int] = None, size: Any = None
) -> Tensor:
    if dim is None:
        raise Unsupported("of all numbers in a row")
    sizes = list(sizes_of(x))
    dim %= len(sizes)
    wide = _expand(graph, x, dim + 1)
    wide = _tile(
        graph, wide, tuple(repeats if axis == dim + 1 else 1 for axis in range(len(sizes) + 1))
    )
    sizes[dim] = sizes[dim] * repeats
    return reshaped(graph, wide, tuple(sizes))


@operator("BroadcastTo", "BroadcastToView")
def _broadcast_to(graph: Graph, x: Tensor, shape: tuple[Number, ...]) -> Tensor:
    sizes = sizes_of(x)
    padded = (*[1] * (len(shape) - len(sizes)), *sizes)
    wanted = tuple(old if new == -1 else new for old, new in zip(padded, shape))
    return graph.described(graph.node("Expand", x, of_sizes(wanted)), wanted, x.dtype)


@operator("ReverseV2")
def _reverse(graph: Graph, x: Tensor, axis: Axes) -> Tensor:
    axes = (axis,) if isinstance(axis, int) else tuple(axis or ())
    made = graph.node(
        "Slice",
        x,
        integers([-1] * len(axes)),
        integers([-(2**31)] * len(axes)),
        integers(axes),
        integers([-1] * len(axes)),
    )
    return graph.described(made, x.sizes, x.dtype)


@operator("Roll")
def _roll(graph: Graph, x: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    if dims is None or dims == ():
        raise Unsupported("of all numbers in a row")
    pairs = zip(*((value,) if isinstance(value, int) else value for value in (shifts, dims)))
    for shift, axis in pairs:
        size = sizes_of(x)[axis]
        if shift == 0:
            continue
        if isinstance(size, int):
            shift %= size
        first = cut(graph, x, axis, -shift, 2**31)  # the last pixels come first
        rest = cut(graph, x, axis, 0, -shift)
        x = graph.described(graph.node("Concat", first, rest, axis=axis), x.sizes, x.dtype)
    return x


def cut(graph: Graph, x: Tensor, axis: int, first: Number, last: Number) -> Tensor:
    """Return the part between two positions along one axis."""
    return graph.node("Slice", x, of_sizes((first,)), of_sizes((last,)), integers(axis))


@operator("Slice")
def _slice(graph: Graph, x: Tensor, begin: tuple[Number, ...], size: tuple[Number, ...]) -> Tensor:
    ends = tuple(2**31 if length == -1 else start + length for start, length in zip(begin, size))
    return _strided_slice(graph, x, begin, ends, (1,) * len(begin))


@operator("SliceExt", "SliceExtView")
def _slice_one(
    graph: Graph, x: Tensor, dim: int, start: Number, end: Number, step: int = 1
) -> Tensor:
    count = len(sizes_of(x))
    kept = ~(1 << dim % count) & (2**count - 1)
    starts: list[Number] = [0] * count
    ends: list[Number] = [0] * count
    steps = [1] * count
    starts[dim], ends[dim], steps[dim] = start, end, step
    return _strided_slice(graph, x, tuple(starts), tuple(ends), tuple(steps), kept, kept)


@operator("Narrow", "NarrowView")
def _narrow(graph: Graph, x: Tensor, dim: int, start: Number, length: Number) -> Tensor:
    return _slice_one(graph, x, dim, start, start + length)


@operator("StridedSlice")
def _strided_slice(
    graph: Graph,
    x: Tensor,
    begin: tuple[Number, ...],
    end: tuple[Number, ...],
    strides: tuple[int, ...],
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Tensor:
    """The masks' bits are axes: whose begin or end is not given, or that vanish."""
    if ellipsis_mask or new_axis_mask:
        raise Unsupported("with an ellipsis or a new axis")
    sizes: list[Optional[Number]] = list(sizes_of(x))
    cuts: list[tuple[Number, Number, int, int]] = []
    shrunk = [axis for axis in range(len(begin)) if shrink_axis_mask >> axis & 1]
    for axis, (first, last, step) in enumerate(zip(begin, end, strides)):
        open_first, open_last = begin_mask >> axis & 1, end_mask >> axis & 1
        if axis in shrunk:
            last = first + 1 if first != -1 else 2**31
            cuts.append((first, last, axis, 1))
            sizes[axis] = 1
        elif not (open_first and open_last and step == 1):
            first = (0 if step > 0 else -1) if open_first else first
            last = (2**31 if step > 0 else -(2**31)) if open_last else last
            length = _length(sizes_of(x)[axis], first, last, step)
            if step != 1 or length != sizes[axis] or first != 0:
                cuts.append((first, last, axis, step))
            sizes[axis] = length
    if cuts:
        firsts, lasts, axes, steps = zip(*cuts)
        inputs = [of_sizes(firsts), of_sizes(lasts), integers(axes)]
        inputs += [integers(steps)] if set(steps) != {1} else []
        x = graph.described(graph.node("Slice", x, *inputs), tuple(sizes), x.dtype)
    return _squeeze(graph, x, tuple(shrunk)) if shrunk else x


def _length(size: Number, first: Number, last: Number, step: int) -> Optional[Number]:
    """How many entries a slice of an axis of that size has; None where it cannot be told."""
    if isinstance(size, int) and isinstance(first, int) and isinstance(last, int):
        return len(range(size)[slice(first, None if last == -(2**31) else last, step)])
    if step < 0:
        return size if (step, first, last) == (-1, -1, -(2**31)) else None
    begin, stop = _position(size, first), _position(size, last)
    if begin is None or stop is None or (least(stop - begin) or -1) < 0:
        return None
    return (stop - begin + step - 1) // step


def _position(size: Number, place: Number) -> Optional[Number]:
    """Where a Python index is, from 0 to the size."""
    if place == 2**31:
        return size
    try:
        place = size + place if compared(place, 0) < 0 else place
        return size if compared(place, size) > 0 else place
    except Undecided:
        known = least(size - place)
        return place if known is not None and known >= 0 else None


@operator("Gather", "IndexSelect")
def _gather(graph: Graph, x: Tensor, first: Any, second: Any, batch_dims: int = 0) -> Tensor:
    """Gather has (indices, axis), IndexSelect (axis, indices)."""
    indices, axis = (second, first) if isinstance(first, int) else (first, second)
    if batch_dims:
        raise Unsupported("with batch_dims")
    tensor = tensor_of(indices, np.int64)
    sizes = sizes_of(x)
    axis = known(vector_of(axis)[0] if isinstance(axis, Tensor) else axis) % len(sizes)
    made = graph.node("Gather", x, tensor, axis=axis)
    new = (*sizes[:axis], *sizes_of(tensor), *sizes[axis + 1 :])
    return graph.described(made, new, x.dtype)
