"""The verb benchmark: every figure is there, and the file holds what they depend on."""

import json
import time

import numpy as np
import pytest

from ms_restore import api, recipe, registry, runtime
from ms_restore.data.sampling import TrainingBatches
from ms_restore.deploy import engine_choice, ncnn
from ms_restore.errors import InputError
from ms_restore.inference.engine_selection import MEASURED, EngineOptions
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.verbs import benchmark, engine_turns, network_loading
from ms_restore.weights import checkpoint
from tests.conftest import reduced

pytestmark = pytest.mark.slow
ON_CPU = EngineOptions(device_target="CPU")


@pytest.fixture
def quickly(monkeypatch):
    """Two rounds of a small picture."""
    monkeypatch.setattr(engine_turns, "_ROUNDS", 2)
    monkeypatch.setattr(engine_turns, "_SIDE", 32)


def test_a_model_is_measured(command_line, tiny, tmp_path):
    file = tmp_path / "figures.json"
    words = ["--model", tiny, "--max_steps", 7, "--output", file, "--device_target", "CPU"]
    engines = ["--engines", "ncnn", "mindspore"]
    done = command_line("benchmark", *words, *engines, "--network.filters", "5")
    assert done.returncode == 0, done.stderr
    for said in ("images/s", "data wait", "256x256 restored in", "peak memory"):
        assert said in done.stdout
    found = json.loads(file.read_text())
    figures = found["figures"]
    assert figures["training"]["steps"] == 2  # after five of warm-up
    assert figures["data"]["images_per_second"] > 0
    restoring = figures["restoring"]
    fastest_there = "onnxruntime" if OnnxRuntimeEngine.is_installed() else "mindspore"
    assert restoring["engine"] == fastest_there
    assert f"by engine {fastest_there}" in " ".join(done.stdout.split())
    assert 0 < restoring["fastest"] <= restoring["seconds"] <= restoring["slowest"]
    assert figures["peak_memory_mb"] > 100
    compared = figures["engines"]
    assert {**compared["measured"], **compared["left_out"]}.keys() == {"mindspore", "ncnn"}
    assert compared["measured"]["mindspore"]["difference"] == 0
    assert (compared["side"], compared["rounds"]) == (256, 7)
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("mindspore "))
    assert len(row.split()) == 5 and "ratio to the fastest" in done.stdout
    assert "filters: 5" in found["recipe"]
    assert found["machine"]["cores"] > 0
    assert found["versions"]["mindspore"]


def test_the_data_rate_is_not_that_of_batches_made_ahead(monkeypatch):
    made = TrainingBatches.__getitem__

    def slowly(self, batch):
        time.sleep(0.02 if batch > 20 else 0)
        return made(self, batch)

    monkeypatch.setattr(TrainingBatches, "__getitem__", slowly)
    monkeypatch.setattr(benchmark, "_SECONDS", 1.0)
    runtime.start("CPU")
    ours = recipe.load("dncnn_quickstart", {"data.workers": 2})
    most = 2 * ours.train.batch_size / 0.02
    assert 0.3 * most < benchmark._data(ours)["images_per_second"] < 1.1 * most


def test_a_solver_is_not(in_process):
    refused = in_process("benchmark", "--model", "dmsp_deblur")
    assert refused.returncode == 2
    assert "is a solver, which is not trained" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("onxruntime", "unknown engine 'onxruntime' (did you mean 'onnxruntime'?)"),
        ("mindspore xyz", "unknown engine 'xyz'; choose all, or of mindspore, mindir, onnxruntime"),
        ("all lite", "engine lite is not compared; choose all, or of mindspore"),
        ("", "argument --engines: expected at least one argument"),
    ],
)
def test_an_engine_that_is_not_compared(in_process, tmp_path, words, message):
    refused = in_process(
        "benchmark", "--model", "edsr_quickstart", "--engines", *words.split(), cwd=tmp_path
    )
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engines", [[], 3, "onnx runtime", [None]])
def test_what_names_no_engine_is_refused_before_anything_is_measured(engines, monkeypatch):
    monkeypatch.setattr(runtime, "start", None)
    with pytest.raises(InputError, match="engine"):
        api.benchmark("edsr_quickstart", engines=engines)


