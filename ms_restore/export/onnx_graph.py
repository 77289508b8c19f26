"""The ONNX graph of a network, built from its layers, for any height, width and batch.

``mindspore.onnx`` cannot export these networks with dynamic sizes, so each network has a builder
here, a few lines that repeat its ``construct``. A new one is added to ``_BUILDERS``.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
from mindspore import nn

from ms_restore.errors import InputError, listed

_OPSET = 17
_IR_VERSION = 8  # what ONNX Runtime 1.18 reads
NEEDED = "pip install 'ms-restore[onnx]'"


class Graph:
    """Nodes and weights in the order of computation; each method returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, layer: nn.Conv2d) -> str:
        """A convolution of stride 1, padded by ``layer.padding`` on every side."""
        inputs = [x, self.constant(layer.weight.asnumpy())]
        if layer.has_bias:
            inputs.append(self.constant(layer.bias.asnumpy()))
        return self.node("Conv", *inputs, pads=[layer.padding] * 4)


def _dncnn(network: Any, graph: Graph, y: str) -> str:
    network = network.folded()
    x = graph.node("Relu", graph.conv(y, network.first))
    for layer in network.middle:
        x = graph.node("Relu", graph.conv(x, layer.conv))
    return graph.node("Sub", y, graph.conv(x, network.last))


_BUILDERS: dict[str, Callable[[Any, Graph, str], str]] = {"DnCNN": _dncnn}


def model_of(network: nn.Cell) -> Any:
    """The network as an ``onnx.ModelProto``: input ``y``, output ``x_hat``, (N, C, H, W) float32.

    InputError where onnx is not installed, or nobody wrote the network's graph yet.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError:
        raise InputError(f"ONNX needs the package onnx: {NEEDED}") from None
    kind = type(network).__name__
    if kind not in _BUILDERS:
        raise InputError(f"{kind} has no ONNX graph yet; those that have: {listed(_BUILDERS)}")
    graph = Graph()
    output = _BUILDERS[kind](network, graph, "y")
    graph.nodes.append(helper.make_node("Identity", [output], ["x_hat"]))

    def values(name: str) -> Any:
        shape = ["batch", network.channels, f"height_{name}", f"width_{name}"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    whole = helper.make_graph(
        graph.nodes, kind, [values("y")], [values("x_hat")], initializer=graph.weights
    )
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    checker.check_model(model)
    return model
