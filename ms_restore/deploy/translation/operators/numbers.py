"""Tuples and numbers: what sizes are calculated with, and the branches that depend on them."""

from __future__ import annotations

from typing import Any, Callable

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor, of_sizes
from ms_restore.deploy.translation.operators.table import (
    Unsupported,
    cast,
    operator,
    sizes_of,
    tensor_of,
    type_of,
    vector_of,
)
from ms_restore.deploy.translation.sizes import Number, Size, compared, equal


@operator("MakeTuple", "MakeList")
def _tuple(graph: Graph, *values: Any) -> tuple[Any, ...]:
    return values


@operator("TupleGetItem", "ListGetItem", "RealTupleGetItem")
def _item(graph: Graph, values: tuple[Any, ...], index: int) -> Any:
    return values[index]


@operator("SequenceSlice")
def _slice(graph: Graph, values: tuple[Any, ...], first: int, last: int, step: int) -> Any:
    return values[first:last:step]


@operator("SequenceAdd")
def _joined(graph: Graph, first: tuple[Any, ...], second: tuple[Any, ...]) -> tuple[Any, ...]:
    return first + second


@operator("SequenceLen", "sequence_len")
def _count(graph: Graph, values: tuple[Any, ...]) -> int:
    return len(values)


@operator("Shape", "TensorShape")
def _shape(graph: Graph, x: Tensor) -> tuple[Number, ...]:
    return sizes_of(x)


@operator("TupleToTensor", "ScalarToTensor")
def _vector(graph: Graph, values: Any, dtype: Any = None) -> Tensor:
    sizes = values if isinstance(values, tuple) else (values,)
    if all(isinstance(value, (int, Size)) for value in sizes):
        return of_sizes(sizes)
    return tensor_of(values)


@operator("TensorToTuple")
def _elements(graph: Graph, x: Tensor) -> tuple[Number, ...]:
    return vector_of(x)


@operator("TensorToScalar")
def _element(graph: Graph, x: Tensor) -> Number:
    return _elements(graph, x)[0]


@operator("ScalarCast")
def _scalar_cast(graph: Graph, x: Any, dtype: int) -> Any:
    if isinstance(x, Size):
        return x
    return float(x) if dtype in (42, 43, 44) else int(x)


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "ScalarAdd": lambda x, y: x + y,
    "ScalarSub": lambda x, y: x - y,
    "ScalarMul": lambda x, y: x * y,
    "ScalarFloorDiv": lambda x, y: x // y,
    "ScalarMod": lambda x, y: x % y,
    "ScalarEq": lambda x, y: equal(x, y),
    "ScalarGe": lambda x, y: compared(x, y) >= 0,
    "ScalarGt": lambda x, y: compared(x, y) > 0,
    "ScalarLe": lambda x, y: compared(x, y) <= 0,
    "ScalarLt": lambda x, y: compared(x, y) < 0,
    "BoolAnd": lambda x, y: x and y,
    "BoolOr": lambda x, y: x or y,
    "BoolEq": lambda x, y: x == y,
    "is_": lambda x, y: x is y,
    "InSequence": lambda x, values: any(equal(x, value) for value in values),
}


def _arithmetic(kind: str) -> None:
    @operator(kind)
    def write(graph: Graph, x: Any, y: Any) -> Any:
        if isinstance(x, Tensor) or isinstance(y, Tensor):
            raise Unsupported("of tensors")
        if {float, Size} <= {type(x), type(y)}:
            raise Unsupported("of a size and a fraction")
        return _ARITHMETIC[kind](x, y)


for _kind in _ARITHMETIC:
    _arithmetic(_kind)


@operator("ScalarDiv")
def _scalar_quotient(graph: Graph, x: Any, y: Any) -> float:
    if isinstance(x, Size) or isinstance(y, Size):
        raise Unsupported("of an image's size")
    return x / y


@operator("ScalarUsub")
def _scalar_negative(graph: Graph, x: Any) -> Any:
    return -x


@operator("BoolNot")
def _not(graph: Graph, x: Any) -> bool:
    return not x


@operator("Switch")
def _switch(graph: Graph, condition: Any, then: Any, otherwise: Any) -> Any:
    if isinstance(condition, Tensor):
        if condition.value is None:
            raise Unsupported("on what an image holds")
        condition = bool(condition.value)
    return then if condition else otherwise


@operator("Identity", "StopGradient", "Dropout2D", "Contiguous", "Copy", "Clone", elementwise=True)
def _same(graph: Graph, x: Any) -> Any:
    return x


@operator("FillScalar", "FillV2")
def _filled(graph: Graph, size: Any, value: Any, dtype: int = 43) -> Tensor:
    sizes = vector_of(size)
    made = graph.node("Expand", tensor_of(value), of_sizes(sizes))
    return cast(graph, graph.described(made, sizes, tensor_of(value).dtype), type_of(dtype))


@operator("Zeros", "ZerosExt")
def _zeros(graph: Graph, size: Any, dtype: int = 43) -> Tensor:
    return _filled(graph, size, 0.0, dtype)


@operator("Ones", "OnesExt")
def _ones(graph: Graph, size: Any, dtype: int = 43) -> Tensor:
    return _filled(graph, size, 1.0, dtype)
