"""The verb benchmark: every figure is there, and the file holds what they depend on."""

import json
import time

import pytest

from ms_restore import recipe, runtime
from ms_restore.data.sampling import TrainingBatches
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.verbs import benchmark

pytestmark = pytest.mark.slow


def test_a_model_is_measured(command_line, tiny, tmp_path):
    file = tmp_path / "figures.json"
    words = ["--model", tiny, "--max_steps", 7, "--output", file, "--device_target", "CPU"]
    done = command_line("benchmark", *words, "--network.filters", "5")
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
