"""The ONNX graph of a network, built from its layers, for any height, width and batch.

``mindspore.onnx`` cannot export these networks with dynamic sizes, so each network has a builder
here, a few lines that repeat its ``construct``. A new one is added to ``_BUILDERS``.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np
from mindspore import nn

from ms_restore.errors import InputError, comma_list
from ms_restore.networks import noise2noise, sid

_OPSET = 15  # the newest that ATC reads
_IR_VERSION = 8
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


def _edsr(network: Any, graph: Graph, y: str) -> str:
    mean, deviation = (graph.constant(t.asnumpy()) for t in (network.mean, network.deviation))
    head = graph.conv(graph.node("Div", graph.node("Sub", y, mean), deviation), network.head)
    x = head
    for block in network.blocks:
        branch = graph.conv(graph.node("Relu", graph.conv(x, block.conv1)), block.conv2)
        if block.residual_scale != 1.0:
            factor = graph.constant(np.array(block.residual_scale, np.float32))
            branch = graph.node("Mul", branch, factor)
        x = graph.node("Add", x, branch)
    x = graph.node("Add", head, graph.conv(x, network.body_end))
    for stage in network.upsample:
        if isinstance(stage, nn.Conv2d):
            x = graph.conv(x, stage)
        else:
            factor = stage.upscale_factor
            x = graph.node("DepthToSpace", x, blocksize=factor, mode="CRD")
    x = graph.node("Mul", graph.conv(x, network.tail), deviation)
    return graph.node("Add", x, mean)


def _noise2noise(network: Any, graph: Graph, y: str) -> str:
    def convolved(x: str, layer: nn.Conv2d) -> str:
        return graph.node("LeakyRelu", graph.conv(x, layer), alpha=noise2noise.SLOPE)

    def doubled(x: str) -> str:
        scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
        rounding = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return graph.node("Resize", x, "", scales, mode="nearest", **rounding)

    def pair(x: str, skip: str, layers: Any) -> str:
        x = graph.node("Concat", doubled(x), skip, axis=1)
        return convolved(convolved(x, layers.conv1), layers.conv2)

    shift = graph.constant(np.array(noise2noise.SHIFT, np.float32))
    y = graph.node("Sub", y, shift)
    x = convolved(y, network.first)
    skips = [y]
    for layer in network.encoder:
        x = graph.node("MaxPool", convolved(x, layer), kernel_shape=[2, 2], strides=[2, 2])
        skips.append(x)
    x = convolved(x, network.middle)
    for level, layers in enumerate(network.decoder):
        x = pair(x, skips[len(network.decoder) - level], layers)
    x = pair(x, y, network.full)
    return graph.node("Add", graph.conv(x, network.last), shift)


def _noise2noise_mri(network: Any, graph: Graph, y: str) -> str:
    def cut(x: str, axis: int, first: int, last: int) -> str:
        bounds = [graph.constant(np.array([n], np.int64)) for n in (first, last, axis)]
        return graph.node("Slice", x, *bounds)

    side = network.side
    image = cut(y, 1, 0, 1)
    pads = graph.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64))
    x = _noise2noise(network.float16_part, graph, graph.node("Pad", image, pads))
    x = cut(cut(x, 2, 0, side), 3, 0, side)
    if network.consistency is None:
        return x
    p = cut(y, 1, 1, 2)
    matrix = network.consistency.matrix.asnumpy()
    cosine, sine = (graph.constant(part) for part in (matrix[:, :side], matrix[:, side:]))

    def products(z: str) -> list[str]:
        """C z C, C z S, S z C, S z S"""
        return [
            graph.node("MatMul", left, graph.node("MatMul", z, right))
            for left in (cosine, sine)
            for right in (cosine, sine)
        ]

    known = graph.node(
        "Cast", graph.node("Greater", p, graph.constant(np.zeros(1, np.float32))), to=1
    )
    changes = []
    for kind in ("real", "imaginary"):
        parts = []
        for z in (image, x):
            cc, cs, sc, ss = products(z)
            parts.append(
                graph.node("Sub", cc, ss)
                if kind == "real"
                else graph.node("Neg", graph.node("Add", cs, sc))
            )
        measured, own = graph.node("Mul", p, parts[0]), graph.node("Mul", known, parts[1])
        changes.append(graph.node("Sub", measured, own))
    cc, _, _, ss = products(changes[0])
    _, cs, sc, _ = products(changes[1])
    inverse = graph.node("Sub", graph.node("Sub", cc, ss), graph.node("Add", cs, sc))
    size = graph.constant(np.array(side**2, np.float32))
    return graph.node("Add", x, graph.node("Div", inverse, size))


def _sid(network: Any, graph: Graph, y: str) -> str:
    def pair(x: str, layers: Any) -> str:
        for layer in (layers.conv1, layers.conv2):
            x = graph.node("LeakyRelu", graph.conv(x, layer), alpha=sid.SLOPE)
        return x

    x = pair(y, network.encoder[0])
    skips = []
    for layers in network.encoder[1:]:
        skips.append(x)
        x = pair(graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), layers)
    for up, layers in zip(network.up, network.decoder):
        weights = [graph.constant(p.asnumpy()) for p in up.get_parameters()]
        x = graph.node("ConvTranspose", x, *weights, kernel_shape=[2, 2], strides=[2, 2])
        x = pair(graph.node("Concat", x, skips.pop(), axis=1), layers)
    x = graph.conv(x, network.last)
    return graph.node("DepthToSpace", x, blocksize=network.scale, mode="CRD")


_BUILDERS: dict[str, Callable[[Any, Graph, str], str]] = {
    "DnCNN": _dncnn,
    "EDSR": _edsr,
    "Noise2Noise": _noise2noise,
    "Noise2NoiseMRI": _noise2noise_mri,
    "SID": _sid,
}


def is_known(kind: str) -> bool:
    """Whether the graph of networks of this class is written."""
    return kind in _BUILDERS


def model_of(network: nn.Cell, shape: Optional[tuple[int, int]] = None) -> Any:
    """The network as an ``onnx.ModelProto``: input ``y``, output ``x_hat``, (N, C, H, W) float32.

    It takes any height and width, or those of ``shape`` alone, and any batch.

    InputError where onnx is not installed, or nobody wrote the network's graph yet.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError:
        raise InputError(f"ONNX needs the package onnx: {NEEDED}") from None
    kind = type(network).__name__
    if kind not in _BUILDERS:
        raise InputError(f"{kind} has no ONNX graph yet; those that have: {comma_list(_BUILDERS)}")
    graph = Graph()
    output = _BUILDERS[kind](network, graph, "y")
    graph.nodes.append(helper.make_node("Identity", [output], ["x_hat"]))

    def values(name: str, channels: int, scale: int) -> Any:
        sides = [side * scale for side in shape] if shape else [f"height_{name}", f"width_{name}"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, *sides])

    given = values("y", network.channels, 1)
    made = values("x_hat", getattr(network, "output_channels", network.channels), network.scale)

    whole = helper.make_graph(graph.nodes, kind, [given], [made], initializer=graph.weights)
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    checker.check_model(model)
    return model
