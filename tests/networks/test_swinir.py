"""SwinIR: each of its forms against a twin in PyTorch, and what its windows do to tiles."""

import importlib

import mindspore as ms
import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.deploy.translation import onnx_graph
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.inference.restorer import Restorer
from ms_restore.networks.swinir import SwinIR
from ms_restore.networks.window_attention import BoundaryMask
from ms_restore.verbs.network_loading import network_of
from tests.fixtures import torch_twins

SMALL = {"width": 12, "groups": (2, 3), "heads": 3}
FORMS = {  # model, the form's settings beside the small ones
    "swinir_x2": {"scale": 2, "upsampler": "pixelshuffle"},
    "swinir_x3": {"scale": 3, "upsampler": "pixelshuffle"},
    "swinir_light_x4": {"scale": 4, "upsampler": "pixelshuffledirect"},
    "swinir_denoise_gray": {"scale": 1, "channels": 1, "upsampler": "none"},
    "swinir_jpeg_color": {"scale": 1, "upsampler": "none", "window": 7, "input_range": 255},
    "swinir_real_x4": {"scale": 4, "upsampler": "nearest+conv"},
    "swinir_real_large_x4": {"scale": 4, "upsampler": "nearest+conv", "three_convs": True},
}


@pytest.fixture
def torch_swinir():
    pytest.importorskip("torch", reason="PyTorch is an optional peer")
    return importlib.import_module("tests.weights.torch_swinir")


def _twin(module, model, **settings):
    """With the masks of the pictures that the model's recipe trains on."""
    data = recipe.load(model)
    form = {"window": 8, **SMALL, **FORMS[model], **settings}
    made = module.SwinIR(**form, trained=data.data.patch_size // form["scale"])
    generator = torch_generator()
    for name, value in made.named_parameters():
        fan_in = value[0].numel() if value.ndim > 1 and "table" not in name else 4
        value.data.normal_(0, fan_in**-0.5, generator=generator)
    return made.eval()


def torch_generator():
    return importlib.import_module("torch").Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        ("swinir_x2", 11_752_487),
        ("swinir_x4", 11_900_199),
        ("swinir_light_x2", 910_152),
    ],
)
def test_parameter_count(model, count):
    with ms.nn.utils.no_init_parameters():
        network = registry.build("network", recipe.load(model).network)
    assert sum(parameter.size for parameter in network.trainable_params()) == count


FIRST = ["swinir_light_x4", "swinir_jpeg_color", "swinir_real_large_x4"]  # one of each end


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [m if m in FIRST else pytest.param(m, marks=pytest.mark.long) for m in FORMS]
)
def test_it_is_the_twin_in_pytorch(torch_swinir, model, tmp_path):
    side = FORMS[model].get("window", 8)
    twin = _twin(torch_swinir, model)
    sizes = [(2 * side, 2 * side), (side, 3 * side)]
    made = torch_twins.there_and_back(twin, tmp_path, model, sizes, holder="params")
    assert made.network["groups"] == (2, 3)


def test_the_model_follows_from_the_file(torch_swinir, tmp_path):
    torch = importlib.import_module("torch")
    with torch.device("meta"):
        light = torch_swinir.SwinIR(
            width=60, groups=(6,) * 4, heads=6, window=8, upsampler="pixelshuffledirect"
        )
    state = {n: torch.zeros(()).expand(v.shape) for n, v in light.state_dict().items()}
    torch.save({"params_ema": state}, tmp_path / "a.pth")
    assert network_of(tmp_path / "a.pth", None, None)[1].model == "swinir_light_x2"
    with pytest.raises(InputError, match="not swinir_x4 .*; swinir_light_x2 would fit"):
        network_of(tmp_path / "a.pth", "swinir_x4", None)
    state.pop("layers.1.residual_group.blocks.2.mlp.fc1.bias")
    torch.save({"params_ema": state}, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"blocks\.2\.mlp\.fc1\.bias is missing"):
        network_of(tmp_path / "b.pth", "swinir_light_x2", None)


@pytest.mark.slow
def test_any_size_in_every_graph(torch_swinir, tmp_path):
    """In a graph for any size, translated, and with sides that are no multiples of a window."""
    torch = importlib.import_module("torch")
    twin = _twin(torch_swinir, "swinir_real_x4")
    torch.save(twin.state_dict(), tmp_path / "a.pth")
    network, made = network_of(tmp_path / "a.pth", "swinir_real_x4", None)
    engines = (
        MindSporeEngine(network.set_train(False)),
        OnnxRuntimeEngine(onnx_graph.model_of(network).SerializeToString()),
    )
    for size in [(8, 8), (16, 24), (40, 8)]:
        y = np.random.default_rng(1).random((2, 3, *size), np.float32)
        expected = twin(torch.from_numpy(y)).detach().numpy()
        for engine in engines:
            np.testing.assert_allclose(engine(y), expected, atol=1e-4)
    y = np.random.default_rng(2).random((1, 3, 13, 22), np.float32)
    expected = twin(torch.from_numpy(y)).detach().numpy()[0].transpose(1, 2, 0)
    found = Restorer(LoadedNetwork.of(network, made), tile=0)(y[0].transpose(1, 2, 0))
    np.testing.assert_allclose(found, expected.clip(0, 1), atol=1e-4)
    with pytest.raises(InputError, match="sees the whole picture"):
        Restorer(LoadedNetwork.of(network, made), tile=64)


def test_the_mask_is_that_of_opposite_borders(torch_swinir):
    for height, width in [(8, 8), (8, 20), (16, 12)]:
        x = ms.Tensor(np.zeros((2, height, width, 5), np.float32))
        found = BoundaryMask(4)(x).asnumpy()[:, 0]
        expected = torch_swinir.mask_of(height, width, 4).numpy()
        np.testing.assert_array_equal(found, expected)
        assert (expected < 0).any()


def test_settings_must_go_together():
    with pytest.raises(ValueError, match=r"width 10 is no multiple of network\.heads 4"):
        SwinIR(width=10, heads=4)
    for change, said in (
        ({"network.upsampler": "none"}, "upsampler none is for scale 1, network.scale is 2"),
        ({"network.upsampler": "nearest+conv", "network.scale": 3}, "is for scale 2 or 4"),
        ({"network.heads": 7}, "width 180 is no multiple of network.heads 7"),
    ):
        with pytest.raises(InputError, match=said):
            recipe.load("swinir_x2", change)
