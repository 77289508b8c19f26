"""Every network's MINDIR and ONNX equal it at three sizes; ONNX in a process without MindSpore."""

import json
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api, recipe, registry
from ms_restore.contracts import Geometry
from ms_restore.deploy import mindir, onnx
from ms_restore.deploy.metadata import Metadata
from ms_restore.deploy.translation import onnx_graph
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.inference.restorer import Restorer
from tests.conftest import SMALL_MODELS, reduced

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")

_CLEAN = """
import json, sys
import numpy, onnxruntime
for name, cases in json.load(open("cases.json")).items():
    session = onnxruntime.InferenceSession(f"{name}.onnx")
    for case in cases:
        y, expected = numpy.load(f"{case}_y.npy"), numpy.load(f"{case}_x_hat.npy")
        x_hat = session.run(["x_hat"], {"y": y})[0]
        assert x_hat.shape == expected.shape
        print(name, numpy.abs(x_hat - expected).max())
assert not {"mindspore", "ms_restore", "onnx"} & set(sys.modules)
"""


def _sizes(geometry):
    """Three (height, width); odd ones, or odd multiples of what the network takes."""
    if geometry.side:
        return [(geometry.side, geometry.side)]
    m = geometry.size_multiple
    return [(3 * m, m), (2 * m, 2 * m), (m, 5 * m)] if m > 1 else [(16, 16), (37, 23), (64, 41)]


def _reduced(name):
    """The recipe of a network at its smallest."""
    model = next(m for m in SMALL_MODELS if recipe.load(m).network["name"] == name)
    return recipe.load(model, reduced(model))


def _largest(engine, y):
    return float(engine(y.transpose(2, 0, 1)[None]).max())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Each network with random weights: both files, inputs and MindSpore's outputs."""
    folder = tmp_path_factory.mktemp("networks")
    cases = {}
    for name in registry.REGISTRY["network"]:
        loaded = _reduced(name)
        network = registry.build("network", loaded.network).set_train(False)
        for parameter in network.trainable_params():  # biases too, which begin at zero
            noise = np.random.default_rng(1).normal(0, 0.02, parameter.shape).astype(np.float32)
            parameter.set_data(ms.Tensor(parameter.asnumpy() + noise))
        if hasattr(network, "folded"):
            network = network.folded()
        metadata = Metadata(loaded, Geometry.of(network), None, None)
        for module, suffix in ((mindir, "mindir"), (onnx, "onnx")):
            module.export(network, folder / f"{name}.{suffix}", metadata)
        engine, cases[name] = MindSporeEngine(network), []
        for size in _sizes(metadata.geometry):
            shape = (1, metadata.geometry.input_channels, *size)
            y = np.random.default_rng(2).random(shape, np.float32)
            case = f"{name}_{size[0]}x{size[1]}"
            cases[name].append(case)
            np.save(folder / f"{case}_y.npy", y)
            np.save(folder / f"{case}_x_hat.npy", engine(y))
            assert np.ptp(engine(y)) > 0.01
    (folder / "cases.json").write_text(json.dumps(cases))
    return folder, cases


def test_onnx_in_a_process_without_mindspore(exported):
    folder, cases = exported
    done = subprocess.run(
        [sys.executable, "-c", _CLEAN], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == [name for name in cases for _ in cases[name]]
    assert max(float(difference) for _, difference in lines) < 1e-4


@pytest.mark.parametrize("suffix", ["mindir", "onnx"])
def test_both_files_through_the_engines(exported, suffix):
    folder, cases = exported
    for name in cases:
        restorer = api.load_model(folder / f"{name}.{suffix}", tile=0, device_target="CPU")
        for case in cases[name]:
            y, expected = (np.load(folder / f"{case}_{part}.npy")[0] for part in ("y", "x_hat"))
            x_hat = restorer(y.transpose(1, 2, 0))
            expected = np.clip(expected.transpose(1, 2, 0), 0, 1)
            np.testing.assert_allclose(x_hat, expected, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in registry.REGISTRY["network"] if not n.endswith("mri")])
def test_tiled_equals_untiled_at_the_default_overlap(name):
    """With weights by which every input pixel within reach counts, the farthest too."""
    loaded = _reduced(name)
    network = registry.build("network", loaded.network).set_train(False)
    rng = np.random.default_rng(3)
    for parameter in network.trainable_params():
        if parameter.ndim == 4:
            value = rng.random(parameter.shape).astype(np.float32) + 0.5
            mean_of = 0 if "up." in parameter.name else (1, 2, 3)  # transposed convolutions
            parameter.set_data(ms.Tensor(value / value.sum(axis=mean_of, keepdims=True)))
    radius, multiple = network.receptive_radius, network.size_multiple
    if radius is None:
        with pytest.raises(InputError, match="sees the whole picture .* leave --tile out"):
            Restorer(LoadedNetwork.of(network, loaded), tile=64)
        return
    engine = OnnxRuntimeEngine(onnx_graph.model_of(network).SerializeToString())
    tile = -(-(2 * radius + 2 * multiple) // multiple) * multiple
    y = rng.random((tile + 35, tile + 21, Geometry.of(network).input_channels), np.float32)
    y /= max(1.0, _largest(engine, y[:multiple, :multiple]))  # so that the output is not clipped
    whole = Restorer(LoadedNetwork(engine, Geometry.of(network), loaded), tile=0)(y)
    assert np.ptp(whole) > 1e-4
    tiled = Restorer(LoadedNetwork(engine, Geometry.of(network), loaded), tile=tile)(y)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
