"""The engine ncnn and its files, which pnnx makes (optional; skipped where they are absent)."""

import json
import shutil
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api, cli, recipe, registry
from ms_restore.contracts import Geometry
from ms_restore.data import photos
from ms_restore.deploy import engine_choice, ncnn
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture
from ms_restore.inference.mindspore_engine import MindSporeEngine
from tests.conftest import reduced
from tests.fixtures.bands import check_bands

vulkan = pytest.importorskip("ncnn", reason="ncnn is optional").get_gpu_count() > 0
if not ncnn.can_convert():
    pytest.skip("pnnx is optional", allow_module_level=True)

MODELS = ["edsr_baseline_x2", "dncnn_s25", "noise2noise_gaussian", "srvgg_x4"]
OTHERS = ["sid_sony", "dmsp_dae", "real_x4_6", "drunet_color", "ircnn_color"]
IN_BANDS = {"edsr_baseline_x2", "dncnn_s25", "srvgg_x4", "dmsp_dae", "real_x4_6", "ircnn_color"}
MODELS += [pytest.param(model, marks=pytest.mark.long) for model in OTHERS]


@pytest.fixture
def best(run, tmp_path, monkeypatch):
    """A checkpoint in a folder of its own, for which auto may take ncnn."""
    monkeypatch.delenv(engine_choice.WITHOUT_NCNN)
    return shutil.copy(run.folder / "best.ckpt", tmp_path / "best.ckpt")


def _random(model):
    """A network at its smallest, with random weights and biases, and its description."""
    loaded = recipe.load(model, reduced(model))
    network = registry.build("network", loaded.network).set_train(False)
    for parameter in network.trainable_params():
        noise = np.random.default_rng(1).normal(0, 0.02, parameter.shape).astype(np.float32)
        parameter.set_data(ms.Tensor(parameter.asnumpy() + noise))
    return network, Metadata(loaded, Geometry.of(network), None, None)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_file_equals_the_checkpoint(model, tmp_path):
    network, metadata = _random(model)
    assert ncnn.export(network, tmp_path / f"net{ncnn.SUFFIX}", metadata) < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.ncnn.bin", "net.ncnn.param"]
    read, engine = ncnn.read(tmp_path / f"net{ncnn.SUFFIX}")
    assert read == metadata
    multiple = metadata.geometry.size_multiple
    size = (5 * multiple, 3 * multiple) if multiple > 1 else (41, 23)
    y = np.random.default_rng(0).random((2, metadata.geometry.input_channels, *size), np.float32)
    expected = MindSporeEngine(network)(y)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(engine(y), expected, atol=1e-4)
    assert (engine.memory.bands_from is not None) == (model in IN_BANDS)
    if model in IN_BANDS:
        check_bands(engine, metadata.geometry)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["nafnet_sidd_32", "ffdnet_color"])
def test_networks_that_ncnn_is_not_used_for(model, tmp_path):
    network, metadata = _random(model)
    with pytest.raises(InputError, match=rf"layers that {model} has: .*use --file_format ONNX"):
        ncnn.export(network, tmp_path / f"net{ncnn.SUFFIX}", metadata)
    assert list(tmp_path.iterdir()) == []


def test_auto_takes_it_and_does_so_again(best, tmp_path, capsys, monkeypatch):
    y = np.random.default_rng(0).random((21, 17, 3), np.float32)
    first = api.load_model(best, device_target="CPU")
    assert first.engine == "ncnn"
    assert "engine ncnn computes tiny from now on" in capsys.readouterr().out
    again = api.load_model(best, device_target="CPU")
    assert again.engine == "ncnn" and "from now on" not in capsys.readouterr().out
    by_mindspore = api.load_model(best, engine="mindspore", device_target="CPU")
    np.testing.assert_allclose(again(y), by_mindspore(y), atol=1e-5)
    np.testing.assert_array_equal(again(y), first(y))
    in_one_piece = api.load_model(best, tile=0, device_target="CPU")
    assert in_one_piece.engine == "onnxruntime"  # which needs half the memory
    monkeypatch.setenv(engine_choice.WITHOUT_NCNN, "0")
    assert api.load_model(best, device_target="CPU").engine == "onnxruntime"


@pytest.mark.parametrize(("side", "chosen"), [(256, False), (300, True)])
def test_a_small_picture_is_not_worth_its_memory(best, side, chosen, tmp_path):
    photo = tmp_path / "photo.png"
    write_picture(photo, Picture(np.ascontiguousarray(photos.load("chelsea")[:side, :side])))
    api.infer(best, photo, tmp_path / "larger.png", device_target="CPU")
    assert best.with_name("best.cached.engine.json").exists() == chosen


