"""The ONNX graph equals the network at every size, run by ONNX Runtime."""

import numpy as np
import pytest
from mindspore import nn

from ms_restore import recipe, registry
from ms_restore.deploy import onnx_graph
from ms_restore.errors import InputError
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine

pytest.importorskip("onnxruntime", reason="ONNX Runtime is an optional peer")


@pytest.mark.parametrize("model", ["dncnn_s25", "dmsp_dae"])
def test_equals_the_network(model):
    network = registry.build(
        "network", {**recipe.load(model).network, "layers": 5, "filters": 8}
    ).set_train(False)
    rng = np.random.default_rng(0)
    for name, parameter in network.parameters_and_names():
        low = 0.1 if "variance" in name else -0.5
        parameter.set_data(type(parameter)(rng.uniform(low, 0.5, parameter.shape).astype("f4")))
    ours, theirs = (
        MindSporeEngine(network),
        OnnxRuntimeEngine(onnx_graph.model_of(network).SerializeToString()),
    )
    for shape in ((1, 24, 31), (2, 16, 16)):
        y = rng.random((shape[0], network.channels, *shape[1:]), np.float32)
        expected = ours(y)
        assert np.abs(expected - y).max() > 0.01
        assert np.abs(theirs(y) - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_network_without_a_graph():
    network = nn.Dense(2, 2)
    with pytest.raises(
        InputError, match="Dense has no ONNX graph yet; those that have: DnCNN, EDSR"
    ):
        onnx_graph.model_of(network)
