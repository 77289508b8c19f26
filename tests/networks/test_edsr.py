from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.networks.edsr import EDSR

REFERENCE = Path(__file__).parents[1] / "fixtures" / "edsr_reference.npz"


@pytest.mark.parametrize(
    ("model", "count"),
    [  # from the paper's structure: 40.7, 43.7, 43.1 and 1.37, 1.55, 1.52 million
        ("edsr", 40_729_603),
        ("edsr_x3", 43_680_003),
        ("edsr_x4", 43_089_923),
        ("edsr_modelzoo", 40_729_603),
        ("edsr_baseline_x2", 1_369_859),
        ("edsr_baseline_x3", 1_554_499),
        ("edsr_baseline_x4", 1_517_571),
    ],
)
def test_parameter_count(model, count):
    network = registry.build("network", recipe.load(model).network)
    assert sum(parameter.size for parameter in network.trainable_params()) == count
    assert len(list(network.get_parameters())) == len(network.trainable_params())


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_the_pytorch_reference_with_copied_weights(scale, mode):
    arrays = np.load(REFERENCE)
    network = EDSR(scale=scale, blocks=2, filters=4, residual_scale=0.1)
    prefix = f"x{scale}/weights/"
    weights = {k[len(prefix) :]: arrays[k] for k in arrays if k.startswith(prefix)}
    assert {name for name, _ in network.parameters_and_names()} == set(weights)
    for name, parameter in network.parameters_and_names():
        parameter.set_data(ms.Tensor(weights[name]))
    ms.set_context(mode=mode)
    try:
        x_hat = network.set_train(False)(ms.Tensor(arrays[f"x{scale}/y"])).asnumpy()
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(x_hat, arrays[f"x{scale}/x_hat"], atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("normalisation", ["div2k", "imagenet", "none"])
def test_normalisation_is_undone(channels, normalisation):
    """With a silent tail, the output is the mean that was taken off the input."""
    network = EDSR(channels=channels, blocks=1, filters=4, normalisation=normalisation)
    network.tail.weight.set_data(ms.ops.zeros_like(network.tail.weight))
    network.tail.bias.set_data(ms.ops.zeros_like(network.tail.bias))
    x_hat = network(ms.Tensor(np.ones((1, channels, 5, 4), np.float32))).asnumpy()
    mean = {"div2k": [0.4488, 0.4371, 0.4040], "imagenet": [0.485, 0.456, 0.406], "none": [0] * 3}
    expected = np.array(mean[normalisation])
    if channels == 1:
        expected = np.array([expected @ [0.299, 0.587, 0.114]])
    assert x_hat.shape == (1, channels, 10, 8)
    np.testing.assert_allclose(x_hat.mean(axis=(0, 2, 3)), expected, atol=1e-6)
