"""NAFNet: against a twin in PyTorch, its local form, and what its means do to tiles."""

import importlib

import mindspore as ms
import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.contracts import Geometry
from ms_restore.deploy.translation import onnx_graph
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.inference.restorer import Restorer
from ms_restore.networks.nafnet import NAFNet, WindowMean
from ms_restore.training.losses import MSE
from ms_restore.training.step import NetworkWithLoss
from ms_restore.verbs.network_loading import network_of
from tests.fixtures import torch_twins

SMALL = {"width": 4, "encoder": (1, 2), "middle": 1, "decoder": (2, 1)}
ONE_SCALE = {"width": 4, "encoder": (1,), "middle": 1, "decoder": (1,)}


@pytest.fixture
def torch_u_nets():
    pytest.importorskip("torch", reason="PyTorch is an optional peer")
    return importlib.import_module("tests.weights.torch_u_nets")


def _random(network, seed=0):
    rng = np.random.default_rng(seed)
    for parameter in network.trainable_params():
        noise = rng.normal(0, 0.2, parameter.shape).astype(np.float32)
        parameter.set_data(ms.Tensor(parameter.asnumpy() + noise))
    return network.set_train(False)


def _image(height, width, seed=1):
    return np.random.default_rng(seed).random((1, 3, height, width), np.float32)


@pytest.mark.parametrize(
    ("model", "count", "radius"),
    [
        ("sidd_32", 29_159_715, None),
        ("sidd_64", 115_982_915, None),
        ("gopro_32", 17_111_907, 2 + 36 * 384 + 15),
        ("gopro_64", 67_888_835, 2 + 36 * 384 + 15),
    ],
)
def test_parameters_and_field(model, count, radius):
    with ms.nn.utils.no_init_parameters():
        network = registry.build("network", recipe.load(f"nafnet_{model}").network)
    assert sum(parameter.size for parameter in network.trainable_params()) == count
    assert network.receptive_radius == radius


@pytest.mark.slow
def test_it_is_the_twin_in_pytorch(torch_u_nets, tmp_path):
    twin = torch_u_nets.randomise(torch_u_nets.NAFNet(**SMALL))
    sizes = [(16, 16), (24, 8), (8, 40)]
    made = torch_twins.there_and_back(twin, tmp_path, "nafnet_sidd_32", sizes, holder="params")
    assert made.network == {"name": "nafnet", **SMALL, "local": "none"}


