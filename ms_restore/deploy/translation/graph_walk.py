"""The walk over MindSpore's graph of a network that writes ONNX's, operator by operator.

Tuples, sizes and what branches on them are resolved here, so that only operators on tensors remain.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import ChainMap
from collections.abc import Iterable, MutableMapping
from typing import Any, Optional

import numpy as np

from ms_restore.deploy.translation import mindir_graph, onnx_nodes
from ms_restore.deploy.translation.mindir_graph import EFFECT, Abstract, Program, Result
from ms_restore.deploy.translation.onnx_nodes import Graph, Tensor
from ms_restore.deploy.translation.operators import TABLE, Operator, Unsupported, broadcast
from ms_restore.deploy.translation.sizes import Undecided

Value = Any  # a Tensor, a number or Size, a word, None, a Closure, a tuple of these, or MISSING


@dataclasses.dataclass(frozen=True)
class Closure:
    """A graph with its first inputs."""

    graph: str
    arguments: tuple[Value, ...]


# What functions of the table raise for inputs that they do not know: another version of MindSpore
# may have more of them, or a tensor where a number is expected.
_UNEXPECTED = (TypeError, ValueError, IndexError, AttributeError)


class _Missing:
    """What an operator without translation would give."""


MISSING = _Missing()


class Translation:
    """The values of a network's nodes, and the operators found that have no translation."""

    def __init__(self, program: Program) -> None:
        self.graph = Graph()
        self.missing: list[str] = []
        self._program = program
        self._constants = {name: _constant(value) for name, value in program.constants.items()}

    def run(self, *inputs: Tensor) -> Value:
        """Return what the network gives for these inputs."""
        return self._called(self._program.main, inputs, ChainMap(self._constants))

    def _called(
        self,
        graph: mindir_graph.Graph,
        arguments: Iterable[Value],
        scope: MutableMapping[str, Value],
    ) -> Value:
        values = ChainMap({}, scope)
        values.update(zip(graph.inputs, arguments))
        needed = _needed(graph)
        for node in graph.nodes:
            if node.output in needed:
                values[node.output] = self._value(node, values)
        results = tuple(self._read(name, values) for name in graph.outputs)
        return results[0] if len(results) == 1 else results

    def _read(self, name: str, values: MutableMapping[str, Value]) -> Value:
        return Closure(name, ()) if name in self._program.graphs else values[name]

    def _value(self, node: mindir_graph.Node, values: MutableMapping[str, Value]) -> Value:
        if node.kind in ("Load", "Depend"):
            return self._read(node.inputs[0], values)
        if node.kind == "UpdateState":
            return EFFECT
        arguments = [self._read(name, values) for name in node.inputs]
        arguments = [argument for argument in arguments if argument is not EFFECT]
        if node.calls:
            closure = self._read(node.kind, values)
            if closure is MISSING:
                return MISSING
            inputs = (*closure.arguments, *arguments)
            return self._called(self._program.graphs[closure.graph], inputs, values)
        if node.kind == "Partial":
            function = arguments[0]
            return Closure(function.graph, (*function.arguments, *arguments[1:]))
        if node.kind not in TABLE:
            return self._lacking(node.kind)
        if _holds_missing(arguments):
            return MISSING
        try:
            return self._translated(TABLE[node.kind], node, arguments)
        except Unsupported as error:
            return self._lacking(f"{node.kind} ({error})" if str(error) else node.kind)
        except Undecided:
            return self._lacking(f"{node.kind} (its answer depends on the image's size)")

    def _lacking(self, what: str) -> Value:
        if what not in self.missing:
            self.missing.append(what)
        return MISSING

    def _translated(
        self, operator: Operator, node: mindir_graph.Node, arguments: list[Value]
    ) -> Value:
        names = list(inspect.signature(operator.write).parameters)[1 + len(arguments) :]
        named = {name: node.attributes[name] for name in names if name in node.attributes}
        try:
            made = operator.write(self.graph, *arguments, **named)
        except _UNEXPECTED:
            raise Unsupported("of this form") from None
        sizes = None
        if operator.elementwise:
            sizes = broadcast(_tensors(arguments))
        return self._described(made, node.result, sizes)

    def _described(self, made: Value, result: Result, sizes: Optional[tuple[Any, ...]]) -> Value:
        if isinstance(made, tuple) and isinstance(result, tuple):
            return tuple(self._described(one, known, None) for one, known in zip(made, result))
        if not isinstance(made, Tensor):
            return made
        known = result if isinstance(result, Abstract) else Abstract(None, None)
        if known.sizes is not None:
            static = [None if size < 0 else size for size in known.sizes]
            best = made.sizes or sizes or static
            if len(best) == len(static):
                static = [old if old is not None else new for old, new in zip(static, best)]
                best = static
            sizes = tuple(best)
        return self.graph.described(made, made.sizes or sizes, known.dtype or made.dtype)


def _needed(graph: mindir_graph.Graph) -> set[str]:
    """The names that its outputs are computed from, without what only keeps an order."""
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.output in needed:
            count = {"UpdateState": 0, "Load": 1, "Depend": 1}.get(node.kind, len(node.inputs))
            needed |= set(node.inputs[:count])
            if node.calls:
                needed.add(node.kind)
    return needed


def _constant(value: Any) -> Value:
    return onnx_nodes.constant(value) if isinstance(value, np.ndarray) else value


def _holds_missing(value: Value) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_missing(one) for one in value)
    return value is MISSING


def _tensors(arguments: list[Value]) -> list[Tensor]:
    return [value for value in arguments if isinstance(value, Tensor)]
