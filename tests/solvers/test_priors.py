import numpy as np
import pytest

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.solvers.priors import DenoiserPrior, trained_sigma_255
from ms_restore.verbs.network_loading import network_of


@pytest.mark.parametrize(
    ("model", "sigma"),
    [("dmsp_dae", 11), ("dmsp_dae_quickstart", 11), ("dncnn_s15", 15), ("dncnn_s50", 50)],
)
def test_denoisers_of_a_known_level(model, sigma):
    assert trained_sigma_255(recipes.load(model)) == sigma


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("dncnn_b", "dncnn_b was trained for a range of noise .gaussian, sigma 0 to 55."),
        ("dncnn3", "dncnn3 was trained for a range of noise .mixture"),
        ("edsr", "edsr was trained for bicubic, not for Gaussian noise"),
    ],
)
def test_those_without_say_the_way_out(model, expected):
    with pytest.raises(InputError, match=expected) as caught:
        trained_sigma_255(recipes.load(model))
    assert "checkpoint of dmsp_dae or dncnn_s15" in str(caught.value)


def test_another_level_than_asked_for_is_refused(smoother):
    network, recipe = network_of(smoother, None, None)
    assert DenoiserPrior(LoadedNetwork.of(network, recipe), 11).sigma_255 == 11
    with pytest.raises(InputError, match=r"trained for sigma 11, sigma 15 is asked for"):
        DenoiserPrior(LoadedNetwork.of(network, recipe), 15)
    with pytest.raises(InputError, match=r"trained for sigma 11, sigma 25 is asked for"):
        registry.build(
            "solver",
            {"name": "dmsp", "prior_sigma_255": 25},
            DenoiserPrior(LoadedNetwork.of(network, recipe)),
        )


def test_a_prior_for_gray_takes_each_colour_by_itself():
    import mindspore as ms

    recipe = recipes.load("dncnn_s25", {"network.layers": 3, "network.filters": 4})
    network = registry.build("network", recipe.network).folded()
    engine = MindSporeEngine(network)
    prior = DenoiserPrior(LoadedNetwork.of(network, recipe))
    y = np.random.default_rng(0).random((2, 3, 9, 8), np.float32)
    expected = np.concatenate([engine(y[:, c : c + 1]) for c in range(3)], axis=1)
    assert np.abs(expected - y).max() > 1e-5
    assert np.abs(prior.denoise(y) - expected).max() < 1e-6
    assert np.abs(prior.cell()(ms.Tensor(y)).asnumpy() - expected).max() < 1e-6