@pytest.mark.slow
def test_the_local_form_is_the_twin_in_pytorch(torch_u_nets, tmp_path):
    """In a graph for any size too, of images smaller than the window and longer in one direction.

    Weights are those of the other form: nothing in the file tells which it is.
    """
    twin = torch_u_nets.randomise(torch_u_nets.NAFNet(**SMALL, local=12))
    torch = importlib.import_module("torch")
    torch.save(twin.state_dict(), tmp_path / "a.pth")
    settings = {"network.local": 12}
    network, _ = network_of(tmp_path / "a.pth", "nafnet_gopro_32", settings)
    engine = MindSporeEngine(network.set_train(False))
    onnxruntime = OnnxRuntimeEngine(onnx_graph.model_of(network).SerializeToString())
    for size in [(8, 12), (44, 8), (28, 60)]:
        y = _image(*size)
        expected = twin(torch.from_numpy(y)).detach().numpy()
        np.testing.assert_allclose(engine(y), expected, atol=1e-4)
        np.testing.assert_allclose(onnxruntime(y), expected, atol=1e-4)
    np.testing.assert_allclose(network(ms.Tensor(y)).asnumpy(), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("local", ["none", 12])
def test_other_sides_are_filled_with_zeros_as_published(torch_u_nets, local):
    twin = torch_u_nets.randomise(
        torch_u_nets.NAFNet(**SMALL, local=0 if local == "none" else local)
    )
    torch = importlib.import_module("torch")
    network = NAFNet(**SMALL, local=local).set_train(False)
    for name, parameter in network.parameters_and_names():
        value = twin.state_dict()[name.replace(".sca.", ".sca.1.")].numpy()
        parameter.set_data(ms.Tensor(value))
    loaded = LoadedNetwork.of(network, recipe.load("nafnet_sidd_32"))
    y = 0.5 + 0.1 * _image(29, 18)
    expected = twin(torch.from_numpy(y)).detach().numpy()[0].transpose(1, 2, 0)
    assert np.ptp(expected) > 0.05
    found = Restorer(loaded, tile=0)(y[0].transpose(1, 2, 0))
    np.testing.assert_allclose(found, expected.clip(0, 1), atol=1e-4)


def test_the_weights_of_a_width_find_their_model(torch_u_nets, tmp_path):
    torch = importlib.import_module("torch")
    with torch.device("meta"):
        twin = torch_u_nets.NAFNet(32, (1, 1, 1, 28), 1, (1, 1, 1, 1))
    state = {n: torch.zeros(()).expand(v.shape) for n, v in twin.state_dict().items()}
    torch.save({"params": state}, tmp_path / "a.pth")
    _, found = network_of(tmp_path / "a.pth", None, None)
    assert (found.model, found.network["local"]) == ("nafnet_gopro_32", 384)
    with pytest.raises(InputError, match="not nafnet_sidd_32 .*; nafnet_gopro_32 would fit"):
        network_of(tmp_path / "a.pth", "nafnet_sidd_32", None)
    state.pop("encoders.3.27.conv3.weight")
    torch.save({"params": state}, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"encoders\.3\.27"):
        network_of(tmp_path / "b.pth", "nafnet_gopro_32", None)


@pytest.mark.slow
@pytest.mark.parametrize("local", ["none", 8])
def test_it_begins_as_identity_and_every_weight_learns(local):
    network = NAFNet(**ONE_SCALE, local=local)
    y = ms.Tensor(_image(16, 12))
    ended = network.ending
    ended.weight.set_data(ms.ops.zeros_like(ended.weight))
    ended.bias.set_data(ms.ops.zeros_like(ended.bias))
    np.testing.assert_array_equal(network(y).asnumpy(), y.asnumpy())
    weights = _random(network).trainable_params()
    gradients = ms.grad(NetworkWithLoss(network, MSE()), None, weights)(y, 0 * y)
    for weight, gradient in zip(weights, gradients):
        assert np.isfinite(gradient.asnumpy()).all(), weight.name
        assert np.abs(gradient.asnumpy()).max() > 0, weight.name


@pytest.mark.slow
@pytest.mark.parametrize("window", [1, 2, 5, 8])
def test_means_over_windows(window):
    """By hand: the window is moved inwards at the border, and cut to the image."""
    for height, width in [(4, 3), (4, 13), (13, 5), (21, 16)]:
        x = _image(height, width)
        expected = x
        for axis in (2, 3):
            length = x.shape[axis]
            side = min(window, length)
            first = [min(max(i - (side - 1) // 2, 0), length - side) for i in range(length)]
            lines = [expected.take(range(a, a + side), axis).mean(axis) for a in first]
            expected = np.stack(lines, axis)
        found = WindowMean(window)(ms.Tensor(x)).asnumpy()
        np.testing.assert_allclose(np.broadcast_to(found, x.shape), expected, atol=1e-6)


def test_means_over_windows_keep_their_digits_in_half_precision():
    """Sums from the border of a long image would be far too large for float16."""
    x = 30 * _image(8, 3000)
    found = WindowMean(384)(ms.Tensor(x, ms.float16))
    assert found.dtype == ms.float16
    centre = x[:, :, :, 1300 - 191 : 1300 - 191 + 384].mean(axis=(2, 3))
    np.testing.assert_allclose(found.asnumpy()[:, :, 4, 1300], centre, rtol=2e-3)


@pytest.mark.slow
def test_the_whole_form_refuses_tiles_and_is_translated():
    network = _random(NAFNet(**ONE_SCALE))
    loaded = LoadedNetwork.of(network, recipe.load("nafnet_sidd_32"))
    with pytest.raises(InputError, match="nafnet_sidd_32 sees the whole picture"):
        Restorer(loaded, tile=64)
    translated = OnnxRuntimeEngine(onnx_graph.model_of(network).SerializeToString())
    engine = MindSporeEngine(network)
    for size in [(16, 16), (20, 4)]:
        y = _image(*size)
        np.testing.assert_allclose(translated(y), engine(y), atol=1e-4)


def test_scales_must_agree():
    with pytest.raises(ValueError, match="has 2 scales"):
        NAFNet(encoder=(1, 1), decoder=(1,))
    with pytest.raises(InputError, match="write as many numbers in both"):
        recipe.load("nafnet_sidd_32", {"network.encoder": [1, 1]})
    with pytest.raises(InputError, match=r"network.local.* expected"):
        recipe.load("nafnet_sidd_32", {"network.local": "some"})
    assert Geometry.of(NAFNet(**SMALL, local=8)).receptive_radius == 2 + 7 * 8 + 3
