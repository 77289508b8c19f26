"""RRDBNet and SRVGG as BasicSR, Real-ESRGAN and ESRGAN's first program name them, and back."""

import importlib

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.verbs.network_loading import network_of

torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
torch_networks = importlib.import_module("tests.weights.torch_networks")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _compare(forward, path, model, settings=None):
    network, recipe = network_of(path, model, settings)
    y = np.random.default_rng(0).random((1, 3, 8, 12), np.float32)
    with torch.no_grad():
        expected = forward(torch.from_numpy(y)).numpy()
    x_hat = network(ms.Tensor(y)).asnumpy()
    np.testing.assert_allclose(x_hat, expected, atol=1e-5 * np.abs(expected).max())
    return recipe


@pytest.mark.parametrize("holder", ["params_ema", "params", None])
@pytest.mark.parametrize("scale", [4, 2])
def test_rrdbnet_of_basicsr(scale, holder, tmp_path):
    forward, _, state = torch_networks.rrdbnet(scale=scale)
    torch.save({holder: state} if holder else state, tmp_path / "a.pth")
    recipe = _compare(forward, tmp_path / "a.pth", f"real_x{scale}")
    sizes = {key: recipe.network[key] for key in ("scale", "blocks", "filters", "growth")}
    assert sizes == {"scale": scale, "blocks": 2, "filters": 6, "growth": 4}


def _back(tmp_path, source, model, state):
    from safetensors.numpy import load_file

    api.convert(source, tmp_path / "ours.ckpt", model=model)
    api.convert(tmp_path / "ours.ckpt", tmp_path / "back.safetensors", to="torch")
    back = load_file(tmp_path / "back.safetensors")
    assert set(back) == set(state)
    for key, value in back.items():
        np.testing.assert_array_equal(value, state[key].numpy())


def test_first_names_of_esrgan_come_back_as_those_of_basicsr(tmp_path):
    forward, _, state = torch_networks.rrdbnet(blocks=3, old=True)
    torch.save(state, tmp_path / "old.pth")
    _compare(forward, tmp_path / "old.pth", "rrdbnet_x4")
    torch.manual_seed(0)
    _, _, renamed = torch_networks.rrdbnet(blocks=3)
    changed = zip(state.values(), sorted(renamed, key=_place))
    expected = {name: value for value, name in changed}
    _back(tmp_path, tmp_path / "old.pth", "rrdbnet_x4", expected)


def _place(name):
    """Where a parameter stands in a file with ESRGAN's first names: in the network's order."""
    order = ("conv_first", "body", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    words = name.split(".")
    return (order.index(words[0]), *words[1:-1], words[-1] == "bias")


def test_a_missing_block_is_named(tmp_path):
    _, _, state = torch_networks.rrdbnet(blocks=3, old=True)
    rest = {name: value for name, value in state.items() if ".sub.1." not in name}
    torch.save(rest, tmp_path / "old.pth")
    with pytest.raises(InputError, match=r"do not fit: model\.1\.sub\.1 is missing$"):
        network_of(tmp_path / "old.pth", "rrdbnet_x4", None)
    last = {name: value for name, value in state.items() if ".sub.2." not in name}
    torch.save(last, tmp_path / "last.pth")
    with pytest.raises(InputError, match=r"do not fit: model\.1\.sub\.2 is missing$"):
        network_of(tmp_path / "last.pth", "rrdbnet_x4", None)
    _, _, state = torch_networks.rrdbnet(blocks=3)
    rest = {n: v for n, v in state.items() if not n.startswith(("body.0.rdb2.", "body.1."))}
    torch.save(rest, tmp_path / "new.pth")
    with pytest.raises(InputError, match=r"do not fit: body\.0\.rdb2 .*, body\.1 is missing$"):
        network_of(tmp_path / "new.pth", "real_x4", None)


def test_weights_of_another_scale_name_the_recipe_that_fits(tmp_path):
    """Of scale 1, which has no recipe, the setting that makes it fit."""
    _, _, state = torch_networks.rrdbnet(scale=2, blocks=23, filters=64, growth=32)
    torch.save(state, tmp_path / "x2.pth")
    with pytest.raises(InputError, match=r"not real_x4 \(scale 4\); real_x2 would fit$"):
        network_of(tmp_path / "x2.pth", "real_x4", None)
    forward, _, state = torch_networks.rrdbnet(scale=1)
    torch.save(state, tmp_path / "x1.pth")
    with pytest.raises(InputError, match=r"not real_x4 \(scale 4\); add --network\.scale 1$"):
        network_of(tmp_path / "x1.pth", "real_x4", None)
    recipe = _compare(forward, tmp_path / "x1.pth", "real_x4", {"network.scale": 1})
    assert recipe.degradation["scale"] == 1


def test_srvgg_there_and_back(tmp_path):
    forward, _, state = torch_networks.srvgg()
    torch.save({"params": state}, tmp_path / "a.pth")
    recipe = _compare(forward, tmp_path / "a.pth", "srvgg_x4")
    assert (recipe.network["convolutions"], recipe.network["filters"]) == (3, 6)
    _back(tmp_path, tmp_path / "a.pth", "srvgg_x4", state)
    del state["body.3.weight"]
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"do not fit: body\.3 is missing$"):
        network_of(tmp_path / "b.pth", "srvgg_x4", None)
