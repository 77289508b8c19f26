"""RRDBNet and SRVGG against their twins in PyTorch, written from the papers."""

import importlib

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from ms_restore import recipe, registry
from ms_restore.networks.rrdbnet import RRDBNet
from ms_restore.networks.srvgg import SRVGG
from ms_restore.training.losses import MSE
from ms_restore.training.step import NetworkWithLoss
from ms_restore.training.step_builder import build_step
from ms_restore.weights.layouts import LAYOUTS
from tests.conftest import reduced

TWINS = {
    **{f"rrdbnet x{scale}": (RRDBNet, "rrdbnet", {"scale": scale}) for scale in (1, 2, 4)},
    **{f"srvgg x{scale}": (SRVGG, "srvgg", {"scale": scale}) for scale in (1, 2, 3, 4)},
}


@pytest.mark.parametrize(
    ("network", "count"),
    [  # 16.70, 16.70 and 16.73 million; 4.47 with 6 blocks; 0.62 and 1.21
        (lambda: RRDBNet(), 16_697_987),
        (lambda: RRDBNet(scale=2), 16_703_171),
        (lambda: RRDBNet(scale=1), 16_723_907),
        (lambda: RRDBNet(blocks=6), 4_467_779),
        (lambda: SRVGG(convolutions=16), 621_424),
        (lambda: SRVGG(convolutions=32), 1_213_296),
    ],
)
def test_parameter_count(network, count):
    from mindspore.nn.utils import no_init_parameters

    with no_init_parameters():
        assert sum(parameter.size for parameter in network().trainable_params()) == count


@pytest.fixture(params=TWINS)
def pair(request):
    """(our network with the twin's weights, the twin's forward pass, its module)."""
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    torch.manual_seed(0)
    make, name, settings = TWINS[request.param]
    twins = importlib.import_module("tests.weights.torch_networks")
    forward, module, state = getattr(twins, name)(**settings)
    sizes = {"blocks": 2, "growth": 4} if name == "rrdbnet" else {"convolutions": 3}
    network = make(**settings, **sizes, filters=6)
    layout = next(one for one in LAYOUTS if one.network == name)
    parameters = dict(network.parameters_and_names())
    entries = layout.entries({**sizes, **settings})
    assert {entry.ours for entry in entries} == set(parameters)
    for entry in entries:
        parameters[entry.ours].set_data(ms.Tensor(entry.to_ours(state[entry.theirs].numpy())))
    return network, forward, module


@pytest.mark.slow
def test_forward_and_gradients_equal_the_twins(pair):
    import torch

    network, forward, module = pair
    rng = np.random.default_rng(0)
    y = rng.random((2, 3, 12, 8), np.float32)
    x = rng.random((2, 3, 12 * network.scale, 8 * network.scale), np.float32)
    expected = forward(torch.from_numpy(y))
    x_hat = network.set_train(False)(ms.Tensor(y)).asnumpy()
    assert np.ptp(x_hat) > 0.1
    np.testing.assert_allclose(x_hat, expected.detach().numpy(), atol=1e-4)
    torch.nn.functional.mse_loss(expected, torch.from_numpy(x)).backward()
    theirs = sorted(float(p.grad.abs().sum()) for p in module.parameters())
    weights = network.set_train().trainable_params()
    gradients = ops.grad(NetworkWithLoss(network, MSE()), None, weights)(ms.Tensor(y), ms.Tensor(x))
    ours = sorted(float(gradient.abs().sum()) for gradient in gradients)
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rrdbnet_x4", "srvgg_x4"])
def test_half_precision_trains(model):
    """Steps at O2 change every weight, also those before the one that starts at zero."""
    made = recipe.load(model, {**reduced(model), "train.amp_level": "O2", "train.accumulate": 1})
    network = registry.build("network", made.network)
    before = [p.asnumpy().copy() for p in network.trainable_params()]
    step = build_step(network, made).set_train()
    rng = np.random.default_rng(0)
    y, x = (ms.Tensor(rng.random((2, 3, side, side), np.float32)) for side in (8, 32))
    for _ in range(3):
        assert np.isfinite(float(step(y, x)[0]))
    for parameter, old in zip(network.trainable_params(), before):
        assert parameter.dtype == ms.float32
        assert np.isfinite(parameter.asnumpy()).all()
        assert not np.array_equal(parameter.asnumpy(), old), parameter.name


def test_the_untrained_compact_network_repeats_pixels():
    y = np.random.default_rng(0).random((1, 3, 4, 5), np.float32)
    x_hat = SRVGG(scale=3, convolutions=1, filters=4)(ms.Tensor(y)).asnumpy()
    np.testing.assert_allclose(x_hat, y.repeat(3, 2).repeat(3, 3), atol=1e-6)


@pytest.mark.parametrize(
    "network",
    [
        lambda: RRDBNet(scale=4, blocks=1, filters=3, growth=2),
        lambda: RRDBNet(scale=2, blocks=1, filters=3, growth=2),
        lambda: RRDBNet(scale=1, blocks=1, filters=3, growth=2),
        lambda: SRVGG(scale=2, convolutions=2, filters=3),
    ],
)
def test_a_pixel_reaches_as_far_as_the_radius_says_and_no_farther(network):
    """With positive weights nothing cancels; each place within the cells of the features counts."""
    made = network()
    for parameter in made.trainable_params():
        is_bias = parameter.name.endswith("bias")
        value = np.zeros(parameter.shape) if is_bias else np.full(parameter.shape, 0.3)
        parameter.set_data(ms.Tensor(value, ms.float32))
    radius, reached = made.receptive_radius, 0
    side = -(-(2 * radius + 6) // 4) * 4
    for place in range(side // 2, side // 2 + made.size_multiple):
        y = np.zeros((1, 3, side, side), np.float32)
        y[:, :, place, side // 2] = 1
        x_hat = made(ms.Tensor(y)).asnumpy()
        rows = np.flatnonzero(x_hat.any(axis=(0, 1, 3))) // made.scale
        reached = max(reached, place - rows.min(), rows.max() - place)
    assert reached == radius
