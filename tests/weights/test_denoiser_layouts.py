"""FFDNet, FDnCNN and IRCNN as KAIR and MatConvNet store them, and the way back."""

import importlib

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import checkpoint, foreign
from tests.fixtures import matlab_hdf5

torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
torch_networks = importlib.import_module("tests.weights.torch_networks")

DILATIONS = (1, 2, 3, 4, 3, 2, 1)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _made(name, channels):
    """(forward pass, state dict) of a small network."""
    if name == "ffdnet":
        network, state = torch_networks.chain(4 * channels + 1, 4 * channels)
        return torch_networks.ffdnet(network), state
    if name == "fdncnn":
        return torch_networks.chain(channels + 1, channels)
    network, state = torch_networks.chain(channels, channels, layers=7, dilations=DILATIONS)
    return (lambda y: y - network(y)), state


def _compare(forward, path, model=None, settings=None):
    network, recipe = network_of(path, model, settings)
    y = np.random.default_rng(0).random((2, network.channels + _told(network), 12, 14), np.float32)
    with torch.no_grad():
        expected = forward(torch.from_numpy(y)).numpy()
    x_hat = network(ms.Tensor(y)).asnumpy()
    np.testing.assert_allclose(x_hat, expected, atol=1e-5 * np.abs(expected).max())
    return recipe


def _told(network):
    return vars(network).get("noise_map", type(network).__name__ == "FDnCNN")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["ffdnet", "fdncnn", "ircnn"])
def test_networks_of_kair_there_and_back(name, channels, tmp_path):
    from safetensors.numpy import load_file

    forward, state = _made(name, channels)
    torch.save(state, tmp_path / "a.pth")
    model = f"{name}_{'gray' if channels == 1 else 'color'}"
    api.convert(tmp_path / "a.pth", tmp_path / "ours.ckpt", model=model)
    recipe = _compare(forward, tmp_path / "ours.ckpt")
    assert (recipe.network["name"], recipe.network["filters"]) == (name, 8)
    api.convert(tmp_path / "ours.ckpt", tmp_path / "back.safetensors", to="torch")
    back = load_file(tmp_path / "back.safetensors")
    assert set(back) == set(state)
    for key, value in back.items():
        np.testing.assert_array_equal(value, state[key].numpy())


def _pairs(state, swapped=False):
    """Filters and biases of each convolution; ``swapped`` turns the filters over their diagonal."""
    weights = [value.numpy() for name, value in state.items() if name.endswith("weight")]
    biases = [value.numpy() for name, value in state.items() if name.endswith("bias")]
    return [(w.transpose(0, 1, 3, 2) if swapped else w, b) for w, b in zip(weights, biases)]


@pytest.mark.parametrize("channels", [1, 3])
def test_ffdnet_of_matlab_counts_sub_images_down_the_columns(channels, tmp_path):
    """So on the turned image, with turned filters, it is the network of PyTorch."""
    forward, state = _made("ffdnet", channels)
    layers = [{"type": "SubP"}, {"type": "concat"}]
    layers += [*matlab_hdf5.network(_pairs(state, swapped=True)), {"type": "SubP"}]
    matlab_hdf5.write(tmp_path / "a.mat", {"net": {"layers": layers}})
    model = "ffdnet_gray" if channels == 1 else "ffdnet_color"

    def turned(y):
        return forward(y.transpose(2, 3)).transpose(2, 3)

    _compare(turned, tmp_path / "a.mat", model)


@pytest.mark.parametrize("kind", ["struct", "cell"])
def test_dncnn_and_fdncnn_of_matconvnet(kind, tmp_path):
    network, state = torch_networks.chain(1, 1)
    chain = matlab_hdf5.network(_pairs(state))
    net = {"layers": chain} if kind == "struct" else chain
    matlab_hdf5.write(tmp_path / "a.mat", {"net": net})
    _compare(lambda y: y - network(y), tmp_path / "a.mat", "dncnn3")
    forward, state = _made("fdncnn", 3)
    matlab_hdf5.write(tmp_path / "b.mat", {"net": {"layers": matlab_hdf5.network(_pairs(state))}})
    _compare(forward, tmp_path / "b.mat", "fdncnn_color")


