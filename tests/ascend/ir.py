"""The graphs that MindSpore dumps, as lists of operators that tests ask questions of."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

_NODE = re.compile(r"^ +%(\d+)\([^=]*?\) = (.*)$")
_OPERATOR = re.compile(r"^(?:PrimFunc_|S_Prim_)?(\w+)\((.*)$")
_STRUCTURE = {  # what says in which order things are computed; no kernels
    *("MakeTuple", "TupleGetItem", "Load", "UpdateState", "Depend", "Return", "Partial", "Switch"),
    *("call", "make_tuple", "getattr", "Call"),
}
_HOST = {"PyFunc", "PyExecute", "PyInterpret", "Print", "TensorDump", "HookBackward", "Custom"}
_HOST |= {"CellBackwardHook", "TensorSummary", "ScalarSummary", "ImageSummary"}


@dataclasses.dataclass(frozen=True)
class Operator:
    """A line of a graph: ``types`` are those of its inputs and its outputs, ``place`` its cell."""

    number: int
    name: str
    arguments: str
    types: tuple[str, str]
    place: str


class Graph:
    """A compiled graph with its subgraphs, as dumped after the passes of the front end."""

    def __init__(self, path: Path) -> None:
        self.subgraphs: list[list[Operator]] = []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines):
            if line.startswith("subgraph @"):
                self.subgraphs.append([])
            node = _NODE.match(line)
            found = node and _OPERATOR.match(node[2])
            if not found:
                continue
            types = lines[number + 1].strip(" :") if number + 1 < len(lines) else ""
            place = next((row for row in lines[number + 2 : number + 4] if "scope" in row), "")
            given, _, made = types.partition(") -> (")
            operator = Operator(int(node[1]), found[1], found[2], (given, made), place)
            self.subgraphs[-1].append(operator)
        self.operators = [operator for graph in self.subgraphs for operator in graph]

    def named(self, *names: str) -> list[Operator]:
        return [operator for operator in self.operators if operator.name in names]

    def names(self) -> set[str]:
        """The operators that need kernels."""
        return {operator.name for operator in self.operators} - _STRUCTURE

    def on_the_host(self) -> set[str]:
        """Operators that call Python, or run on the CPU beside the Ascend."""
        beside = {o.name for o in self.operators if 'primitive_target: "CPU"' in o.arguments}
        return (self.names() & _HOST) | beside

    def types(self, *names: str) -> set[str]:
        """The number types that go into and come out of operators of these names."""
        text = " ".join(part for operator in self.named(*names) for part in operator.types)
        return set(re.findall(r"Tensor\[(\w+)\]", text))

    def all_types(self) -> set[str]:
        return self.types(*self.names())

    def agreed_on(self, check: str) -> bool:
        """Whether what decides on the update depends on an all-reduce of that check's result."""
        for graph in self.subgraphs:
            by_number = {operator.number: operator for operator in graph}
            for switch in (operator for operator in graph if operator.name == "Switch"):
                condition = re.match(r"%(\d+)", switch.arguments)
                above = _above(by_number, int(condition[1])) if condition else []
                for reduced in (o for o in above if o.name == "AllReduce"):
                    if any(o.name == check for o in _above(by_number, reduced.number)):
                        return True
        return False

    def depends(self, operator: Operator, name: str) -> bool:
        """Whether what an operator computes comes after one of that name."""
        graph = next(graph for graph in self.subgraphs if operator in graph)
        by_number = {other.number: other for other in graph}
        return any(other.name == name for other in _above(by_number, operator.number))

    def order(self, *names: str) -> list[str]:
        """The operators of these names, as they stand one below the other."""
        return [operator.name for operator in self.named(*names)]


def _above(by_number: dict[int, Operator], number: int) -> list[Operator]:
    """The operators on which one depends, itself included."""
    seen: set[int] = set()
    waiting = [number]
    while waiting:
        present = waiting.pop()
        if present in seen or present not in by_number:
            continue
        seen.add(present)
        inputs = (
            by_number[present].arguments.split(") primitive_attrs")[0].split(") cnode_attrs")[0]
        )
        waiting += [int(found) for found in re.findall(r"%(\d+)\b(?!_)", inputs)]
    return [by_number[found] for found in seen]
