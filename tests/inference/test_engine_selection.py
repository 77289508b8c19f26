"""Which engine computes, and the exports that are kept for it."""

import json
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ms_restore import __version__, api
from ms_restore.deploy import mindir, onnx
from ms_restore.errors import InputError
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.mindspore_engine import MindIREngine, MindSporeEngine
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.verbs.loading import prior_of
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import checkpoint as checkpoints

pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
Y = np.random.default_rng(0).random((21, 17, 3), np.float32)


@pytest.fixture
def best(run, tmp_path):
    """A checkpoint in a folder of its own."""
    return shutil.copy(run.folder / "best.ckpt", tmp_path / "best.ckpt")


@pytest.fixture
def by(best):
    return lambda engine="auto", **options: api.load_model(
        best, engine=engine, device_target="CPU", **options
    )


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for kind in ("MINDIR", "ONNX"):
        api.export(run.folder, folder / "net", file_format=kind, device_target="CPU")
    return folder


def test_all_engines_agree(by):
    expected = by("mindspore")(Y)
    assert np.abs(expected - expected.mean()).max() > 0.01
    for engine in ("mindir", "onnxruntime"):
        restorer = by(engine)
        assert restorer.engine == engine
        np.testing.assert_allclose(restorer(Y), expected, atol=1e-5)


def test_auto_takes_onnx_runtime_on_a_cpu_and_mindspore_without_it(by, monkeypatch):
    assert by().engine == "onnxruntime"
    assert by(mode="pynative").engine == "mindspore"
    by("mindspore")  # graph mode again
    monkeypatch.setattr(OnnxRuntimeEngine, "is_installed", staticmethod(lambda: False))
    assert by().engine == "mindspore"


def test_what_is_kept_is_used_without_mindspore_computing(by, tmp_path, monkeypatch, capsys):
    first = by()(Y)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.cached.onnx", "best.ckpt"]
    assert "exported for engine onnxruntime, for next time" in capsys.readouterr().out

    def compiled(*_):
        raise AssertionError("MindSpore computes")

    monkeypatch.setattr(MindSporeEngine, "__call__", compiled)
    monkeypatch.setattr(onnx, "export", compiled)
    assert (by()(Y) == first).all()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("change", ["weights", "version", "damaged", "shape"])
def test_what_is_kept_of_another_checkpoint_is_made_anew(by, best, tmp_path, change):
    kept = tmp_path / "best.cached.onnx"
    first = by()(Y)
    before = kept.read_bytes()
    if change == "weights":
        network, recipe = network_of(best, None, None)
        network.tail.bias.set_data(network.tail.bias + 0.2)
        checkpoints.save(best, network, recipe, {})
        assert np.abs(by()(Y) - first).max() > 0.1
        return
    if change == "version":
        older = before.replace(__version__.encode(), b"0.0.9")
        assert older != before
        kept.write_bytes(older)
    elif change == "damaged":
        kept.write_bytes(before[:-100])
    else:
        api.export(best, tmp_path / "best.cached", file_format="ONNX", height=8, width=8)
    assert (by()(Y) == first).all()
    assert kept.read_bytes() == before


def test_other_settings_of_the_network_do_not_use_what_is_kept(by, best, pictures, tmp_path):
    by()
    with pytest.raises(InputError, match="these weights do not fit the network"):
        api.infer(
            best,
            pictures / "a_rgb.png",
            tmp_path / "x.png",
            settings={"network.filters": 8},
            device_target="CPU",
        )


