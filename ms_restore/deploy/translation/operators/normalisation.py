"""Normalisation: by the statistics of training, or by mean and variance of the image."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor, constant
from ms_restore.deploy.translation.operators.matrices import reduced
from ms_restore.deploy.translation.operators.table import (
    Unsupported,
    integers,
    operator,
    sizes_of,
    tensor_of,
)


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
    """Multiply each channel by a number and add another; they are computed in float64."""
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


@operator("LayerNorm")
def _layer_norm(
    graph: Graph,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    begin_norm_axis: int = 1,
    begin_params_axis: int = 1,
    epsilon: float = 1e-7,
) -> tuple[Tensor, ...]:
    return (normalised(graph, x, begin_norm_axis, gamma, beta, epsilon),)


@operator("LayerNormExt")
def _layer_norm_of_shape(
    graph: Graph,
    x: Tensor,
    shape: tuple[int, ...],
    gamma: Optional[Tensor] = None,
    beta: Optional[Tensor] = None,
    epsilon: float = 1e-5,
) -> tuple[Tensor, ...]:
    return (normalised(graph, x, -len(shape), gamma, beta, epsilon),)


@operator("RmsNorm")
def _rms_norm(graph: Graph, x: Tensor, gamma: Tensor, epsilon: float = 1e-6) -> tuple[Tensor, ...]:
    square = graph.described(graph.node("Mul", x, x), x.sizes, x.dtype)
    mean = reduced(graph, "ReduceMean", square, -1, True)
    root = graph.node("Sqrt", graph.node("Add", mean, tensor_of(epsilon, x.dtype)))
    return (graph.node("Mul", graph.node("Div", x, root), gamma),)


def normalised(
    graph: Graph,
    x: Tensor,
    first_axis: int,
    gamma: Optional[Tensor],
    beta: Optional[Tensor],
    epsilon: float,
) -> Tensor:
    """Return (x - mean) / sqrt(variance + epsilon) * gamma + beta, from an axis on."""
    count = len(sizes_of(x))
    axes = tuple(range(first_axis % count, count))
    mean = reduced(graph, "ReduceMean", x, axes, True)
    difference = graph.described(graph.node("Sub", x, mean), x.sizes, x.dtype)
    square = graph.described(graph.node("Mul", difference, difference), x.sizes, x.dtype)
    variance = reduced(graph, "ReduceMean", square, axes, True)
    root = graph.node("Sqrt", graph.node("Add", variance, constant(epsilon, x.dtype)))
    made = graph.node("Div", difference, root)
    if gamma is not None:
        made = graph.node("Mul", made, gamma)
    if beta is not None:
        made = graph.node("Add", made, beta)
    return graph.described(made, x.sizes, x.dtype)
