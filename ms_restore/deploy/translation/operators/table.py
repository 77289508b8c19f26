"""The table of operators: MindSpore's name of each, and the function that writes it as ONNX.

Such a function takes the graph to write to and the operator's inputs in MindSpore's order. Inputs
that this version of MindSpore has as attributes of the operator are passed by their names. It gives
a tensor, or a tuple of them, or a number.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Optional, Union

import numpy as np

from ms_restore.deploy.translation.onnx_nodes import DType, Graph, Tensor, constant
from ms_restore.deploy.translation.sizes import Number, Size

Write = Callable[..., Any]
Operand = Union[Tensor, int, float, bool]


class Unsupported(Exception):
    """Raised for a form of an operator that has no translation; the message says which form."""


@dataclasses.dataclass(frozen=True)
class Operator:
    """How an operator is written; ``elementwise``: its sizes are those of its broadcast inputs."""

    write: Write
    elementwise: bool = False


_TYPES: dict[int, type[np.generic]] = {  # MindSpore's numbers for them
    30: np.bool_,
    32: np.int8,
    33: np.int16,
    34: np.int32,
    35: np.int64,
    37: np.uint8,
    42: np.float16,
    43: np.float32,
    44: np.float64,
}


TABLE: dict[str, Operator] = {}


def operator(*kinds: str, elementwise: bool = False) -> Callable[[Write], Write]:
    """Register a function under MindSpore's names of the operators that it translates."""

    def enter(write: Write) -> Write:
        TABLE.update({kind: Operator(write, elementwise) for kind in kinds})
        return write

    return enter


def broadcast(tensors: list[Tensor]) -> Optional[tuple[Optional[Number], ...]]:
    """Return the sizes of tensors after broadcasting, None for one that is not known."""
    known = [tensor.sizes for tensor in tensors if tensor.sizes is not None]
    if len(known) < len(tensors) or not known:
        return None
    axes = max(map(len, known))
    padded = [(1,) * (axes - len(sizes)) + tuple(sizes) for sizes in known]
    return tuple(_widest(column) for column in zip(*padded))


def _widest(sizes: tuple[Number, ...]) -> Optional[Number]:
    wide = {size for size in sizes if size != 1}
    numbers = [size for size in wide if isinstance(size, int)]
    if numbers:
        return numbers[0]
    if len(wide) > 1:
        return None
    return wide.pop() if wide else 1


def sizes_of(tensor: Tensor) -> tuple[Number, ...]:
    """Return the tensor's sizes; Unsupported where not even their count is known."""
    if tensor.sizes is None:
        raise Unsupported("of a tensor of unknown rank")
    return tensor.sizes


def known(size: Number) -> int:
    """Return a size that does not depend on the image; Unsupported where it does."""
    if not isinstance(size, int):
        raise Unsupported("with a size that the image gives")
    return size


def vector_of(value: Any) -> tuple[Number, ...]:
    """Return the numbers of a tuple, or of a vector that is constant or made of sizes."""
    if not isinstance(value, Tensor):
        return tuple(value)
    if value.elements is not None:
        return value.elements
    if value.value is None:
        raise Unsupported("by numbers that are computed from the image")
    return tuple(value.value.ravel().tolist())


def tensor_of(value: Operand, dtype: DType = np.float32) -> Tensor:
    """Return a tensor, or a number as one."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Size):
        return Tensor("", (1,), np.int64, None, (value,))
    return constant(value, dtype)


def operands(graph: Graph, first: Operand, second: Operand) -> tuple[Tensor, Tensor]:
    """Return two operands as tensors of one dtype, as MindSpore promotes them."""
    if not isinstance(first, Tensor) and not isinstance(second, Tensor):
        return tensor_of(first), tensor_of(second)
    if not isinstance(first, Tensor):
        two, one = operands(graph, second, first)
        return one, two
    if not isinstance(second, Tensor):
        if isinstance(second, float) and first.dtype and not is_float(first.dtype):
            first = cast(graph, first, np.float32)
        return first, tensor_of(second, first.dtype or np.float32)
    common = _common(first.dtype, second.dtype)
    return cast(graph, first, common), cast(graph, second, common)


def is_float(dtype: DType) -> bool:
    """Tell whether a tensor holds floating-point numbers."""
    return dtype is not None and issubclass(dtype, np.floating)


def _common(first: DType, second: DType) -> DType:
    if first is None or second is None or first == second:
        return None
    if is_float(first) != is_float(second):
        return first if is_float(first) else second
    return np.promote_types(first, second).type


def cast(graph: Graph, x: Tensor, dtype: DType) -> Tensor:
    """Return the tensor in another dtype; itself where it has that already, or dtype is None."""
    if dtype is None or x.dtype == dtype:
        return x
    if x.value is not None:
        return constant(x.value.astype(dtype))
    from onnx import helper

    made = graph.node("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    return graph.described(made, x.sizes, dtype)


def type_of(dtype: Optional[int]) -> DType:
    """Return NumPy's dtype for MindSpore's number of it; None for None."""
    if dtype is not None and dtype not in _TYPES:
        raise Unsupported(f"to MindSpore's type {dtype}")
    return None if dtype is None else _TYPES[dtype]


def integers(values: Any) -> Tensor:
    """Return a constant vector of int64."""
    return constant(np.atleast_1d(np.asarray(values, np.int64)))


def whole(value: Any, count: int = 2) -> list[int]:
    """Return a number as a tuple of that length, or the last entries of a tuple."""
    if isinstance(value, (int, np.integer)):
        return [int(value)] * count
    values = [int(one) for one in value]
    return values * count if len(values) == 1 else values[-count:]
