"""Products of matrices, and operators along axes: sums, means, maxima, softmax."""

from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor, constant
from ms_restore.deploy.translation.operators.table import (
    Unsupported,
    integers,
    operator,
    sizes_of,
    tensor_of,
)
from ms_restore.deploy.translation.sizes import Number, product_of

Axes = Union[int, tuple[int, ...], Tensor, None]


@operator("MatMulExt", "BatchMatMulExt", "Mm")
def _product(graph: Graph, x: Tensor, y: Tensor) -> Tensor:
    return _product_of_sizes(graph.node("MatMul", x, y), x, y)


@operator("MatMul", "BatchMatMul")
def _turned_product(
    graph: Graph, x: Tensor, y: Tensor, transpose_a: bool = False, transpose_b: bool = False
) -> Tensor:
    x = transposed(graph, x) if transpose_a else x
    y = transposed(graph, y) if transpose_b else y
    return _product_of_sizes(graph.node("MatMul", x, y), x, y)


def transposed(graph: Graph, x: Tensor) -> Tensor:
    """Return a tensor with its last two axes exchanged."""
    sizes = sizes_of(x)
    order = [*range(len(sizes) - 2), len(sizes) - 1, len(sizes) - 2]
    made = graph.node("Transpose", x, perm=order)
    return graph.described(made, tuple(sizes[axis] for axis in order), x.dtype)


