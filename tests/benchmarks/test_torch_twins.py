"""The networks that ours are measured against compute the same."""

import importlib

import mindspore as ms
import numpy as np
import pytest

from ms_restore import registry

torch = pytest.importorskip("torch")
torch_networks = importlib.import_module("benchmarks.torch_networks")


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
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_a_twin_computes_the_same(part, training):
    network = registry.build("network", part)
    twin = torch_networks.twin(network)
    network.set_train(training)
    twin.train(training)
    y = np.random.default_rng(0).random((2, network.channels, 32, 64)).astype(np.float32)
    with torch.no_grad():
        theirs = twin(torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(network(ms.Tensor(y)).asnumpy(), theirs, atol=2e-5)
    shapes = {"moving_mean", "moving_variance"}
    ours = [p.size for n, p in network.parameters_and_names() if n.split(".")[-1] not in shapes]
    assert sum(ours) == sum(p.numel() for p in twin.parameters())
