"""Conversion: the converted network computes what the original does, and nothing passes unmatched.

Needs PyTorch, an optional peer; skipped where it is absent.
"""

import importlib
import pickle
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api, registry
from ms_restore.errors import InputError
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import checkpoint

torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
torch_networks = importlib.import_module("tests.weights.torch_networks")


SMALL = {"network.blocks": 2, "network.filters": 4}


def _compare(forward, path, channels, scale=1):
    """As trained and as deployed, the outputs not clipped, against their own size."""
    y = np.random.default_rng(0).random((2, channels, 11, 14), np.float32)
    with torch.no_grad():
        expected = forward(torch.from_numpy(y)).numpy()
    assert expected.shape == (2, channels, 11 * scale, 14 * scale)
    for deployed in (False, True):
        network, _ = network_of(path, None, None, deployed)
        x_hat = network(ms.Tensor(y)).asnumpy()
        np.testing.assert_allclose(x_hat, expected, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("prefix", "options"),
    [
        ("module.dncnn", {}),
        ("dncnn", {"layers": 7, "channels": 3}),
        ("model", {"norm": False, "bias": True}),
        ("model", {"norm": True, "bias": True, "eps": 1e-4}),
    ],
)
def test_dncnn_of_every_layout(prefix, options, tmp_path):
    forward, state = torch_networks.dncnn(prefix, **options)
    torch.save(state, tmp_path / "weights.pth")
    channels = options.get("channels", 1)
    model = {1: "dncnn_s25", 3: "cdncnn_b"}[channels]
    api.convert(tmp_path / "weights.pth", tmp_path / "ours.ckpt", model=model)
    loaded = checkpoint.read(tmp_path / "ours.ckpt")
    assert loaded.recipe.network["layers"] == options.get("layers", 5)
    assert loaded.recipe.network["filters"] == 8
    _compare(forward, tmp_path / "ours.ckpt", channels)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("layout", ["edsr-pytorch", "basicsr"])
def test_edsr_of_both_layouts(layout, scale, tmp_path):
    forward, state = torch_networks.edsr(layout, scale=scale, residual_scale=0.1)
    torch.save({"params": state}, tmp_path / "weights.pth")
    model = {2: "edsr", 3: "edsr_x3", 4: "edsr_x4"}[scale]
    source, target = tmp_path / "weights.pth", tmp_path / "ours.ckpt"
    api.convert(source, target, model=model, settings=SMALL)
    _compare(forward, target, 3, scale)


@pytest.mark.parametrize(("channels", "up_bias"), [(4, True), (9, False)])
def test_sid_of_the_pytorch_port(channels, up_bias, tmp_path):
    features, state = torch_networks.sid(channels=channels, up_bias=up_bias)
    torch.save(state, tmp_path / "weights.pth")
    model = {4: "sid_sony", 9: "sid_fuji"}[channels]
    api.convert(tmp_path / "weights.pth", tmp_path / "ours.ckpt", model=model)
    scale = {4: 2, 9: 3}[channels]
    _compare_sid(lambda y: torch.pixel_shuffle(features(y), scale), tmp_path / "ours.ckpt")
    api.convert(tmp_path / "ours.ckpt", tmp_path / "back.safetensors", to="torch")
    back = importlib.import_module("safetensors.torch").load_file(tmp_path / "back.safetensors")
    assert set(back) == set(state)
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize("channels", [4, 9])
def test_sid_of_tensorflow(channels, tmp_path):
    """Kernels of TensorFlow's axes, and its depth-to-space, where the colour is counted last."""
    features, state = torch_networks.sid(channels=channels, up_bias=False)
    arrays = {}
    for name, value in state.items():
        layer, kind = name.split(".")
        if layer.startswith("upv"):
            number = int(layer[3:]) - 6
            layer = "Variable" + f"_{number}" * (number > 0)
            arrays[layer] = value.numpy().transpose(2, 3, 1, 0)
            continue
        scope = "g_conv10" if layer == "conv10_1" else f"g_{layer}"
        if kind == "weight":
            arrays[f"{scope}/weights"] = value.numpy().transpose(2, 3, 1, 0)
        else:
            arrays[f"{scope}/biases"] = value.numpy()
    np.savez(tmp_path / "weights.npz", **arrays)
    model = {4: "sid_sony", 9: "sid_fuji"}[channels]
    api.convert(tmp_path / "weights.npz", tmp_path / "ours.ckpt", model=model)
    scale = {4: 2, 9: 3}[channels]

    def depth_to_space(y):
        planes = features(y)
        count, _, height, width = planes.shape
        blocks = planes.reshape(count, scale, scale, 3, height, width)
        ordered = blocks.permute(0, 3, 4, 1, 5, 2)
        return ordered.reshape(count, 3, scale * height, scale * width)

    _compare_sid(depth_to_space, tmp_path / "ours.ckpt")


