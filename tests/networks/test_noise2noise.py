import mindspore as ms
import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.networks.noise2noise import Noise2Noise


def _image(channels=3, height=64, width=32, count=2):
    rng = np.random.default_rng(1)
    return ms.Tensor(rng.random((count, channels, height, width), np.float32))


def test_parameter_count_and_widths():
    network = registry.build("network", recipe.load("noise2noise_gaussian").network)
    assert sum(parameter.size for parameter in network.trainable_params()) == 991_203
    shapes = [p.shape[:2] for p in network.trainable_params() if p.name.endswith("weight")]
    encoder = [(48, 3)] + 6 * [(48, 48)]
    decoder = [(96, 96), (96, 96)] + 3 * [(96, 144), (96, 96)]
    assert shapes == encoder + decoder + [(64, 99), (32, 64), (3, 32)]
    assert all(p.shape[2:] == (3, 3) for p in network.trainable_params() if len(p.shape) == 4)


def test_first_weights():
    """He et al. 2015 with gain sqrt(2), the last layer with gain 1; no bias."""
    ms.set_seed(0)
    for parameter in Noise2Noise().trainable_params():
        values = parameter.asnumpy()
        if parameter.name.endswith("bias"):
            assert not values.any()
            continue
        gain = 1 if parameter.name.startswith("last") else 2**0.5
        expected = gain / np.sqrt(9 * values.shape[1])
        assert values.std() == pytest.approx(expected, rel=0.1), parameter.name


def test_receptive_radius():
    """No pixel further away than that matters, with weights that let nothing vanish."""
    network = Noise2Noise(channels=1, width=3).set_train(False)
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(np.full(parameter.shape, 0.1), ms.float32))
    radius, side = network.receptive_radius, 448
    reach = 0
    for at in (200, 223, 224, 231):
        y = np.full((1, 1, side, side), 0.5, np.float32)
        y[:, :, at, at] = 1.5
        plain = np.full_like(y, 0.5)
        changed = (network(ms.Tensor(y)) != network(ms.Tensor(plain))).asnumpy()[0, 0]
        rows = np.nonzero(changed.any(axis=1))[0]
        reach = max(reach, at - rows.min(), rows.max() - at)
    assert 0.5 * radius < reach <= radius


@pytest.mark.parametrize(("channels", "width"), [(3, 6), (1, 12)])
def test_equals_the_same_network_in_pytorch(channels, width):
    torch = pytest.importorskip("torch")
    network = Noise2Noise(channels=channels, width=width).set_train(False)
    rng = np.random.default_rng(0)
    weights = {}
    for name, parameter in network.parameters_and_names():
        values = rng.normal(0, 0.02 if name.endswith("bias") else 0.1, parameter.shape)
        parameter.set_data(ms.Tensor(values, ms.float32))
        weights[name] = torch.tensor(values, dtype=torch.float32)

    def conv(name, x, activate=True):
        x = torch.nn.functional.conv2d(
            x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1
        )
        return torch.nn.functional.leaky_relu(x, 0.1) if activate else x

    y = _image(channels).asnumpy()
    shifted = torch.tensor(y) - 0.5
    x = conv("first", shifted)
    skips = [shifted]
    for level in range(5):
        x = torch.nn.functional.max_pool2d(conv(f"encoder.{level}", x), 2)
        skips.append(x)
    x = conv("middle", x)
    for skip, name in zip(skips[4::-1], [*(f"decoder.{k}" for k in range(4)), "full"]):
        x = torch.cat([torch.nn.functional.interpolate(x, scale_factor=2), skip], dim=1)
        x = conv(f"{name}.conv2", conv(f"{name}.conv1", x))
    expected = (conv("last", x, activate=False) + 0.5).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(network(ms.Tensor(y)).asnumpy(), expected, atol=1e-5)
