"""A network as the plain graph that MindSpore exports: its operators, and their constants.

MINDIR is a protocol buffer; here it becomes nodes whose attributes and constants are Python's and
NumPy's own.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, Optional, Union

import mindspore as ms
import numpy as np
from mindspore import nn

from ms_restore.contracts import Geometry
from ms_restore.errors import InputError
from ms_restore.inference.any_size import AnySize, placeholder

Plain = Any  # None, bool, int, float, str, an array, EFFECT, or a tuple of these


class _Effect:
    """What MindSpore passes on to keep the order of operators that have effects."""


EFFECT = _Effect()

_DTYPES: dict[int, type[np.generic]] = {  # of mind_ir.proto's TensorProto.DataType
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}


@dataclasses.dataclass(frozen=True)
class Abstract:
    """What is known of a tensor before an image is: sizes, -1 where unknown, and numbers' type.

    ``sizes`` None: not even how many axes it has.
    """

    sizes: Optional[tuple[int, ...]]
    dtype: Optional[type[np.generic]]


Result = Union[Abstract, tuple["Result", ...], None]


@dataclasses.dataclass(frozen=True)
class Node:
    """One operator of a graph.

    ``kind`` is MindSpore's name of the operator; or, of a call, that of the graph or of the value
    that holds the graph to call.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Plain]
    result: Result
    calls: bool = False


@dataclasses.dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can be computed."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """The graph of a network, those that it calls, and the values of constants and weights."""

    main: Graph
    graphs: dict[str, Graph]
    constants: dict[str, Plain]


def graph_of(network: nn.Cell, shape: Optional[tuple[int, int]]) -> Program:
    """Export the network's graph in inference, for any image or those of one (height, width).

    InputError where MindSpore cannot export it.
    """
    from mindspore.train.mind_ir_pb2 import ModelProto

    training = network.training
    network.set_train(False)
    example = placeholder(Geometry.of(network).input_channels, shape)
    proto = ModelProto()
    try:
        with tempfile.TemporaryDirectory(prefix="ms_restore_") as folder:
            path = Path(folder) / "network.mindir"
            cell = AnySize(network, shape)
            ms.export(cell, example, file_name=str(path), file_format="MINDIR")
            proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{tempfile.gettempdir()}: cannot be written ({error.strerror or error}); the export "
            "needs some room there, or in the folder that TMPDIR names"
        ) from None
    except Exception as error:  # MindSpore raises many types for a network that it cannot compile
        first = str(error).strip().split("\n")[0]
        raise InputError(
            f"{type(network).__name__} cannot be exported by MindSpore: {first}"
        ) from None
    finally:
        network.set_train(training)
    return _program(proto)


def _program(proto: Any) -> Program:
    primitives = {primitive.name: primitive for primitive in proto.primitives}
    graphs, constants = {}, {}
    for graph in (proto.graph, *proto.functions):
        for parameter in graph.parameter:
            constants[parameter.name] = _array(parameter)
        nodes = []
        for node in graph.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = _plain(node.attribute[0])
            else:
                nodes.append(_node(node, primitives))
        inputs = tuple(value.name for value in graph.input)
        outputs = tuple(value.name for value in graph.output)
        graphs[graph.name] = Graph(inputs, outputs, tuple(nodes))
    return Program(graphs[proto.graph.name], graphs, constants)


def _node(node: Any, primitives: dict[str, Any]) -> Node:
    name = node.op_type.removeprefix("REF::")
    attributes = {attribute.name: attribute for attribute in node.attribute}
    result = _result(attributes.pop("shape", None))
    primitive = primitives.get(name)
    if primitive is not None:
        attributes |= {attribute.name: attribute for attribute in primitive.attribute}
    values = {key: _plain(attribute) for key, attribute in attributes.items()}
    kind = name if primitive is None else primitive.op_type
    calls = primitive is None and node.op_type.startswith("REF::")
    return Node(kind, tuple(node.input), node.output[0], values, result, calls)


def _result(attribute: Any) -> Result:
    if attribute is None:
        return None
    if attribute.tensors:
        tensor = attribute.tensors[0]
        sizes = tuple(tensor.dims)
        return Abstract(None if -2 in sizes else sizes, _DTYPES.get(tensor.data_type))
    return tuple(_result(value) for value in attribute.values) or None


def _plain(attribute: Any) -> Plain:
    kind = attribute.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(_plain(value) for value in attribute.values)
    if kind in ("TENSOR", "TENSORS"):
        return _array(attribute.tensors[0] if attribute.tensors else attribute.t)
    if kind == "BOOL":
        return bool(attribute.ints[0] if attribute.ints else attribute.i)
    if kind.startswith(("INT", "UINT")):
        return int(attribute.ints[0] if attribute.ints else attribute.i)
    if kind == "FLOAT":
        return _shortest(attribute.floats[0] if attribute.floats else attribute.f)
    if kind == "DOUBLE":
        return float(attribute.doubles[0] if attribute.doubles else attribute.d)
    if kind == "STRING":
        return (attribute.strings[0] if attribute.strings else attribute.s).decode()
    return EFFECT if kind in ("UMONAD", "IOMONAD") else None


def _shortest(value: float) -> float:
    """The number that was written: 0.1 of the float32 0.10000000149011612."""
    return float(str(np.float32(value)))


def _array(tensor: Any) -> np.ndarray:
    if tensor.HasField("external_data"):
        raise InputError("a network above 2 GB cannot be written as ONNX")
    dtype = _DTYPES.get(tensor.data_type)
    if dtype is None:
        raise InputError(f"ONNX cannot hold the numbers of {tensor.name or 'a constant'}")
    return np.frombuffer(tensor.raw_data, dtype).reshape(tuple(tensor.dims))