@pytest.mark.parametrize("suffix", ["mat", "pth"])
def test_of_25_networks_the_one_for_a_noise_level_is_named(suffix, tmp_path):
    made = [_made("ircnn", 1) for _ in range(25)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "mat":
        nets = [{"layers": matlab_hdf5.network(_pairs(state), DILATIONS)} for _, state in made]
        matlab_hdf5.write(path, {"CNNdenoiser": nets})
    else:
        torch.save({str(number): state for number, (_, state) in enumerate(made)}, path)
    for sigma, number in ((2, 0), (25, 12)):
        settings = {"degradation.sigma_255": sigma}
        recipe = _compare(made[number][0], path, "ircnn_gray", settings)
        assert recipe.degradation["sigma_255"] == sigma
    arrays = foreign.read(path)
    word = "dilated" if suffix == "mat" else "model"
    for sigma, number in ((0.5, 0), (26, 12), (50, 24)):
        one = foreign.one_network(path, arrays, sigma)
        assert one[f"{word}.0.bias"] is arrays[f"{number}.{word}.0.bias"]
    for wrong in (None, 0, 51):
        with pytest.raises(InputError, match=r"25 networks, for noise of sigma 2, 4, \.\.\., 50"):
            foreign.one_network(path, arrays, wrong)


def test_seven_layers_are_ircnn_or_dncnn_as_the_model_says(tmp_path):
    forward, state = _made("ircnn", 1)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"DnCNN of KAIR .* or IRCNN of KAIR .*ircnn_gray"):
        network_of(tmp_path / "a.pth", None, None)
    _compare(forward, tmp_path / "a.pth", "ircnn_gray")
    _, recipe = network_of(tmp_path / "a.pth", "dncnn_b", None)
    assert recipe.network["layers"] == 7


def test_other_layers_of_matconvnet_are_refused(tmp_path):
    _, state = torch_networks.chain(1, 1)
    chain = matlab_hdf5.network(_pairs(state))
    path = tmp_path / "a.mat"
    for change, message in (
        ({"type": "bnorm"}, "layer 3 is bnorm, expected conv"),
        ({"stride": 2.0}, r"layer 3 has stride \[2\.0\]"),
        ({"dilate": 2.0, "pad": 2.0}, r"dilations \[1, 2, 1, 1\], expected none or those of IRCNN"),
        ({"weights": []}, "layer 3 is not one of MatConvNet"),
    ):
        layers = [*chain[:2], {**chain[2], **change}, *chain[3:]]
        matlab_hdf5.write(path, {"net": {"layers": layers}})
        with pytest.raises(InputError, match=message):
            network_of(path, "dncnn_b", None)
    matlab_hdf5.write(path, {"other": ["a"]})
    with pytest.raises(InputError, match="no network 'net' of MatConvNet layers in it; it holds"):
        network_of(path, "dncnn_b", None)


def test_a_depth_that_no_model_has_is_taken_from_the_file(tmp_path):
    """The nearest model gives what the file does not tell, and is then not refused."""
    _, state = torch_networks.edsr("basicsr", scale=2, blocks=3)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"name one of edsr.* with --model") as caught:
        network_of(tmp_path / "a.pth", None, None)
    named = str(caught.value).partition("name one of ")[2].partition(" with")[0].split(", ")
    assert {"edsr", "edsr_baseline_x2"} <= set(named)
    for model in named:
        _, recipe = network_of(tmp_path / "a.pth", model, None)
        assert (recipe.network["blocks"], recipe.network["filters"]) == (3, 4)
    _, state = torch_networks.edsr("basicsr", scale=2, blocks=16, filters=64)
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(InputError, match="not edsr .* would fit"):
        network_of(tmp_path / "b.pth", "edsr", None)
    gray = {**state, "conv_first.weight": state["conv_first.weight"][:, :1]}
    torch.save(gray, tmp_path / "c.pth")
    with pytest.raises(InputError, match="which no shipped model has; name a recipe of it"):
        network_of(tmp_path / "c.pth", None, None)


@pytest.mark.slow
def test_training_starts_from_foreign_weights(tmp_path):
    _, state = _made("ffdnet", 1)
    torch.save(state, tmp_path / "a.pth")
    small = {"network.layers": 4, "network.filters": 8, "train.batch_size": 1}
    run = api.train(
        "ffdnet_gray",
        pretrained=tmp_path / "a.pth",
        output_dir=tmp_path / "run",
        max_steps=1,
        settings={**small, "train.lr": 1e-12, "data.patch_size": 16, "train.amp_level": "O0"},
    )
    loaded = checkpoint.read(run.checkpoint)
    weight = loaded.parameters["convolutions.1.weight"].asnumpy()
    np.testing.assert_allclose(weight, state["model.2.weight"].numpy(), atol=1e-6)
    torch.save(torch_networks.edsr("basicsr")[1], tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"b\.pth: EDSR of BasicSR .*, not ffdnet"):
        api.train("ffdnet_gray", pretrained=tmp_path / "b.pth", output_dir=tmp_path / "other")
