"""ONNX files of every network, run by ONNX Runtime (optional; skipped where it is absent)."""

import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api, recipe, registry
from ms_restore.contracts import Geometry
from ms_restore.deploy import onnx as exporting
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from tests.conftest import reduced

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")


@pytest.mark.parametrize("model", ["edsr_x3", "edsr_x4", "noise2noise_gaussian"])
def test_batches_and_other_scales_equal_the_checkpoint(model, tmp_path):
    """Every network at scale 2, image by image, is in test_every_network.py."""
    loaded = recipe.load(model, reduced(model))
    network = registry.build("network", loaded.network).set_train(False)
    for parameter in network.trainable_params():  # biases too, which begin at zero
        noise = np.random.default_rng(1).normal(0, 0.02, parameter.shape).astype(np.float32)
        parameter.set_data(ms.Tensor(parameter.asnumpy() + noise))
    metadata = Metadata(loaded, Geometry.of(network), None, None)
    assert exporting.export(network, tmp_path / "net.onnx", metadata) < 1e-4
    read, engine = exporting.read(tmp_path / "net.onnx")
    assert read.recipe == loaded
    for height, width in metadata.geometry.example_sizes():
        channels = metadata.geometry.channels
        y = np.random.default_rng(0).random((2, channels, height, width), np.float32)
        assert engine(y).shape[:1] == (2,)


@pytest.mark.slow
def test_the_verbs_take_the_file(run, pictures, tmp_path):
    path = api.export(run.folder, tmp_path / "net", file_format="onnx", device_target="CPU")
    assert path == tmp_path / "net.onnx"
    options = {"data_dir": pictures, "device_target": "CPU"}
    exported = api.evaluate(path, output_dir=tmp_path / "exported", **options)
    direct = api.evaluate(run.folder, output_dir=tmp_path / "direct", **options)
    assert exported["mean"]["psnr"] == pytest.approx(direct["mean"]["psnr"], abs=1e-3)
    fixed = api.export(
        run.folder, tmp_path / "fixed", file_format="ONNX", height=32, width=32, device_target="CPU"
    )
    assert len(api.infer(fixed, pictures, tmp_path / "restored", device_target="CPU")) == 4


def test_the_file_needs_onnx_runtime_alone(run, tmp_path):
    path = api.export(run.folder, tmp_path / "net", file_format="ONNX", device_target="CPU")
    code = (
        "import sys, numpy, onnxruntime\n"
        f"session = onnxruntime.InferenceSession(r'{path}')\n"
        "for size in ((5, 7), (32, 32)):\n"
        "    y = numpy.zeros((1, 3, *size), numpy.float32)\n"
        "    assert session.run(None, {'y': y})[0].shape == (1, 3, 2 * size[0], 2 * size[1])\n"
        "assert 'mindspore' not in sys.modules\n"
        "assert 'ms_restore' in session.get_modelmeta().custom_metadata_map"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_bad_files(run, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"net\.onnx: not (an ONNX file|exported)"):
        api.load_model(tmp_path / "net.onnx", device_target="CPU")
    with pytest.raises(InputError, match="AIR is written on an Ascend host alone"):
        api.export(run.folder, tmp_path / "net", file_format="AIR", device_target="CPU")
    with pytest.raises(InputError, match="no such file"):
        api.load_model(tmp_path / "absent.onnx", device_target="CPU")