def _compare_sid(forward, path):
    network, _ = network_of(path, None, None)
    y = np.random.default_rng(0).random((2, network.channels, 32, 48), np.float32)
    with torch.no_grad():
        expected = forward(torch.from_numpy(y)).numpy()
    x_hat = network(ms.Tensor(y)).asnumpy()
    np.testing.assert_allclose(x_hat, expected, atol=1e-5 * np.abs(expected).max())


def test_the_baseline_of_edsr_is_known_by_its_size(tmp_path):
    _, state = torch_networks.edsr("basicsr", scale=3, blocks=16, filters=64)
    torch.save(state, tmp_path / "weights.pth")
    api.convert(tmp_path / "weights.pth", tmp_path / "ours.ckpt")
    assert checkpoint.read(tmp_path / "ours.ckpt").recipe.model == "edsr_baseline_x3"


def _written(path, state=None):
    """A file of the kind that its suffix says, of this state dict; .mat holds a matrix."""
    from safetensors.torch import save_file
    from scipy.io import savemat

    state = torch_networks.dncnn()[1] if state is None else state
    if path.suffix == ".pth":
        torch.save(state, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    elif path.suffix == ".mat":
        savemat(path, {"net": np.ones((64, 64))})
    else:
        save_file(state, path)
    return path


@pytest.mark.parametrize("suffix", ["pth", "npz", "safetensors"])
def test_every_kind_of_file_gives_the_same_checkpoint(suffix, tmp_path):
    _, state = torch_networks.dncnn()
    path = _written(tmp_path / f"weights.{suffix}", state)
    api.convert(path, tmp_path / "ours.ckpt", model="dncnn_s15")
    loaded = checkpoint.read(tmp_path / "ours.ckpt")
    weight = loaded.parameters["middle.1.norm.moving_variance"].asnumpy()
    np.testing.assert_allclose(weight, state["dncnn.6.running_var"].numpy(), rtol=1e-6)
    assert loaded.recipe.model == "dncnn_s15"
    assert loaded.facts["source"] == path.name
    assert len(loaded.facts["sha256"]) == 64


@pytest.mark.parametrize(
    "options", [{}, {"norm": False, "bias": True}, {"norm": True, "bias": True}]
)
def test_dncnn_there_and_back(options, tmp_path):
    """The names PyTorch had, the numbers up to rounding."""
    from safetensors.numpy import load_file

    prefix = "dncnn" if options.get("norm", True) else "model"
    _, state = torch_networks.dncnn(prefix, **options)
    torch.save(state, tmp_path / "weights.pth")
    api.convert(tmp_path / "weights.pth", tmp_path / "ours.ckpt", model="dncnn_s25")
    api.convert(tmp_path / "ours.ckpt", tmp_path / "back.safetensors", to="torch")
    back = load_file(tmp_path / "back.safetensors")
    assert set(back) == set(state)
    for name, value in back.items():
        np.testing.assert_allclose(value, state[name].numpy(), rtol=1e-6, atol=1e-9)


def test_edsr_there_and_back(tmp_path):
    from safetensors.torch import load_file

    _, state = torch_networks.edsr("edsr-pytorch", scale=4)
    torch.save(state, tmp_path / "weights.pth")
    source, target = tmp_path / "weights.pth", tmp_path / "ours.ckpt"
    api.convert(source, target, model="edsr_x4", settings=SMALL)
    api.convert(tmp_path / "ours.ckpt", tmp_path / "back.safetensors", to="torch")
    back = load_file(tmp_path / "back.safetensors")
    assert set(back) == set(state)
    for name, value in back.items():
        np.testing.assert_allclose(value.numpy(), state[name].numpy(), rtol=1e-5, atol=1e-6)


def _refused(path, match, **options):
    with pytest.raises(InputError, match=match) as caught:
        api.convert(path, path.with_name("ours.ckpt"), **options)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)
    assert not path.with_name("ours.ckpt").exists()