def test_auto_keeps_onnx_runtime_where_ncnn_is_slow(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(engine_choice.WITHOUT_NCNN)
    from ms_restore.weights import checkpoint

    network, metadata = _random("ircnn_color")  # dilated convolutions
    checkpoint.save(tmp_path / "best.ckpt", network, metadata.recipe, {})
    for said in (True, False):
        assert api.load_model(tmp_path / "best.ckpt", device_target="CPU").engine == "onnxruntime"
        assert ("ncnn is slow at dilated convolutions" in capsys.readouterr().out) == said


def test_a_choice_for_other_weights_does_not_count(best, tmp_path):
    api.load_model(best, device_target="CPU")
    path = tmp_path / "best.cached.engine.json"
    choice = json.loads(path.read_text())
    path.write_text(json.dumps({**choice, "sha256": "0" * 64, "engine": "onnxruntime"}))
    assert api.load_model(best, device_target="CPU").engine == "ncnn"
    path.write_text("{")
    assert api.load_model(best, device_target="CPU").engine == "ncnn"


@pytest.mark.slow
def test_the_verbs_take_the_file_without_mindspore(run, pictures, tmp_path):
    path = api.export(run.folder, tmp_path / "net", file_format="NCNN", device_target="CPU")
    assert path == tmp_path / "net.ncnn.param"
    code = (
        "import sys\nfrom ms_restore import cli\n"
        f"cli.main(['infer', '--checkpoint', {str(path)!r}, '--input', {str(pictures)!r}, "
        f"'--output', {str(tmp_path / 'out')!r}])\n"
        "print({'mindspore', 'onnxruntime', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"
    direct = api.evaluate(
        run.folder, data_dir=pictures, output_dir=tmp_path / "a", device_target="CPU"
    )
    by_file = api.evaluate(path, data_dir=pictures, output_dir=tmp_path / "b", device_target="CPU")
    assert by_file["mean"]["psnr"] == pytest.approx(direct["mean"]["psnr"], abs=1e-3)


@pytest.mark.slow
def test_names_of_the_file(run, tmp_path):
    fixed = {"height": 32, "width": 48, "device_target": "CPU"}
    for name, wanted in (("a.param", "a"), ("b.ncnn", "b"), ("c.ncnn.param", "c"), ("d.x", "d.x")):
        kind = "ncnn" if name[0] in "bd" else None
        path = api.export(run.folder, tmp_path / name, file_format=kind, **fixed)
        assert path.name == f"{wanted}.ncnn.param"
    assert api.load_model(path)(np.zeros((64, 64, 3), np.float32)).shape == (128, 128, 3)
    with pytest.raises(InputError, match="its suffix is that of NCNN, but file_format is ONNX"):
        api.export(run.folder, tmp_path / "a.ncnn.param", file_format="ONNX", **fixed)


def test_damaged_files(run, tmp_path):
    path = api.export(run.folder, tmp_path / "net", file_format="NCNN", device_target="CPU")
    graph, model = path.read_bytes(), path.with_suffix(".bin").read_bytes()

    def refused(match):
        with pytest.raises(InputError, match=match):
            api.load_model(path, device_target="CPU")

    path.with_suffix(".bin").write_bytes(model[:-4])
    refused(r"net\.ncnn\.param: it or net\.ncnn\.bin is damaged")
    path.with_suffix(".bin").unlink()
    refused(r"net\.ncnn\.bin: no such file; ncnn takes a \.param and its \.bin")
    path.with_suffix(".bin").write_bytes(model)
    path.write_bytes(graph.replace(b"0=4 ", b"0=9 ", 1))
    refused("is damaged, or they are of two exports")
    path.write_bytes(graph[: graph.index(b"# ms_restore")])
    refused("not exported by ms-restore")
    path.write_bytes(b"\xff\xfe")
    refused("not text")
    path.write_bytes(graph)
    with pytest.raises(InputError, match=r"name net\.ncnn\.param beside it"):
        api.load_model(path.with_suffix(".bin"), device_target="CPU")
    with pytest.raises(InputError, match="engine onnxruntime takes no .param file"):
        api.load_model(path, engine="onnxruntime", device_target="CPU")
    with pytest.raises(InputError, match="on a GPU by Vulkan, not on Ascend"):
        api.load_model(path, device_target="Ascend")


def test_without_the_packages(best, monkeypatch):
    monkeypatch.setattr(ncnn, "find_spec", lambda name: None)
    assert api.load_model(best, device_target="CPU").engine == "onnxruntime"
    with pytest.raises(InputError, match="pip install --no-deps pnnx"):
        api.load_model(best, engine="ncnn", device_target="CPU")


def test_a_gpu_that_is_not_there(run, pictures, tmp_path, capsys):
    path = api.export(run.folder, tmp_path / "net", file_format="NCNN", device_target="CPU")
    words = [
        "infer",
        "--checkpoint",
        str(path),
        "--input",
        str(pictures),
        "--output",
        str(tmp_path),
    ]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--vulkan", "--device_id", "9"])
    assert ended.value.code == 2
    assert "Vulkan finds no GPU number 9 here" in capsys.readouterr().err


@pytest.mark.skipif(not vulkan, reason="no GPU with Vulkan, and no software driver")
def test_vulkan_equals_the_cpu(run, tmp_path):
    path = api.export(run.folder, tmp_path / "net", file_format="NCNN", device_target="CPU")
    y = np.random.default_rng(0).random((40, 33, 3), np.float32)
    by_gpu = api.load_model(path, device_target="GPU")(y)
    np.testing.assert_allclose(by_gpu, api.load_model(path, device_target="CPU")(y), atol=1e-5)
