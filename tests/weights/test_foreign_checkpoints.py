"""Weights of another framework in the place of a checkpoint, in every verb that takes one."""

import importlib

import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.verbs.loading import prior_of
from tests.fixtures import matlab_hdf5
from tests.fixtures.pictures import smooth

torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
torch_networks = importlib.import_module("tests.weights.torch_networks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """a.pth, 12 layers that no shipped model has; a.ckpt, the same converted; pictures."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("foreign")
    _, state = torch_networks.chain(3, 3, layers=12, filters=4)
    torch.save({"state_dict": {f"net_g.{k}": v / 9 for k, v in state.items()}}, made / "a.pth")
    api.convert(made / "a.pth", made / "a.ckpt", model="cdncnn_b")
    (made / "in").mkdir()
    for number in range(2):
        PIL.Image.fromarray(smooth(24, 28 + number, 3)).save(made / "in" / f"{number}.png")
    return made


def test_infer(folder, in_process, tmp_path):
    outputs = []
    for name, words in (("a.pth", ("--model", "cdncnn_b")), ("a.ckpt", ())):
        output = tmp_path / name
        done = in_process(
            *("infer", "--checkpoint", folder / name, "--input", folder / "in"),
            *("--output", output, *words),
        )
        assert done.returncode == 0, done.stderr
        outputs.append([np.asarray(PIL.Image.open(output / f"{n}.png")) for n in range(2)])
        if name == "a.pth":
            assert "a.pth: DnCNN of KAIR, model cdncnn_b" in done.stdout
    for ours, expected in zip(*outputs):
        np.testing.assert_array_equal(ours, expected)
    assert len(list(folder.glob("*.cached.*"))) <= 1  # of the checkpoint alone


@pytest.mark.slow
def test_eval_export_and_prior(folder, tmp_path):
    options = {"data_dir": folder / "in", "output_dir": tmp_path / "eval"}
    scores = [
        api.evaluate(folder / name, model=model, **options)["mean"]["psnr"]
        for name, model in (("a.pth", "cdncnn_b"), ("a.ckpt", None))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    file = api.export(folder / "a.pth", tmp_path / "a.onnx", model="cdncnn_b")
    y = smooth(24, 28, 3) / np.float32(255)
    expected = api.load_model(folder / "a.ckpt")(y)
    np.testing.assert_allclose(api.load_model(file)(y), expected, atol=1e-5)
    found = api.load_model(folder / "a.pth", model="cdncnn_b", engine="mindspore")
    np.testing.assert_allclose(found(y), expected, atol=1e-5)


def test_a_prior_of_which_the_model_is_certain(tmp_path):
    rng = np.random.default_rng(0)
    widths, dilations = [3, *[64] * 6, 3], (1, 2, 3, 4, 3, 2, 1)
    layers = [
        ((rng.standard_normal((b, a, 3, 3)) / (9 * a)).astype("f4"), np.zeros(b, "f4"))
        for a, b in zip(widths, widths[1:])
    ]
    net = {"layers": matlab_hdf5.network(layers, dilations)}
    matlab_hdf5.write(tmp_path / "a.mat", {"net": net})
    prior = prior_of(tmp_path / "a.mat", {"name": "dmsp"}, EngineOptions())
    assert (prior.recipe.model, prior.sigma_255) == ("ircnn_color", 25)


def test_slips_are_one_line(folder, in_process, tmp_path):
    for words, message in (
        (("infer", "--input", folder / "in", "--output", tmp_path), "name one of"),
        (("eval", "--model", "edsr", "--data_dir", folder / "in"), "not edsr"),
        (("export", "--file_name", tmp_path / "b.onnx", "--model", "nothing"), "unknown model"),
    ):
        done = in_process(*words, "--checkpoint", folder / "a.pth")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert message in line