def _product_of_sizes(made: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """With its sizes, where the products are one by one or with a single matrix."""
    if made.value is not None or x.sizes is None or y.sizes is None or len(x.sizes) < 2:
        return made
    if len(y.sizes) == 2 or (len(y.sizes) == len(x.sizes) and y.sizes[:-2] == x.sizes[:-2]):
        return Tensor(made.name, (*x.sizes[:-1], y.sizes[-1]), x.dtype)
    if len(x.sizes) == 2 and len(y.sizes) > 2:
        return Tensor(made.name, (*y.sizes[:-2], x.sizes[0], y.sizes[-1]), x.dtype)
    return made


@operator("Dense")
def _dense(graph: Graph, x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    made = _turned_product(graph, x, weight, False, True)
    if bias is None:
        return made
    return Tensor(graph.node("Add", made, bias).name, made.sizes, x.dtype)


def axes_of(axes: Axes, count: int) -> list[int]:
    """Return axes as positive numbers; all of them where none are given."""
    if isinstance(axes, Tensor):
        axes = tuple(np.atleast_1d(axes.value).tolist()) if axes.value is not None else None
    if axes is None or axes == ():
        return list(range(count))
    return [axis % count for axis in ([axes] if isinstance(axes, int) else axes)]


def reduced(graph: Graph, kind: str, x: Tensor, axes: Axes, keep: bool) -> Tensor:
    """Return a sum, mean, maximum or minimum along axes."""
    sizes = sizes_of(x)
    along = axes_of(axes, len(sizes))
    if kind == "ReduceSum":  # alone has the axes as an input in opset 15
        made = graph.node(kind, x, integers(along), keepdims=int(keep))
    else:
        made = graph.node(kind, x, axes=along, keepdims=int(keep))
    left: list[Number] = [
        1 if axis in along else size for axis, size in enumerate(sizes) if keep or axis not in along
    ]
    return graph.described(made, tuple(left), x.dtype)


_REDUCTIONS = {
    "ReduceMean": "ReduceMean",
    "ReduceSum": "ReduceSum",
    "ReduceMax": "ReduceMax",
    "ReduceMin": "ReduceMin",
    "ReduceProd": "ReduceProd",
    "MeanExt": "ReduceMean",
    "SumExt": "ReduceSum",
    "ProdExt": "ReduceProd",
}


def _reduction(kind: str) -> None:
    @operator(kind)
    def write(
        graph: Graph, x: Tensor, axis: Axes = None, keep_dims: bool = False, last: Any = None
    ) -> Tensor:
        """Write a reduction; ``last`` is a dtype, or whether nothing is done without axes."""
        if last not in (None, False, 43):
            raise Unsupported("with a type")
        return reduced(graph, _REDUCTIONS[kind], x, axis, keep_dims)


for _kind in _REDUCTIONS:
    _reduction(_kind)


@operator("CumSum")
def _cumulative(
    graph: Graph, x: Tensor, axis: Axes = 0, exclusive: bool = False, reverse: bool = False
) -> Tensor:
    (along,) = axes_of(axis, len(sizes_of(x)))
    made = graph.node(
        "CumSum", x, constant(along, np.int64), exclusive=int(exclusive), reverse=int(reverse)
    )
    return graph.described(made, x.sizes, x.dtype)


@operator("CumsumExt")
def _cumulative_of_mint(graph: Graph, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    if dtype is not None:
        raise Unsupported("with a type")
    return _cumulative(graph, x, dim)


@operator("Max")
def _largest(graph: Graph, x: Tensor) -> Tensor:
    return reduced(graph, "ReduceMax", x, None, False)


@operator("Min")
def _smallest(graph: Graph, x: Tensor) -> Tensor:
    return reduced(graph, "ReduceMin", x, None, False)


def _extreme_with_index(kind: str, reduction: str, search: str, value_first: bool) -> None:
    @operator(kind)
    def write(
        graph: Graph, x: Tensor, axis: int = 0, keep_dims: bool = False
    ) -> tuple[Tensor, Tensor]:
        value = reduced(graph, reduction, x, axis, keep_dims)
        index = graph.node(search, x, axis=axis, keepdims=int(keep_dims))
        return (value, index) if value_first else (index, value)


_extreme_with_index("ArgMaxWithValue", "ReduceMax", "ArgMax", False)
_extreme_with_index("ArgMinWithValue", "ReduceMin", "ArgMin", False)
_extreme_with_index("MaxDim", "ReduceMax", "ArgMax", True)
_extreme_with_index("MinDim", "ReduceMin", "ArgMin", True)


@operator("Var")
def _variance(
    graph: Graph, x: Tensor, axes: Axes = None, correction: int = 1, keep: bool = False
) -> Tensor:
    along = axes_of(axes, len(sizes_of(x)))
    mean = reduced(graph, "ReduceMean", x, axes, True)
    difference = graph.described(graph.node("Sub", x, mean), x.sizes, x.dtype)
    square = graph.node("Mul", difference, difference)
    square = graph.described(square, x.sizes, x.dtype)
    if not correction:
        return reduced(graph, "ReduceMean", square, axes, keep)
    count = product_of(tuple(sizes_of(x)[axis] for axis in along))
    if not isinstance(count, int):
        raise Unsupported("with a correction, of a size that the image gives")
    total = reduced(graph, "ReduceSum", square, axes, keep)
    made = graph.node("Div", total, tensor_of(float(count - correction), x.dtype))
    return graph.described(made, total.sizes, x.dtype)


@operator("Std")
def _deviation(
    graph: Graph, x: Tensor, axes: Axes = None, correction: int = 1, keep: bool = False
) -> Tensor:
    variance = _variance(graph, x, axes, correction, keep)
    return graph.described(graph.node("Sqrt", variance), variance.sizes, x.dtype)


@operator("ReduceStd")
def _deviation_and_mean(
    graph: Graph, x: Tensor, axes: Axes = None, unbiased: bool = True, keep: bool = False
) -> tuple[Tensor, Tensor]:
    deviation = _deviation(graph, x, axes, int(unbiased), keep)
    return deviation, reduced(graph, "ReduceMean", x, axes, keep)


@operator("L2Normalize")
def _normalised(graph: Graph, x: Tensor, axis: Axes = 0, epsilon: float = 1e-4) -> Tensor:
    square = graph.described(graph.node("Mul", x, x), x.sizes, x.dtype)
    total = reduced(graph, "ReduceSum", square, axis, True)
    length = graph.node("Sqrt", graph.node("Max", total, tensor_of(epsilon, x.dtype)))
    return graph.described(graph.node("Div", x, length), x.sizes, x.dtype)


@operator("Norm", "LinalgVectorNorm")
def _norm(
    graph: Graph, x: Tensor, p: float = 2.0, axes: Axes = None, keep: bool = False, _: Any = None
) -> Tensor:
    if p not in (1, 2):
        raise Unsupported(f"of order {p}")
    sizes = sizes_of(x)
    along = axes_of(axes, len(sizes))
    made = graph.node(f"ReduceL{int(p)}", x, axes=along, keepdims=int(keep))
    return made


@operator("Softmax")
def _softmax(graph: Graph, x: Tensor, axis: Union[int, tuple[int, ...]] = -1) -> Tensor:
    return _along_one("Softmax", graph, x, axis)


@operator("LogSoftmax", "LogSoftmaxExt")
def _log_softmax(
    graph: Graph, x: Tensor, axis: Union[int, tuple[int, ...]] = -1, _: Any = None
) -> Tensor:
    return _along_one("LogSoftmax", graph, x, axis)


def _along_one(kind: str, graph: Graph, x: Tensor, axis: Union[int, tuple[int, ...]]) -> Tensor:
    if isinstance(axis, tuple):
        if len(axis) != 1:
            raise Unsupported("along several axes")
        axis = axis[0]
    return graph.described(graph.node(kind, x, axis=axis), x.sizes, x.dtype)
