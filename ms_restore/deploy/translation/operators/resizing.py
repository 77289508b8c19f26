"""Operators that change an image's height and width: resizing, padding, pixel shuffling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor, constant, of_sizes
from ms_restore.deploy.translation.operators.table import (
    Operand,
    Unsupported,
    integers,
    operator,
    sizes_of,
    tensor_of,
    vector_of,
)
from ms_restore.deploy.translation.sizes import Number, Size


@operator("ResizeNearestNeighborV2", "ResizeNearestNeighbor")
def _nearest(
    graph: Graph, x: Tensor, size: Any, align_corners: bool = False, half_pixel: bool = False
) -> Tensor:
    modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if align_corners:
        modes = {"coordinate_transformation_mode": "align_corners"}
        modes["nearest_mode"] = "round_prefer_ceil"
    elif half_pixel:
        modes = {"coordinate_transformation_mode": "half_pixel"}
        modes["nearest_mode"] = "round_prefer_ceil"
    return resized(graph, x, vector_of(size), mode="nearest", **modes)


@operator("ResizeBilinearV2")
def _bilinear(
    graph: Graph,
    x: Tensor,
    size: Any,
    align_corners: bool = False,
    half_pixel_centers: bool = False,
) -> Tensor:
    mode = "asymmetric"
    if align_corners:
        mode = "align_corners"
    elif half_pixel_centers:
        mode = "half_pixel"
    return resized(graph, x, vector_of(size), mode="linear", coordinate_transformation_mode=mode)


@operator("ResizeBicubic")
def _bicubic(
    graph: Graph,
    x: Tensor,
    size: Any,
    align_corners: bool = False,
    half_pixel_centers: bool = False,
) -> Tensor:
    """Keys' kernel, MindSpore's without the pixels outside the image if their centres count."""
    if align_corners:
        raise Unsupported("with align_corners")
    modes: dict[str, Any] = {"coordinate_transformation_mode": "asymmetric"}
    if half_pixel_centers:
        modes = {"coordinate_transformation_mode": "half_pixel"}
        modes |= {"cubic_coeff_a": -0.5, "exclude_outside": 1}
    return resized(graph, x, vector_of(size), mode="cubic", **modes)


@operator("UpsampleNearest2D")
def _nearest_of_mint(
    graph: Graph, x: Tensor, size: Any = None, scales: Optional[Sequence[float]] = None
) -> Tensor:
    return _nearest(graph, x, _scaled(x, size, scales))


@operator("UpsampleBilinear2D")
def _bilinear_of_mint(
    graph: Graph,
    x: Tensor,
    size: Any = None,
    scales: Optional[Sequence[float]] = None,
    align_corners: bool = False,
) -> Tensor:
    return _bilinear(graph, x, _scaled(x, size, scales), align_corners, not align_corners)


def _scaled(x: Tensor, size: Any, scales: Optional[Sequence[float]]) -> tuple[Number, ...]:
    if size is not None:
        return vector_of(size)
    if scales is None or any(scale != int(scale) for scale in scales):
        raise Unsupported("by other factors than whole numbers")
    return tuple(side * int(scale) for side, scale in zip(sizes_of(x)[2:], scales))


def resized(graph: Graph, x: Tensor, size: tuple[Number, ...], **modes: Any) -> Tensor:
    """Return an image of that height and width; by a factor where that is always the same."""
    sizes = sizes_of(x)
    factors = [_factor(new, old) for new, old in zip(size, sizes[2:])]
    new = (*sizes[:2], *size)
    if modes["coordinate_transformation_mode"] != "align_corners" and all(factors):
        scales = constant([1, 1, *factors], np.float32)
        made = graph.node("Resize", x, None, scales, **modes)
    else:
        made = graph.node("Resize", x, None, None, of_sizes(new), **modes)
    return graph.described(made, new, x.dtype)


def _factor(new: Number, old: Number) -> Optional[int]:
    if isinstance(new, int) and isinstance(old, int):
        return new // old if new % old == 0 else None
    if isinstance(old, Size) and isinstance(new, Size):
        factor = new.terms[0][1] // old.terms[0][1] if old.terms[0][1] else 0
        return factor if factor > 0 and old * factor == new else None
    return None


@operator("DepthToSpace")
def _depth_to_space(graph: Graph, x: Tensor, block_size: int) -> Tensor:
    """Its channels are in the order (row, column, colour)."""
    return shuffled(graph, x, block_size, "DCR")


@operator("PixelShuffle")
def _pixel_shuffle(graph: Graph, x: Tensor, upscale_factor: int) -> Tensor:
    return shuffled(graph, x, upscale_factor, "CRD")


def shuffled(graph: Graph, x: Tensor, factor: int, order: str) -> Tensor:
    """Rearrange (N, C f f, H, W) to (N, C, f H, f W)."""
    number, channels, height, width = sizes_of(x)
    made = graph.node("DepthToSpace", x, blocksize=factor, mode=order)
    new = (number, channels // factor**2, height * factor, width * factor)
    return graph.described(made, new, x.dtype)


@operator("SpaceToDepth")
def _space_to_depth(graph: Graph, x: Tensor, block_size: int) -> Tensor:
    number, channels, height, width = sizes_of(x)
    made = graph.node("SpaceToDepth", x, blocksize=block_size)
    new = (number, channels * block_size**2, height // block_size, width // block_size)
    return graph.described(made, new, x.dtype)


@operator("MirrorPad")
def _mirror_pad(graph: Graph, x: Tensor, paddings: Tensor, mode: str = "REFLECT") -> Tensor:
    if paddings.value is None:
        raise Unsupported("by what the image gives")
    pairs = [tuple(pair) for pair in paddings.value.tolist()]
    if mode.upper() == "REFLECT":
        return padded(graph, x, pairs, "reflect")
    return _with_edges_doubled(graph, x, pairs)


def _with_edges_doubled(graph: Graph, x: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    """Mirrored at its border, the outermost pixels included, by slices turned round."""
    for axis, (before, after) in enumerate(pairs):
        if not before and not after:
            continue
        parts = []
        if before:
            parts.append(_reversed(graph, x, axis, before - 1, -(2**31)))
        parts.append(x)
        if after:
            parts.append(_reversed(graph, x, axis, -1, -after - 1))
        new = list(sizes_of(x))
        new[axis] = new[axis] + before + after
        x = graph.described(graph.node("Concat", *parts, axis=axis), tuple(new), x.dtype)
    return x


def _reversed(graph: Graph, x: Tensor, axis: int, first: int, last: int) -> Tensor:
    return graph.node("Slice", x, integers(first), integers(last), integers(axis), integers(-1))


@operator("Pad")
def _zero_pad(graph: Graph, x: Tensor, paddings: tuple[tuple[int, int], ...]) -> Tensor:
    return padded(graph, x, paddings, "constant")


@operator("PadV3")
def _pad(
    graph: Graph,
    x: Tensor,
    paddings: Any,
    value: Optional[Operand] = None,
    mode: str = "constant",
    paddings_contiguous: bool = True,
) -> Tensor:
    amounts = vector_of(paddings)
    count = len(sizes_of(x))
    if not paddings_contiguous:
        raise Unsupported("with paddings that are not contiguous")
    pairs: list[tuple[Number, Number]] = [(0, 0)] * count
    for index in range(len(amounts) // 2):  # the last axis comes first
        pairs[count - 1 - index] = (amounts[2 * index], amounts[2 * index + 1])
    if mode not in ("constant", "reflect", "edge"):
        raise Unsupported(f"of mode {mode}")
    return padded(graph, x, pairs, mode, value)


@operator("ConstantPadND")
def _constant_pad(graph: Graph, x: Tensor, paddings: Any, value: float = 0.0) -> Tensor:
    return _pad(graph, x, paddings, value)


@operator("ReflectionPad2D")
def _reflection_pad(graph: Graph, x: Tensor, paddings: Any) -> Tensor:
    return _pad(graph, x, paddings, mode="reflect")


@operator("ReplicationPad2D")
def _replication_pad(graph: Graph, x: Tensor, paddings: Any) -> Tensor:
    return _pad(graph, x, paddings, mode="edge")


def padded(
    graph: Graph,
    x: Tensor,
    pairs: Sequence[tuple[Number, Number]],
    mode: str,
    value: Optional[Operand] = None,
) -> Tensor:
    """Add pixels before and after along each axis; negative numbers take pixels away."""
    amounts = of_sizes((*(before for before, _ in pairs), *(after for _, after in pairs)))
    inputs = [x, amounts]
    if mode == "constant" and value is not None:
        filling = tensor_of(value, x.dtype)
        inputs.append(filling if filling.value is None else constant(filling.value, x.dtype))
    made = graph.node("Pad", *inputs, mode=mode)
    new = tuple(size + before + after for size, (before, after) in zip(sizes_of(x), pairs))
    return graph.described(made, new, x.dtype)