def test_engines_take_turns_at_one_picture(tiny, quickly, monkeypatch):
    ran, own = [], engine_turns.Restorer.__call__

    def slow_and_wrong(self, y):
        ran.append((self.engine, y.copy()))
        time.sleep(0.2 if self.engine == "mindir" else 0)
        return own(self, y) + np.float32(0.25 if self.engine == "mindir" else 0)

    monkeypatch.setattr(engine_turns.Restorer, "__call__", slow_and_wrong)
    found = engine_turns.measure(recipe.load(tiny), ["mindspore", "mindir"], ON_CPU)
    order = ["mindspore", *("mindspore", "mindir"), *("mindir", "mindspore", "mindspore", "mindir")]
    assert [name for name, _ in ran] == order  # the first is what the others are compared with
    assert all(np.array_equal(y, ran[0][1]) for _, y in ran)
    ours, slow = found["measured"]["mindspore"], found["measured"]["mindir"]
    assert (ours["ratio"], ours["difference"]) == (1, 0)
    assert slow["difference"] == pytest.approx(0.25, abs=1e-6)
    assert slow["seconds"] >= slow["fastest"] > 0.2 and 0 < slow["ratio"] < 0.9
    assert slow["ratio"] == pytest.approx(ours["seconds"] / slow["seconds"], abs=0.01)


def test_every_engine_is_measured_or_named_with_its_reason(quickly, monkeypatch, capsys):
    monkeypatch.setattr(ncnn, "find_spec", lambda name: None)
    if OnnxRuntimeEngine.is_installed():
        left_out = {"ncnn": "conversion to ncnn needs the package pnnx: pip install --no-deps pnnx"}
    else:
        left_out = dict.fromkeys(("onnxruntime", "ncnn"), "needs the package")
    small = recipe.load("dncnn_s25", reduced("dncnn_s25"))  # has batch normalisation to fold
    found = engine_turns.measure(small, MEASURED, ON_CPU)
    assert set(found["measured"]) == set(MEASURED) - set(left_out)
    assert all(one["difference"] < 1e-4 for one in found["measured"].values())
    assert max(one["ratio"] for one in found["measured"].values()) == 1
    assert found["left_out"].keys() == left_out.keys()
    engine_turns.show(found)
    said = capsys.readouterr().out.splitlines()
    for name, reason in left_out.items():
        assert reason in found["left_out"][name]
        assert f"engine {name} is left out: {found['left_out'][name]}" in said
    for name, one in found["measured"].items():
        (row,) = (line.split() for line in said if line.startswith(f"{name} "))
        assert float(row[1]) == one["seconds"] and float(row[3]) == pytest.approx(
            one["ratio"], abs=0.01
        )


def test_an_engine_without_the_network_or_the_device_is_named(quickly):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
    pytest.importorskip("pnnx", reason="pnnx is optional")
    small = recipe.load("ffdnet_color", reduced("ffdnet_color"))
    found = engine_turns.measure(small, ["ncnn"], ON_CPU)
    assert found["measured"] == {}
    assert "layers that ffdnet_color has" in found["left_out"]["ncnn"]
    engine_turns.show(found)
    network = registry.build("network", small.network)
    with pytest.raises(InputError, match="computes on the CPU, not on Ascend"):
        network_loading.by_engine(network, small, EngineOptions("onnxruntime", "Ascend"))


@pytest.mark.parametrize(
    ("model", "allowed", "taken"),
    [
        ("edsr_baseline_x2", True, "ncnn"),
        ("edsr_baseline_x2", False, "onnxruntime"),
        ("ircnn_color", True, "onnxruntime"),  # dilated
    ],
)
def test_restoring_is_by_the_engine_that_infer_takes(
    model, allowed, taken, quickly, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
    monkeypatch.delenv(engine_choice.WITHOUT_NCNN)
    if not ncnn.can_convert():
        pytest.skip("ncnn and pnnx are optional")
    if not allowed:
        monkeypatch.setenv(engine_choice.WITHOUT_NCNN, "0")
    small = recipe.load(model, reduced(model))
    network = registry.build("network", small.network).set_train(False)
    checkpoint.save(tmp_path / "best.ckpt", network, small, {})
    assert api.load_model(tmp_path / "best.ckpt", device_target="CPU").engine == taken
    assert benchmark._restoring(small, "CPU")["engine"] == taken
    on_ascend = network_loading.automatic_engine(network, small, "Ascend")
    assert isinstance(on_ascend.engine, MindSporeEngine)
