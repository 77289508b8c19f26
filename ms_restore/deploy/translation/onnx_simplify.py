"""The rewriting of an ONNX graph by rules, until none applies; the rules are in ``onnx_rules``.

Each rule looks at one node and what its inputs are made by. It gives the nodes to stand for it,
of which the last makes the same output; or the name of a tensor that is equal to its output; or
None, where it does not apply. What nobody needs any more is left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Callable, Optional, Union

from ms_restore.deploy.translation.onnx_nodes import Graph, Input, Node, SizeVector
from ms_restore.deploy.translation.sizes import Number, Size

Rewritten = Union[list[Node], str, None]


class View:
    """A graph's nodes by what they make, and how often each tensor is needed."""

    def __init__(self, graph: Graph, output: str) -> None:
        self._graph = graph
        self._makers: dict[str, Node] = {}
        self._uses = Counter([output])
        self._measured = {output}  # tensors that must stay: their sizes are asked for
        for node in graph.nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        """Take a node, new or old, into account."""
        self._makers.update(dict.fromkeys(node.outputs, node))
        for value in node.inputs:
            self._uses.update(_names(value))
            if isinstance(value, SizeVector):
                self._measured |= _names(value)

    def forget(self, node: Node) -> None:
        """Leave out a node, and those whose output nothing else takes."""
        left_out = [node]
        while left_out:
            for name in [name for value in left_out.pop().inputs for name in _names(value)]:
                self._uses[name] -= 1
                maker = self._makers.get(name)
                if maker is not None and not any(self._uses[made] for made in maker.outputs):
                    left_out.append(maker)

    def can_go(self, name: str) -> bool:
        """Tell whether a tensor may vanish: no output, and nothing asks for its sizes."""
        return name not in self._measured

    def uses(self, name: str) -> int:
        """Return how often a tensor is needed."""
        return self._uses[name]

    def maker(self, value: Input, *kinds: str) -> Optional[Node]:
        """Return the node that makes this input, if it is of one of these kinds."""
        node = self._makers.get(value) if isinstance(value, str) else None
        return node if node is not None and node.kind in kinds else None

    def own_maker(self, value: Input, *kinds: str) -> Optional[Node]:
        """Return the node that makes this input for this use alone, if it is of these kinds."""
        alone = isinstance(value, str) and self._uses[value] == 1
        return self.maker(value, *kinds) if alone else None

    def sizes(self, value: Input) -> Optional[tuple[Number, ...]]:
        """Return the sizes of a tensor, where they are known."""
        return self._graph.sizes.get(value) if isinstance(value, str) else None


Rule = Callable[[View, Node], Rewritten]


def simplify(graph: Graph, output: str, rules: tuple[Rule, ...]) -> None:
    """Rewrite the graph; ``output`` keeps its name."""
    changed = True
    while changed:
        graph.nodes = _needed(graph.nodes, output)
        changed = _round(graph, View(graph, output), rules)


def _needed(nodes: list[Node], output: str) -> list[Node]:
    """The nodes that the output is computed from."""
    needed, kept = {output}, []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            kept.append(node)
            needed |= {name for value in node.inputs for name in _names(value)}
    return kept[::-1]


def _round(graph: Graph, view: View, rules: tuple[Rule, ...]) -> bool:
    nodes: list[Node] = []
    equal: dict[Input, str] = {}
    changed = False
    for node in graph.nodes:
        if any(isinstance(value, str) and value in equal for value in node.inputs):
            renamed = [equal.get(v, v) if isinstance(v, str) else v for v in node.inputs]
            node = _replaced(view, node, [Node(node.kind, renamed, node.outputs, node.attributes)])
        new = next((new for rule in rules if (new := rule(view, node)) is not None), None)
        if isinstance(new, str):
            equal[node.outputs[0]] = new
        elif new is not None:
            _replaced(view, node, new)
            nodes += new
            changed = True
            continue
        changed = changed or new is not None
        nodes.append(node)
    graph.nodes = nodes
    return changed


def _replaced(view: View, node: Node, new: list[Node]) -> Node:
    for one in new:
        view.add(one)
    view.forget(node)
    return new[-1]


def _names(value: Input) -> set[str]:
    """The tensors that an input is, or whose sizes it is computed from."""
    if isinstance(value, SizeVector):
        sizes = [size for size in value.values if isinstance(size, Size)]
        return {extent.tensor for size in sizes for extent in size.extents()}
    return {value} if isinstance(value, str) else set()
