"""Operators on each number: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor, constant, of_sizes
from ms_restore.deploy.translation.operators.table import (
    Operand,
    Unsupported,
    cast,
    is_float,
    operands,
    operator,
    sizes_of,
    tensor_of,
    type_of,
)

_UNARY = {
    "Abs": "Abs",
    "ACos": "Acos",
    "Acosh": "Acosh",
    "Asin": "Asin",
    "Asinh": "Asinh",
    "Atan": "Atan",
    "Atanh": "Atanh",
    "Ceil": "Ceil",
    "Cos": "Cos",
    "Cosh": "Cosh",
    "Erf": "Erf",
    "Exp": "Exp",
    "Floor": "Floor",
    "HSwish": "HardSwish",
    "IsNan": "IsNaN",
    "LogicalNot": "Not",
    "Neg": "Neg",
    "ReLU": "Relu",
    "Reciprocal": "Reciprocal",
    "Sigmoid": "Sigmoid",
    "Sign": "Sign",
    "Sin": "Sin",
    "Sinh": "Sinh",
    "Softplus": "Softplus",
    "Softsign": "Softsign",
    "Sqrt": "Sqrt",
    "Tan": "Tan",
    "Tanh": "Tanh",
}
_BINARY = {
    "Add": "Add",
    "Div": "Div",
    "Divs": "Div",
    "EqScalar": "Equal",
    "Equal": "Equal",
    "EqualExt": "Equal",
    "Greater": "Greater",
    "GreaterEqual": "GreaterOrEqual",
    "GreaterEqualScalar": "GreaterOrEqual",
    "GreaterScalar": "Greater",
    "Less": "Less",
    "LessEqual": "LessOrEqual",
    "LessEqualScalar": "LessOrEqual",
    "LessScalar": "Less",
    "LogicalAnd": "And",
    "LogicalOr": "Or",
    "LogicalXor": "Xor",
    "Maximum": "Max",
    "Minimum": "Min",
    "Mul": "Mul",
    "Muls": "Mul",
    "Pow": "Pow",
    "PowScalarTensor": "Pow",
    "PowTensorScalar": "Pow",
    "RealDiv": "Div",
    "Sub": "Sub",
}


def _unary(kind: str) -> None:
    @operator(kind, elementwise=True)
    def write(graph: Graph, x: Tensor) -> Tensor:
        return graph.node(_UNARY[kind], x)


def _binary(kind: str) -> None:
    @operator(kind, elementwise=True)
    def write(graph: Graph, first: Operand, second: Operand) -> Tensor:
        elements = _whole_elements(_BINARY[kind], tensor_of(first), tensor_of(second))
        if elements is not None:
            return of_sizes(elements)
        one, two = operands(graph, first, second)
        if kind in ("Div", "Divs", "RealDiv") and not is_float(one.dtype or np.float32):
            one, two = cast(graph, one, np.float32), cast(graph, two, np.float32)
        return graph.node(_BINARY[kind], one, two)


for _kind in _UNARY:
    _unary(_kind)
for _kind in _BINARY:
    _binary(_kind)


def _whole_elements(kind: str, first: Tensor, second: Tensor) -> Optional[tuple[Any, ...]]:
    """The result for vectors of sizes, where it stays one of whole numbers."""
    if first.elements is None and second.elements is None:
        return None
    one, two = (_numbers(tensor) for tensor in (first, second))
    if one is None or two is None:
        return None
    count = max(len(one), len(two))
    one, two = (side * count if len(side) == 1 else side for side in (one, two))
    if kind == "Add":
        return tuple(a + b for a, b in zip(one, two))
    if kind == "Sub":
        return tuple(a - b for a, b in zip(one, two))
    if kind == "Mul":
        return tuple(a * b for a, b in zip(one, two))
    return None


def _numbers(tensor: Tensor) -> Optional[tuple[Any, ...]]:
    if tensor.elements is not None:
        return tensor.elements
    if tensor.value is None or (tensor.value != np.floor(tensor.value)).any():
        return None
    return tuple(int(value) for value in tensor.value.ravel())


@operator("AddExt", "AddScalar", elementwise=True)
def _add(graph: Graph, x: Operand, y: Operand, alpha: float = 1) -> Tensor:
    return _scaled_sum(graph, "Add", x, y, alpha)


@operator("SubExt", "SubScalar", elementwise=True)
def _subtract(graph: Graph, x: Operand, y: Operand, alpha: float = 1) -> Tensor:
    return _scaled_sum(graph, "Sub", x, y, alpha)


def _scaled_sum(graph: Graph, kind: str, x: Operand, y: Operand, alpha: float) -> Tensor:
    one, two = operands(graph, x, y)
    if alpha != 1:
        two = graph.node("Mul", two, tensor_of(alpha, two.dtype or np.float32))
    return graph.node(kind, one, two)


@operator("NotEqual", "NeScalar", elementwise=True)
def _not_equal(graph: Graph, x: Operand, y: Operand) -> Tensor:
    return graph.node("Not", graph.node("Equal", *operands(graph, x, y)))


@operator("Square", elementwise=True)
def _square(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Mul", x, x)


@operator("Rsqrt", elementwise=True)
def _inverse_root(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Reciprocal", graph.node("Sqrt", x))


@operator("Log1p", elementwise=True)
def _log_of_more(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Log", graph.node("Add", x, tensor_of(1, x.dtype)))


@operator("Expm1", elementwise=True)
def _exp_less_one(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Sub", graph.node("Exp", x), tensor_of(1, x.dtype))


@operator("Log", elementwise=True)
def _log(
    graph: Graph, x: Tensor, base: float = -1.0, scale: float = 1.0, shift: float = 0.0
) -> Tensor:
    if (base, scale, shift) != (-1.0, 1.0, 0.0):
        raise Unsupported("with a base, scale or shift")
    return graph.node("Log", x)


@operator("FloorDiv", "FloorDivScalar", elementwise=True)
def _floor_quotient(graph: Graph, x: Operand, y: Operand) -> Tensor:
    one, two = operands(graph, x, y)
    if is_float(one.dtype or two.dtype):
        return graph.node("Floor", graph.node("Div", one, two))
    return graph.node("Div", graph.node("Sub", one, graph.node("Mod", one, two)), two)


@operator("TruncateDiv", elementwise=True)
def _whole_quotient(graph: Graph, x: Operand, y: Operand) -> Tensor:
    first, second = tensor_of(x), tensor_of(y)
    if first.elements is not None and second.value is not None and (second.value == 1).all():
        return first
    one, two = operands(graph, x, y)
    quotient = graph.node("Div", one, two)
    return _truncated(graph, quotient) if is_float(one.dtype or two.dtype) else quotient


@operator("Trunc", elementwise=True)
def _truncated(graph: Graph, x: Tensor) -> Tensor:
    size = graph.node("Floor", graph.node("Abs", x))
    return graph.node("Mul", graph.node("Sign", x), size)


@operator("Lerp", "LerpScalar", elementwise=True)
def _between(graph: Graph, x: Tensor, y: Tensor, weight: Operand) -> Tensor:
    _, share = operands(graph, x, weight)
    return graph.node("Add", x, graph.node("Mul", graph.node("Sub", y, x), share))


@operator(
    "FloorMod",
    "RemainderTensorScalar",
    "RemainderTensorTensor",
    "RemainderScalarTensor",
    elementwise=True,
)
def _remainder(graph: Graph, x: Operand, y: Operand) -> Tensor:
    one, two = operands(graph, x, y)
    if not is_float(one.dtype or two.dtype):
        return graph.node("Mod", one, two)
    whole = graph.node("Mul", graph.node("Floor", graph.node("Div", one, two)), two)
    return graph.node("Sub", one, whole)


@operator("Round", elementwise=True)
def _round(graph: Graph, x: Tensor, decimals: int = 0) -> Tensor:
    if decimals:
        raise Unsupported("to decimals")
    return graph.node("Round", x)


@operator("ClampScalar", "ClampTensor", "Hardtanh", elementwise=True)
def _clamp(
    graph: Graph, x: Tensor, low: Optional[Operand] = None, high: Optional[Operand] = None
) -> Tensor:
    if low is not None:
        x = graph.node("Max", *operands(graph, x, low))
    if high is not None:
        x = graph.node("Min", *operands(graph, x, high))
    return x


@operator("Select", "SelectV2", elementwise=True)
def _select(graph: Graph, condition: Tensor, x: Operand, y: Operand) -> Tensor:
    one, two = operands(graph, x, y)
    return graph.node("Where", condition, one, two)


@operator("MaskedFill", "MaskedFillScalar", elementwise=True)
def _masked_fill(graph: Graph, x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    _, filling = operands(graph, x, value)
    return graph.node("Where", mask, filling, x)


@operator("ZerosLike", "ZerosLikeExt", elementwise=True)
def _zeros(graph: Graph, x: Tensor, dtype: Optional[int] = None) -> Tensor:
    return graph.node("Mul", _typed(graph, x, dtype), constant(0, type_of(dtype) or x.dtype))


@operator("OnesLike", "OnesLikeExt", elementwise=True)
def _ones(graph: Graph, x: Tensor, dtype: Optional[int] = None) -> Tensor:
    numbers = type_of(dtype) or x.dtype
    return graph.node("Add", _zeros(graph, x, dtype), constant(1, numbers))


def _typed(graph: Graph, x: Tensor, dtype: Optional[int]) -> Tensor:
    return cast(graph, x, type_of(dtype))


@operator("Cast", elementwise=True)
def _cast(graph: Graph, x: Operand, dtype: int) -> Tensor:
    tensor = tensor_of(x)
    if tensor.elements is not None and dtype in (34, 35):
        return tensor
    return _typed(graph, tensor, dtype)


@operator("ReLU6", elementwise=True)
def _relu6(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Clip", x, tensor_of(0.0, x.dtype), tensor_of(6.0, x.dtype))


@operator("HSigmoid", elementwise=True)
def _hard_sigmoid(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@operator("SiLU", elementwise=True)
def _silu(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


@operator("Mish", "MishExt", elementwise=True)
def _mish(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Mul", x, graph.node("Tanh", graph.node("Softplus", x)))


@operator("Elu", "EluExt", elementwise=True)
def _elu(graph: Graph, x: Tensor, alpha: float = 1.0) -> Tensor:
    return graph.node("Elu", x, alpha=float(alpha))


@operator("CeLU", elementwise=True)
def _celu(graph: Graph, x: Tensor, alpha: float = 1.0) -> Tensor:
    return graph.node("Celu", x, alpha=float(alpha))


@operator("SeLU", "SeLUExt", elementwise=True)
def _selu(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("Selu", x)


@operator("LeakyReLUExt", elementwise=True)
def _leaky_relu(graph: Graph, x: Tensor, negative_slope: float = 0.01) -> Tensor:
    return graph.node("LeakyRelu", x, alpha=float(negative_slope))


@operator("SoftplusExt", elementwise=True)
def _softplus(graph: Graph, x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    scaled = graph.node("Mul", x, tensor_of(beta, x.dtype))
    soft = graph.node("Div", graph.node("Softplus", scaled), tensor_of(beta, x.dtype))
    large = graph.node("Greater", scaled, tensor_of(threshold, x.dtype))
    return graph.node("Where", large, x, soft)


@operator("PReLU")
def _prelu(graph: Graph, x: Tensor, weight: Tensor) -> Tensor:
    """Its slopes are for the second axis."""
    shape = [-1, *[1] * (len(sizes_of(x)) - 2)]
    made = graph.node("PRelu", x, graph.node("Reshape", weight, constant(shape, np.int64)))
    return graph.described(made, x.sizes, x.dtype)


@operator("GeLU", elementwise=True)
def _gelu_by_tanh(graph: Graph, x: Tensor) -> Tensor:
    cube = graph.node("Mul", graph.node("Mul", x, x), x)
    inner = graph.node("Add", x, graph.node("Mul", cube, tensor_of(0.044715, x.dtype)))
    inner = graph.node("Mul", inner, tensor_of((2 / np.pi) ** 0.5, x.dtype))
    return _half(graph, x, graph.node("Tanh", inner))


@operator("GeluExt", elementwise=True)
def _gelu(graph: Graph, x: Tensor, approximate: int = 0) -> Tensor:
    if approximate:
        return _gelu_by_tanh(graph, x)
    return _half(graph, x, graph.node("Erf", graph.node("Div", x, tensor_of(2**0.5, x.dtype))))


def _half(graph: Graph, x: Tensor, weight: Tensor) -> Tensor:
    """Return x (1 + weight) / 2."""
    product = graph.node("Mul", x, graph.node("Add", weight, tensor_of(1.0, x.dtype)))
    return graph.node("Mul", product, tensor_of(0.5, x.dtype))