def test_a_malicious_pickle_does_not_run(tmp_path):
    mark = tmp_path / "code_ran"

    class Malicious:
        def __reduce__(self):
            return Path.touch, (mark,)

    torch.save({"dncnn.0.weight": Malicious()}, tmp_path / "weights.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"dncnn.0.weight": Malicious()}))
    _refused(tmp_path / "weights.pth", "more than weights.*could run code")
    _refused(tmp_path / "plain.pth", "more than weights.*could run code")
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert mark.exists()  # the test can fail


@pytest.mark.parametrize("suffix", ["pth", "npz", "safetensors", "mat"])
def test_a_truncated_file(suffix, tmp_path):
    path = _written(tmp_path / f"weights.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _refused(path, f"weights.{suffix}: not a.*damaged", model="dncnn_s25")


def _saved(tmp_path, change):
    _, state = torch_networks.dncnn()
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_a_parameter_that_is_missing_left_over_or_of_another_shape(tmp_path):
    path = _saved(tmp_path, lambda state: state.pop("dncnn.3.running_mean"))
    _refused(path, r"do not fit: dncnn\.3\.running_mean is missing", model="dncnn_s25")
    path = _saved(tmp_path, lambda state: state.update({"extra.bias": torch.ones(7)}))
    _refused(path, r"do not fit: extra\.bias \(7,\) is left over", model="dncnn_s25")
    path = _saved(tmp_path, lambda state: state.update({"dncnn.2.weight": torch.ones(8, 9, 3, 3)}))
    _refused(path, r"dncnn\.2\.weight is \(8, 9, 3, 3\), expected \(8, 8, 3, 3\)", model="dncnn_b")


def test_nan_and_infinity(tmp_path):
    path = _saved(tmp_path, lambda state: state["dncnn.3.bias"].fill_(float("nan")))
    _refused(path, r"NaN or infinity in dncnn\.3\.bias", model="dncnn_s25")
    path = _saved(tmp_path, lambda state: state["dncnn.3.bias"].fill_(float("inf")))
    _refused(path, r"NaN or infinity in dncnn\.3\.bias", model="dncnn_s25")


def test_a_checkpoint_with_nan_is_not_used(tmp_path):
    api.convert(_saved(tmp_path, lambda state: None), tmp_path / "ours.ckpt", model="dncnn_s25")
    loaded = checkpoint.read(tmp_path / "ours.ckpt")
    loaded.parameters["first.weight"].set_data(
        ms.Tensor(np.full(loaded.parameters["first.weight"].shape, np.nan, np.float32))
    )
    with pytest.raises(InputError, match=r"NaN or infinity in first\.weight; use an earlier"):
        checkpoint.load_strictly(_network_of(loaded.recipe), loaded)


def _network_of(loaded_recipe):
    return registry.build("network", loaded_recipe.network)


def test_another_networks_weights(tmp_path):
    path = _saved(tmp_path, lambda state: None)
    _refused(path, "DnCNN of DnCNN-PyTorch .*, not edsr .network edsr", model="edsr")
    _refused(path, r"not cdncnn_b \(channels 3\)", model="cdncnn_b")
    torch.save({"encoder.weight": torch.ones(3)}, path)
    _refused(path, r"no known layout of weights; its names are encoder\.weight; known: DnCNN of")
    torch.save([1, 2], path)
    _refused(path, "no state dict")


def test_an_uncertain_model_is_asked_for(tmp_path):
    _, state = torch_networks.dncnn(layers=17, filters=64)
    torch.save(state, tmp_path / "weights.pth")
    path = tmp_path / "weights.pth"
    _refused(path, "name one of dncnn_s15, dncnn_s25, dncnn_s50 with --model")
    _refused(
        path,
        "decide network.layers 20 .the file has 17",
        model="dncnn_s25",
        settings={"network.layers": 20},
    )


def test_other_files(tmp_path):
    (tmp_path / "weights.onnx").touch()
    _refused(tmp_path / "weights.onnx", r"\.onnx; expected \.pth, \.pt, \.bin")
    _refused(tmp_path / "absent.pth", "no such file")
    path = _saved(tmp_path, lambda state: None)
    with pytest.raises(InputError, match=r"expected a file name that ends in \.ckpt"):
        api.convert(path, tmp_path / "ours.pth", model="dncnn_s25")


@pytest.mark.slow
def test_the_command(command_line, in_process, tmp_path):
    path = _saved(tmp_path, lambda state: None)
    done = command_line(
        "convert", "--source", path, "--model", "dncnn_s25", "--output", tmp_path / "ours.ckpt"
    )
    assert done.returncode == 0, done.stderr
    assert "DnCNN of DnCNN-PyTorch, 1,920 parameters" in done.stdout
    failed = in_process("convert", "--source", path, "--output", tmp_path / "other.ckpt")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("holders", "prefix", "name"),
    [
        ((), "generator.", "a.pth"),
        (("state_dict",), "model.", "a.ckpt"),  # as PyTorch Lightning writes it
        (("net_g",), "_orig_mod.", "a.bin"),
        (("checkpoint", "netG")[1:], "module.model.", "a.pth.tar"),
        (("model", "params_ema"), "", "A.PT"),
    ],
)
def test_holders_and_prefixes_of_training_programs(holders, prefix, name, tmp_path):
    forward, state = torch_networks.edsr("basicsr", scale=2, residual_scale=0.1)
    content = {prefix + key: value for key, value in state.items()}
    for holder in reversed(holders):
        content = {holder: content, "epoch": 3}
    torch.save(content, tmp_path / name)
    api.convert(tmp_path / name, tmp_path / "ours.ckpt", model="edsr", settings=SMALL)
    _compare(forward, tmp_path / "ours.ckpt", 3, 2)


def test_weights_that_declare_more_than_they_hold(tmp_path):
    large = torch.zeros(1).expand(2_000_000, 2_000_000)
    torch.save({"model.0.weight": large}, tmp_path / "a.pth")
    _refused(tmp_path / "a.pth", "declares weights of 4000000000000 elements, above the limit")
