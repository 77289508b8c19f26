import mindspore as ms
import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.networks.dncnn import DnCNN
from ms_restore.training.losses import SumSquared


@pytest.fixture
def trained() -> DnCNN:
    """A small network whose batch normalisation has seen images."""
    network = DnCNN(channels=3, layers=5, filters=8)
    rng = np.random.default_rng(0)
    for parameter in network.get_parameters():
        if parameter.name.endswith(("gamma", "beta", "moving_mean")):
            parameter.set_data(ms.Tensor(rng.normal(0.5, 1, parameter.shape), ms.float32))
        if parameter.name.endswith("moving_variance"):
            parameter.set_data(ms.Tensor(rng.uniform(0.01, 2, parameter.shape), ms.float32))
    return network.set_train(False)


def _image(channels=3, height=13, width=17):
    rng = np.random.default_rng(1)
    return ms.Tensor(rng.random((2, channels, height, width), np.float32))


@pytest.mark.parametrize(
    ("model", "count"),
    [  # convolutions without bias, and two numbers of batch normalisation for each filter
        ("dncnn_s25", 2 * 9 * 64 + 15 * (9 * 64 * 64 + 2 * 64)),
        ("dncnn_b", 2 * 9 * 64 + 18 * (9 * 64 * 64 + 2 * 64)),
        ("cdncnn_b", 2 * 9 * 3 * 64 + 18 * (9 * 64 * 64 + 2 * 64)),
        ("dmsp_dae", 9 * 3 * 64 + 64 + 18 * (9 * 64 * 64 + 64) + 9 * 64 * 3 + 3),
    ],
)
def test_parameter_count(model, count):
    network = registry.build("network", recipe.load(model).network)
    assert sum(parameter.size for parameter in network.trainable_params()) == count


def test_folded_is_the_same_function_without_batch_normalisation(trained):
    folded = trained.folded()
    names = [name for name, _ in folded.parameters_and_names()]
    assert not [name for name in names if "norm" in name]
    y = _image()
    difference = np.abs(folded(y).asnumpy() - trained(y).asnumpy()).max()
    scale = np.abs(trained(y).asnumpy()).max()
    assert difference <= 1e-5 * max(1, scale)
    again = folded.folded()
    np.testing.assert_allclose(again(y).asnumpy(), folded(y).asnumpy(), atol=1e-6)


def test_folding_takes_the_convolutions_own_bias_into_account():
    """Weights of KAIR have both; with bias the mean is shifted by it before it is taken off."""
    network = DnCNN(layers=4, filters=4, bias=True)
    rng = np.random.default_rng(2)
    for parameter in network.get_parameters():
        if not parameter.name.endswith("weight"):
            parameter.set_data(ms.Tensor(rng.uniform(0.2, 1, parameter.shape), ms.float32))
    network.set_train(False)
    y = _image(channels=1)
    np.testing.assert_allclose(
        network.folded()(y).asnumpy(), network(y).asnumpy(), rtol=1e-5, atol=1e-5
    )


def test_untrained_it_leaves_the_image_nearly_as_it_is():
    ms.set_seed(0)
    network = DnCNN(layers=6, filters=16).set_train(True)
    y = _image(channels=1)
    assert np.abs(network(y).asnumpy() - y.asnumpy()).max() < 0.3
    gammas = [p.asnumpy() for p in network.get_parameters() if p.name.endswith("gamma")]
    assert max(np.abs(gamma).max() for gamma in gammas) <= np.float32(0.025)
    assert any((gammas[0] != other).any() for other in gammas[1:])


def test_receptive_radius(trained):
    """A pixel further away than that does not matter, one at that distance does."""
    radius = trained.receptive_radius
    y = np.zeros((1, 3, 4 * radius, 4 * radius), np.float32)
    spot = y.copy()
    spot[:, :, 2 * radius, 2 * radius] = 1
    changed = np.abs(trained(ms.Tensor(spot)).asnumpy() - trained(ms.Tensor(y)).asnumpy())
    rows = np.nonzero(changed.max(axis=(0, 1, 3)) > 0)[0]
    assert rows.min() == 2 * radius - radius
    assert rows.max() == 2 * radius + radius


def test_the_loss_is_half_the_sum_of_squares_of_a_patch():
    x_hat = np.zeros((4, 1, 3, 3), np.float32)
    x = np.full_like(x_hat, 2)
    assert SumSquared()(ms.Tensor(x_hat), ms.Tensor(x)).asnumpy() == pytest.approx(4 * 9 / 2)
