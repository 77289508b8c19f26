"""The ONNX graph of a network, translated from the graph that MindSpore exports."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
from mindspore import nn

from ms_restore.contracts import Foldable, Geometry
from ms_restore.deploy.translation import mindir_graph
from ms_restore.deploy.translation.graph_walk import Translation
from ms_restore.deploy.translation.onnx_nodes import Lowering, Tensor
from ms_restore.deploy.translation.onnx_rules import RULES
from ms_restore.deploy.translation.onnx_simplify import simplify
from ms_restore.deploy.translation.sizes import Number, extent
from ms_restore.errors import InputError
from ms_restore.inference.onnxruntime_engine import NEEDED

_OPSET = 15  # the newest that ATC reads
_IR_VERSION = 8


def model_of(network: nn.Cell, shape: Optional[tuple[int, int]] = None) -> Any:
    """Translate a network to an ``onnx.ModelProto`` from y to x_hat, (N, C, H, W) float32.

    It takes any height and width, or those of ``shape`` alone, and any batch.

    InputError where onnx is not installed, or an operator of the network has no translation.
    """
    try:
        import onnx
    except ImportError:
        raise InputError(f"ONNX needs the package onnx: {NEEDED}") from None
    kind = type(network).__name__
    if isinstance(network, Foldable):
        network = network.folded()
    geometry = Geometry.of(network)
    shape = (geometry.side, geometry.side) if geometry.side else shape
    translation = Translation(mindir_graph.graph_of(network, shape))
    sides = shape or (extent("y", 2), extent("y", 3))
    y = Tensor("y", (extent("y", 0), geometry.input_channels, *sides), np.float32)
    x_hat = translation.run(y)
    if translation.missing:
        raise InputError(
            f"{kind} has operators that cannot be written as ONNX: "
            f"{', '.join(translation.missing)}; it trains and runs on MindSpore "
            "(--engine mindspore)"
        )
    if not isinstance(x_hat, Tensor) or not x_hat.name or len(x_hat.sizes or ()) != 4:
        raise InputError(f"{kind} does not give one image, (N, C, H, W), as ONNX needs it")
    graph = translation.graph
    graph.sizes["y"] = y.sizes or ()
    simplify(graph, x_hat.name, RULES)
    lowering = Lowering()
    for node in graph.nodes:
        lowering.add(node)
    lowering.nodes.append(onnx.helper.make_node("Identity", [x_hat.name], ["x_hat"]))
    whole = onnx.helper.make_graph(
        lowering.nodes,
        kind,
        [_described("y", y.sizes or ())],
        [_described("x_hat", x_hat.sizes or ())],
        initializer=lowering.initialisers,
    )
    model = onnx.helper.make_model(
        whole, opset_imports=[onnx.helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def _described(name: str, sizes: tuple[Number, ...]) -> Any:
    """The input or the output; what depends on the image has a name."""
    from onnx import TensorProto, helper

    names = ("batch", f"channels_{name}", f"height_{name}", f"width_{name}")
    known = [size if isinstance(size, int) else word for size, word in zip(sizes, names)]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, known)
