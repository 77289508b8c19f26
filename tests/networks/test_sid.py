import mindspore as ms
import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.networks.sid import SID
from ms_restore.training.losses import L1
from ms_restore.training.step import NetworkWithLoss


def test_parameter_count_and_widths():
    network = registry.build("network", recipe.load("sid_sony").network)
    assert sum(parameter.size for parameter in network.trainable_params()) == 7_760_268
    shapes = [p.shape for p in network.trainable_params() if p.name.endswith("weight")]
    widths = [32, 64, 128, 256, 512]
    down = [(b, a, 3, 3) for w, v in zip([4, *widths], widths) for a, b in ((w, v), (v, v))]
    assert shapes[:10] == down
    assert [s for s in shapes if s[2:] == (2, 2)] == [
        (a, b, 2, 2) for a, b in zip(widths[:0:-1], widths[-2::-1])
    ]
    assert shapes[-1] == (12, 32, 1, 1)
    assert not any(p.name.startswith("up.") and "bias" in p.name for p in network.get_parameters())


@pytest.mark.parametrize(("channels", "scale"), [(4, 2), (9, 3)])
def test_a_block_of_pixels_for_every_position(channels, scale):
    network = SID(channels=channels, width=2).set_train(False)
    y = ms.Tensor(np.random.default_rng(0).random((2, channels, 16, 32), np.float32))
    assert network(y).shape == (2, 3, 16 * scale, 32 * scale)
    assert network.scale == scale


def test_channels_of_the_last_convolution_are_colour_row_column():
    network = SID(width=2).set_train(False)
    network.last.weight.set_data(ms.Tensor(np.zeros(network.last.weight.shape), ms.float32))
    network.last.bias.set_data(ms.Tensor(np.arange(12), ms.float32))
    x_hat = network(ms.Tensor(np.zeros((1, 4, 16, 16)), ms.float32)).asnumpy()
    np.testing.assert_array_equal(x_hat[0, :, :2, :2], np.arange(12).reshape(3, 2, 2))


def test_first_weights_keep_the_variance():
    ms.set_seed(0)
    network = SID(width=8).set_train(False)
    y = np.random.default_rng(0).standard_normal((1, 4, 64, 64)).astype(np.float32)
    assert 0.3 < network(ms.Tensor(y)).asnumpy().std() < 3


def test_every_parameter_gets_a_finite_gradient():
    network = SID(width=2, up_bias=True).set_train()
    loss = NetworkWithLoss(network, L1())
    rng = np.random.default_rng(0)
    y, x = (ms.Tensor(rng.random(s, np.float32)) for s in ((1, 4, 32, 32), (1, 3, 64, 64)))
    _, gradients = ms.value_and_grad(loss, None, network.trainable_params())(y, x)
    for parameter, gradient in zip(network.trainable_params(), gradients):
        assert np.isfinite(gradient.asnumpy()).all(), parameter.name
        assert np.abs(gradient.asnumpy()).max() > 0, parameter.name


def test_receptive_radius():
    """No pixel further away than that matters, with weights that let nothing vanish."""
    network = SID(width=1).set_train(False)
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(np.full(parameter.shape, 0.2), ms.float32))
    radius, side = network.receptive_radius, 320
    reach = 0
    for at in (144, 152, 159):
        plain = np.full((1, 4, side, side), 0.5, np.float32)
        y = plain.copy()
        y[:, :, at, at] = 5
        changed = (network(ms.Tensor(y)) != network(ms.Tensor(plain))).asnumpy()[0, 0]
        rows = np.nonzero(changed.any(axis=1))[0] // 2
        reach = max(reach, at - rows.min(), rows.max() - at)
    assert radius - 16 <= reach <= radius