def test_a_folder_that_cannot_be_written_does_no_harm(by, tmp_path, capsys):
    (tmp_path / "best.cached.onnx").mkdir()  # even root cannot replace it by a file
    restorer = by()
    assert restorer.engine == "onnxruntime"
    assert restorer(Y).shape == (42, 34, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.cached.onnx", "best.ckpt"]
    assert "exported for" not in capsys.readouterr().out


def test_auto_goes_on_with_mindspore_where_onnx_runtime_cannot(by, monkeypatch, capsys):
    def differs(*_):
        raise InputError("differs from the checkpoint by 1")

    monkeypatch.setattr(onnx, "export", differs)
    restorer = by()
    assert restorer.engine == "mindspore"
    assert "note: MindSpore computes, for onnxruntime cannot: differs" in capsys.readouterr().out
    with pytest.raises(InputError, match="differs from the checkpoint by 1"):
        by("onnxruntime")


@pytest.mark.parametrize(
    ("file", "engine", "way_out"),
    [
        ("net.mindir", "onnxruntime", "takes no .mindir file; use --engine mindir or lite"),
        ("net.mindir", "mindspore", "takes no .mindir file; use --engine mindir or lite"),
        ("net.onnx", "mindir", "takes no .onnx file; use --engine onnxruntime"),
        ("net.onnx", "lite", "takes no .onnx file; use --engine onnxruntime"),
        ("net.ms", "lite", "takes no .ms file from Python, MINDIR alone; convert the .mindir with"),
        ("net.ms", "auto", "takes no .ms file from Python"),
        ("net.om", "lite", "takes no .om file; use --engine om"),
    ],
)
def test_engines_that_do_not_take_a_file(exported, file, engine, way_out):
    with pytest.raises(InputError, match=way_out):
        api.load_model(exported / file, engine=engine, device_target="CPU")


def test_engines_that_there_are_not(by, best):
    with pytest.raises(InputError, match=r"unknown engine 'onxruntime' \(did you mean 'onnxr"):
        by("onxruntime")
    with pytest.raises(InputError, match="seed: got -1, expected 0 to 4294967295"):
        EngineOptions(seed=-1).checked()
    with pytest.raises(InputError, match="computes on the CPU, not on Ascend"):
        api.load_model(best, engine="onnxruntime", device_target="Ascend")
    with pytest.raises(InputError, match=r"needs the package mindspore_lite, .*https://"):
        by("lite")


def test_a_prior_has_the_engine_too(smoother):
    y = np.random.default_rng(0).random((1, 3, 9, 8), np.float32)
    priors = [
        prior_of(smoother, {}, EngineOptions(e, "CPU")) for e in ("auto", "mindir", "mindspore")
    ]
    assert [prior.engine_name for prior in priors] == ["onnxruntime", "mindir", "mindspore"]
    np.testing.assert_allclose(priors[0].denoise(y), priors[1].denoise(y), atol=1e-6)
    assert prior_of(smoother, {"amp_level": "O2"}, EngineOptions("auto", "CPU")).engine is None


def test_files_that_are_not_what_they_say(exported, tmp_path):
    """Each in one line: another network's settings, another range, cut off, fixed for a prior."""
    for name, read in (("net.onnx", onnx.read), ("net.mindir", mindir.read)):
        whole = (exported / name).read_bytes()
        other = tmp_path / name
        other.write_bytes(whole.replace(b"[0, 1]", b"[0, 2]"))
        said = r"its range is \[0, 2\], expected \[0, 1\]|net\.mindir: .* a damaged one"
        with pytest.raises(InputError, match=said):
            read(other)
        for length in (0, 100, len(whole) // 2, len(whole) - 1):
            other.write_bytes(whole[:length])
            with pytest.raises(InputError) as caught:
                read(other)
            assert len(str(caught.value).splitlines()) == 1
        with pytest.raises(InputError, match="is an export of tiny, not of edsr"):
            api.load_model(exported / name, model="edsr", device_target="CPU")
        with pytest.raises(InputError, match="cannot be changed by settings"):
            api.evaluate(exported / name, settings={"network.filters": 8}, device_target="CPU")


@pytest.fixture
def lite(monkeypatch, tmp_path):
    """A module with the calls that MindSpore Lite documents, and how it was called.

    https://www.mindspore.cn/lite/api/en/r2.10.0/mindspore_lite/mindspore_lite.Model.html
    """
    calls = SimpleNamespace(built=[], resized=[])

    class LiteTensor:
        def __init__(self, shape):
            self.shape, self.value = shape, None

        def set_data_from_numpy(self, value):
            assert list(value.shape) == list(self.shape)
            assert value.dtype == np.float32
            self.value = value

        def get_data_to_numpy(self):
            return self.value

    class Model:
        def build_from_file(self, path, kind, context):
            if context.target == ["ascend"]:
                raise RuntimeError("no Ascend\nhere")
            calls.built.append((path, kind, context.target))
            copied = shutil.copy(path, tmp_path / "copied.mindir")  # the suffix that it needs
            self.engine = MindIREngine(copied)
            self.inputs = [LiteTensor([1, 3, -1, -1])]

        def get_inputs(self):
            return self.inputs

        def resize(self, inputs, shapes):
            calls.resized.append(shapes)
            self.inputs = [LiteTensor(shapes[0])]

        def predict(self, inputs):
            output = LiteTensor([])
            output.value = self.engine(inputs[0].value)
            return [output]

    module = ModuleType("mindspore_lite")
    module.Context = lambda: SimpleNamespace(target=["cpu"], ascend=SimpleNamespace(device_id=0))
    module.ModelType = SimpleNamespace(MINDIR="mindir")
    module.Model = Model
    monkeypatch.setitem(sys.modules, "mindspore_lite", module)
    return calls


def test_lite_by_its_documentation(by, lite, exported, tmp_path):
    expected = by("mindspore")(Y)
    restorer = by("lite")
    assert restorer.engine == "lite"
    np.testing.assert_allclose(restorer(Y), expected, atol=1e-5)
    assert lite.resized == [[[1, 3, 21, 17]]]
    assert (tmp_path / "best.cached.mindir").is_file()
    shutil.copy(exported / "net.mindir", tmp_path / "net.lite.mindir")
    with pytest.raises(InputError, match=r"net\.lite\.mindir was converted .* put net\.mindir,"):
        api.load_model(tmp_path / "net.lite.mindir", engine="lite", device_target="CPU")
    for name in ("net.mindir", "net.lite.mindir"):
        shutil.copy(exported / "net.mindir", tmp_path / name)
    for name in ("net.lite.mindir", "net.mindir"):
        found = api.load_model(tmp_path / name, engine="lite", device_target="CPU")
        np.testing.assert_allclose(found(Y), expected, atol=1e-5)
        assert lite.built[-1] == (str(tmp_path / name), "mindir", ["cpu"])
    with pytest.raises(InputError, match=r"cannot load it on ascend \(no Ascend\)"):
        api.load_model(tmp_path / "net.mindir", engine="lite")


def test_metrics_say_the_engine(run, pictures, tmp_path):
    for engine in ("mindspore", "onnxruntime"):
        folder = tmp_path / engine
        api.evaluate(
            run.folder, data_dir=pictures, output_dir=folder, engine=engine, device_target="CPU"
        )
        assert json.loads((folder / "metrics.json").read_text())["engine"] == engine
