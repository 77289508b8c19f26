"""The nodes of an ONNX graph while it is made: simpler to look at and to change than onnx's own.

What an operator gives is a ``Tensor``. Its sizes may be expressions of the image's sizes, see
``sizes``; a vector of such sizes, as Reshape takes it, becomes nodes at last, in
``initialisers_and_nodes``. What is computed from constants alone is computed at once.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Optional, Union

import numpy as np

from ms_restore.deploy.translation.sizes import Extent, Number, Quotient, Size, extent, least

DType = Optional[type[np.generic]]


@dataclasses.dataclass(frozen=True)
class SizeVector:
    """A vector of int64 numbers of which some depend on the image."""

    values: tuple[Number, ...]


Input = Union[str, np.ndarray, SizeVector]  # a tensor's name ("" is none), a constant, sizes


@dataclasses.dataclass(eq=False)
class Node:
    """One operator; its kind and attributes are those of ONNX."""

    kind: str
    inputs: list[Input]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor by its name, with what is known of it.

    ``sizes`` None: not known yet. ``value``: of a constant. ``elements``: the numbers of a vector
    of sizes.
    """

    name: str
    sizes: Optional[tuple[Number, ...]] = None
    dtype: DType = None
    value: Optional[np.ndarray] = None
    elements: Optional[tuple[Number, ...]] = None


def constant(value: Any, dtype: DType = None) -> Tensor:
    """Return a constant tensor."""
    array = np.asarray(value, dtype)
    return Tensor("", array.shape, array.dtype.type, array)


def of_sizes(values: tuple[Number, ...]) -> Tensor:
    """Return a vector of sizes as a tensor, a constant where they are known."""
    if all(isinstance(value, (int, np.integer)) for value in values):
        return dataclasses.replace(constant(values, np.int64), elements=values)
    return Tensor("", (len(values),), np.int64, None, values)


class Graph:
    """Nodes in the order of computation, and the sizes of what they give."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.sizes: dict[str, tuple[Number, ...]] = {}
        self._count = 0

    def name(self) -> str:
        """Return a name that no tensor has."""
        self._count += 1
        return f"t{self._count}"

    def node(self, kind: str, *inputs: Optional[Tensor], **attributes: Any) -> Tensor:
        """Add an operator of one output; its constant inputs may make it a constant."""
        given = [_input(tensor) for tensor in inputs]
        if all(isinstance(value, np.ndarray) for value in given):
            return constant(_computed(kind, given, attributes))
        return self._added(kind, given, attributes, 1)[0]

    def nodes_of(
        self, kind: str, count: int, *inputs: Optional[Tensor], **attributes: Any
    ) -> tuple[Tensor, ...]:
        """Add an operator of several outputs."""
        return self._added(kind, [_input(tensor) for tensor in inputs], attributes, count)

    def _added(
        self, kind: str, given: list[Input], attributes: dict[str, Any], count: int
    ) -> tuple[Tensor, ...]:
        names = [self.name() for _ in range(count)]
        self.nodes.append(Node(kind, given, names, attributes))
        return tuple(Tensor(name) for name in names)

    def described(
        self, tensor: Tensor, sizes: Optional[tuple[Optional[Number], ...]], dtype: DType
    ) -> Tensor:
        """Return the tensor with its sizes, each None replaced by a new unknown."""
        if tensor.value is not None or tensor.elements is not None or sizes is None:
            return dataclasses.replace(tensor, dtype=tensor.dtype or dtype)
        known = tuple(
            extent(tensor.name, axis) if size is None else size for axis, size in enumerate(sizes)
        )
        self.sizes.setdefault(tensor.name, known)
        return dataclasses.replace(tensor, sizes=known, dtype=dtype)


def _input(tensor: Optional[Tensor]) -> Input:
    if tensor is None:
        return ""
    if tensor.value is not None:
        return tensor.value
    if tensor.elements is not None:
        return SizeVector(tensor.elements)
    return tensor.name


def _computed(kind: str, inputs: list[Input], attributes: dict[str, Any]) -> np.ndarray:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = [f"i{index}" for index in range(len(inputs))]
    node = helper.make_node(kind, names, ["o"], **attributes)
    evaluator = ReferenceEvaluator(node)
    return np.asarray(evaluator.run(None, dict(zip(names, inputs)))[0])


class Lowering:
    """Turns a graph's nodes into named initialisers and nodes of ONNX."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self._constants: dict[Any, str] = {}
        self._computed: dict[Any, str] = {}  # by what they are: sizes that several nodes need

    def add(self, node: Node) -> None:
        """Append a node, behind the nodes that make its constants and sizes."""
        from onnx import helper

        inputs = [self._named(value) for value in node.inputs]
        self.nodes.append(helper.make_node(node.kind, inputs, node.outputs, **node.attributes))

    def _named(self, value: Input) -> str:
        if isinstance(value, SizeVector):
            return self._vector(value.values)
        return self._constant(value) if isinstance(value, np.ndarray) else value

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        small = array.size <= 64
        key = (array.dtype.str, array.shape, array.tobytes()) if small else id(array)
        if key not in self._constants:
            self._constants[key] = f"w{len(self.initialisers)}"
            tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
            tensor.name = self._constants[key]
            self.initialisers.append(tensor)
        return self._constants[key]

    def _operator(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        key = (kind, inputs, tuple(attributes.items()))
        if key not in self._computed:
            self._computed[key] = f"s{len(self._computed)}"
            node = helper.make_node(kind, list(inputs), [self._computed[key]], **attributes)
            self.nodes.append(node)
        return self._computed[key]

    def _vector(self, values: tuple[Number, ...]) -> str:
        parts: list[Union[list[int], Size]] = []  # known numbers in a row are one constant
        for value in values:
            if isinstance(value, Size):
                parts.append(value)
            elif parts and isinstance(parts[-1], list):
                parts[-1].append(int(value))
            else:
                parts.append([int(value)])
        names = [
            self._size(part) if isinstance(part, Size) else self._constant(np.array(part, np.int64))
            for part in parts
        ]
        return names[0] if len(names) == 1 else self._operator("Concat", *names, axis=0)

    def _size(self, size: Size) -> str:
        """A vector of one entry."""
        total = ""
        for product, count in sorted(size.terms, key=lambda term: term[1] < 0):
            factors = [self._factor(factor) for factor in product]
            if abs(count) != 1 or not factors:
                factors.append(self._constant(np.array([abs(count)], np.int64)))
            term = factors[0]
            for factor in factors[1:]:
                term = self._operator("Mul", term, factor)
            if count < 0:
                total = self._operator("Sub", total, term) if total else self._operator("Neg", term)
            else:
                total = self._operator("Add", total, term) if total else term
        return total

    def _factor(self, factor: Union[Extent, Quotient]) -> str:
        if isinstance(factor, Extent):
            shape = self._operator("Shape", factor.tensor)
            axis = self._constant(np.array([factor.axis], np.int64))
            return self._operator("Gather", shape, axis, axis=0)
        size = self._vector((factor.size,))
        divisor = self._constant(np.array([factor.divisor], np.int64))
        lower = least(factor.size)
        if lower is None or lower < 0:  # Div rounds negative numbers up
            size = self._operator("Sub", size, self._operator("Mod", size, divisor))
        return self._operator("Div", size, divisor)
