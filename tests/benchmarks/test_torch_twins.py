"""The networks that ours are measured against compute the same."""

import importlib

import mindspore as ms
import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.contracts import Geometry
from tests.conftest import reduced

torch = pytest.importorskip("torch")
torch_networks = importlib.import_module("benchmarks.torch_networks")


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        {"name": "edsr", "scale": 4, "blocks": 2, "filters": 8},
        {"name": "dncnn", "layers": 4, "filters": 8},
        {"name": "dncnn", "channels": 3, "layers": 3, "filters": 8, "batch_norm": False},
        {"name": "noise2noise", "width": 6},
        {"name": "sid", "width": 4},
        {"name": "sid", "channels": 9, "width": 2},
        {"name": "rrdbnet", "scale": 2, "blocks": 1, "filters": 6, "growth": 3},
        {"name": "srvgg", "scale": 3, "convolutions": 2, "filters": 6},
        {"name": "ffdnet", "layers": 3, "filters": 8},
        {"name": "ffdnet", "channels": 3, "layers": 2, "filters": 8, "noise_map": False},
        {"name": "fdncnn", "layers": 3, "filters": 8},
        {"name": "ircnn", "channels": 3, "filters": 8},
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_a_twin_computes_the_same(part, training):
    network = registry.build("network", part)
    twin = torch_networks.twin(network, recipe.load("edsr"))  # whose recipe does not matter
    network.set_train(training)
    twin.train(training)
    channels = Geometry.of(network).input_channels
    y = np.random.default_rng(0).random((2, channels, 32, 64)).astype(np.float32)
    with torch.no_grad():
        theirs = twin(torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(network(ms.Tensor(y)).asnumpy(), theirs, atol=2e-5)
    shapes = {"moving_mean", "moving_variance"}
    ours = [p.size for n, p in network.parameters_and_names() if n.split(".")[-1] not in shapes]
    assert sum(ours) == sum(p.numel() for p in twin.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["drunet_gray", "nafnet_sidd_32", "nafnet_gopro_32", "swinir_x2"])
def test_a_twin_of_the_tests_computes_the_same(model):
    small = recipe.load(model, reduced(model))
    network = registry.build("network", small.network).set_train(False)
    rng = np.random.default_rng(1)
    for parameter in network.trainable_params():  # zeros at the start would hide what is behind
        noise = rng.normal(0, 0.1, parameter.shape).astype(np.float32)
        parameter.set_data(ms.Tensor(parameter.asnumpy() + noise))
    twin = torch_networks.twin(network, small).eval()
    y = rng.random((2, Geometry.of(network).input_channels, 32, 64)).astype(np.float32)
    with torch.no_grad():
        theirs = twin(torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(network(ms.Tensor(y)).asnumpy(), theirs, atol=1e-4)
