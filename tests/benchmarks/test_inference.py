"""What infer is measured against: the best of the bare engines, each of which computes the same."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from ms_restore import api
from ms_restore.deploy import ncnn

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def inference(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("inference")


def _times(**medians):
    """The least times are a tenth less, but ONNX Runtime's, which are half."""
    return {
        name: {"median": one, "min": one * (0.5 if name == "onnxruntime" else 0.9), "max": 2 * one}
        for name, one in medians.items()
    }


def test_infer_is_compared_with_the_best_of_each_kind(inference):
    times = _times(infer=2.0, onnxruntime=4.0, ncnn=3.0, openvino=3.5, contiguous=6.0)
    found = inference.summary(times | _times(channels_last=5.0, compiled=4.5))
    assert found["best bare engine"] == "ncnn"
    ratios = {name: value for name, value in found.items() if "ratio" in name}
    assert ratios == {
        "ratio to bare ONNX Runtime, median": 2.0,
        "ratio to bare ONNX Runtime, min": 1.111,
        "ratio to the best bare engine, median": 1.5,
        "ratio to the best bare engine, min": 1.111,  # ONNX Runtime's is the least of all
        "ratio to PyTorch, median": 2.5,  # eager, as in files that are stored
        "ratio to the best of PyTorch, compiled too, median": 2.25,
    }
    assert found["PyTorch channels_last, seconds, median"] == 5.0
    assert "PyTorch contiguous, seconds, median" not in found


def test_what_took_no_part_has_no_figure(inference):
    found = inference.summary(_times(infer=2.0, onnxruntime=3.0))
    assert found["best bare engine"] == "ONNX Runtime"
    assert found["ratio to the best bare engine, median"] == 1.5
    assert not any(name in key for key in found for name in ("PyTorch", "ncnn", "OpenVINO"))


def test_bare_engines_compute_the_same(inference, tiny, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
    monkeypatch.setitem(inference._CASES, "tiny", (tiny, {}, (24, 40)))
    path = inference._checkpoint("tiny", tmp_path / "tiny.ckpt")
    engines = inference.bare_engines(path)
    assert ("ncnn" in engines) == ncnn.can_convert()
    y = inference._array("tiny", 3)
    expected = api.load_model(path, engine="mindspore", device_target="CPU")(
        y[0].transpose(1, 2, 0)
    )
    for name in engines:
        found = inference._WAYS[name]("tiny", path, name)()
        assert found.shape == (1, 3, 48, 80), name
        np.testing.assert_allclose(
            found[0].transpose(1, 2, 0).clip(0, 1), expected, atol=1e-4, err_msg=name
        )


def test_what_ncnn_cannot_take_is_measured_without(inference, tiny, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
    monkeypatch.setattr(ncnn, "find_spec", lambda name: None)
    monkeypatch.setitem(inference._CASES, "tiny", (tiny, {}, (24, 40)))
    path = inference._checkpoint("tiny", tmp_path / "tiny.ckpt")
    assert "ncnn" not in inference.bare_engines(path)
    assert "tiny: ncnn is left out: conversion to ncnn needs" in capsys.readouterr().out


def test_the_peak_is_not_that_of_the_process_that_starts_it(inference, tmp_path):
    """Which exec passes on as ru_maxrss."""
    turns = importlib.import_module("turns")
    script = tmp_path / "worker.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(FOLDER)!r})\n"
        "from turns import serve\nserve(lambda: bytearray(b'x') * (50 << 20))\n"
    )
    held = np.ones(40 << 20)  # 320 MiB, beside MindSpore
    measured = turns.alternate({"small": [sys.executable, str(script)]}, 1, 1)["small"]
    assert held[0] and 50 << 20 < measured.peak < 250 << 20
