"""DRUNet: against a twin in PyTorch, and as the prior of DPIR."""

import importlib

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api, recipe, registry
from ms_restore.degradations import kernels
from ms_restore.degradations.operators import Blur
from ms_restore.errors import InputError
from ms_restore.images.arrays import from_float
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.networks.drunet import DRUNet
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import checkpoint
from tests.fixtures import torch_twins


@pytest.mark.parametrize(("model", "count"), [("gray", 32_638_656), ("color", 32_640_960)])
def test_parameter_count(model, count):
    with ms.nn.utils.no_init_parameters():
        network = registry.build("network", recipe.load(f"drunet_{model}").network)
    assert sum(parameter.size for parameter in network.trainable_params()) == count


@pytest.mark.parametrize(
    ("model", "channels", "blocks"),
    [("drunet_gray", 1, 2), ("drunet_color", 3, 2), ("drunet_gray", 1, (3, 1, 2, 1))],
)
def test_it_is_the_twin_in_pytorch(model, channels, blocks, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is an optional peer")
    torch_u_nets = importlib.import_module("tests.weights.torch_u_nets")
    twin = torch_u_nets.randomise(torch_u_nets.DRUNet(channels, blocks=blocks), gain=0.6)
    loaded = torch_twins.there_and_back(twin, tmp_path, model, [(16, 16), (24, 8), (8, 40)])
    assert (loaded.network["width"], loaded.network["blocks"]) == (4, blocks)


def test_files_of_another_model_or_without_a_block_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    torch_u_nets = importlib.import_module("tests.weights.torch_u_nets")
    state = torch_u_nets.DRUNet(3).state_dict()
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"not drunet_gray \(channels 1\)"):
        network_of(tmp_path / "a.pth", "drunet_gray", None)
    state.pop("m_up2.1.res.2.weight")
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"m_up2\.1\.res\.2 is missing"):
        network_of(tmp_path / "b.pth", "drunet_color", None)


def test_it_scales_with_its_input():
    network = DRUNet(channels=1, width=4, blocks=1).set_train(False)
    y = ms.Tensor(np.random.default_rng(0).random((1, 2, 16, 24), np.float32))
    once, twice = network(y).asnumpy(), network(2 * y).asnumpy()
    assert np.ptp(once) > 0.01
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ["mindspore", "onnxruntime"])
def test_dpir_takes_it_as_prior(engine, tmp_path, capsys):
    """For a picture whose sides are no multiples of 8."""
    loaded = recipe.load("drunet_color", {"network.width": 4, "network.blocks": 1})
    checkpoint.save(tmp_path / "a.ckpt", registry.build("network", loaded.network), loaded, {})
    x = np.random.default_rng(1).random((1, 3, 34, 30), np.float32)
    y = Blur(kernels.load("disk:1")).forward(x)[0].transpose(1, 2, 0)
    write_picture(tmp_path / "in.png", Picture(from_float(y, np.dtype(np.uint8))))
    api.restore(
        "deblur",
        tmp_path / "a.ckpt",
        tmp_path / "in.png",
        tmp_path / "out.png",
        solver="dpir",
        settings={"solver.iterations": 2},
        kernel="disk:1",
        sigma_255=2.0,
        device_target="CPU",
        engine=engine,
    )
    assert "solver dpir, prior drunet_color" in capsys.readouterr().out
    assert read_picture(tmp_path / "out.png").pixels.shape == (34, 30, 3)
