"""What an older version wrote still serves: checkpoints, exports, run folders, prepared sets.

The files were made by version 0.1.0, before there were contracts: a tiny EDSR trained for 4 of its
6 steps (``run``) and for all 6 (``whole``) on three cuts of a photograph, a checkpoint of every
other network with what it gives for a seeded input, and prepared sets of all four kinds.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import ms_restore
from ms_restore import registry
from ms_restore.contracts import Geometry
from ms_restore.data import sources
from ms_restore.deploy import mindir, onnx
from ms_restore.images.reading import read_picture
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.settings import DataSettings
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import checkpoint, run_checkpoints

ARCHIVE = Path(__file__).parent / "fixtures" / "files_of_0_1.tar.xz"
NETWORKS = ("dncnn_s25", "noise2noise_gaussian", "noise2noise_mri", "sid_sony")


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "v01"


@pytest.fixture(scope="module")
def outputs(old):
    with np.load(old / "outputs.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize("model", NETWORKS)
def test_checkpoints_compute_what_they_did(old, outputs, model):
    loaded = checkpoint.read(old / "checkpoints" / f"{model}.ckpt")
    network = _network_of(loaded)
    geometry = Geometry.of(network)
    side = geometry.side or 32
    y = np.random.default_rng(5).random((1, geometry.channels, side, side), np.float32)
    np.testing.assert_allclose(MindSporeEngine(network)(y), outputs[model], atol=1e-5)


def _network_of(loaded):
    network = registry.build("network", loaded.recipe.network)
    checkpoint.load_strictly(network, loaded)
    return network.set_train(False)


def test_a_run_folder_serves_and_scores_the_same(old, outputs, monkeypatch):
    monkeypatch.chdir(old)
    network, recipe = network_of("run", None, None)
    assert recipe.model == "tiny"
    y = np.random.default_rng(5).random((1, 3, 20, 24), np.float32)
    np.testing.assert_allclose(MindSporeEngine(network)(y), outputs["tiny"], atol=1e-5)
    scored = ms_restore.evaluate("run", data_dir="pictures", engine="mindspore")["mean"]
    np.testing.assert_allclose(
        [scored["psnr"], scored["baseline_psnr"]], outputs["psnr"], atol=1e-3
    )


@pytest.mark.parametrize(("name", "read"), [("tiny.mindir", mindir.read), ("tiny.onnx", onnx.read)])
def test_exported_files_serve(old, outputs, name, read):
    metadata, engine = read(old / "run" / name)
    assert metadata.recipe.model == "tiny"
    y = np.random.default_rng(5).random((1, 3, 20, 24), np.float32)
    np.testing.assert_allclose(engine(y), outputs["tiny"], atol=1e-5)


def test_a_run_resumes_to_the_weights_of_the_whole_run(old, monkeypatch):
    """Not bit for bit: the other machine's convolutions may round otherwise."""
    monkeypatch.chdir(old)
    run = ms_restore.train(resume="run", device_target="CPU")
    assert run.steps == 6
    made = checkpoint.read(run_checkpoints.newest(old / "run")[0])
    expected = checkpoint.read(old / "whole" / "step_00000006.ckpt")
    assert made.parameters.keys() == expected.parameters.keys()
    assert made.training.keys() == expected.training.keys()
    for name, parameter in expected.parameters.items():
        np.testing.assert_allclose(
            made.parameters[name].asnumpy(), parameter.asnumpy(), atol=2e-5, err_msg=name
        )
    log = [json.loads(line) for line in (old / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_prepared_images(old):
    train, valid = sources.open_training(DataSettings(dir=str(old / "tiles"), patch_size=16), 3, 12)
    assert (train.names, valid.names) == (["p0", "p1"], ["p2"])
    expected = read_picture(old / "pictures" / "p0.png").pixels
    np.testing.assert_array_equal(train[0], expected)


def test_prepared_patches(old):
    data = DataSettings(dir=str(old / "patches"), patch_size=16, stride=8)
    train, _ = sources.open_training(data, 1, 12)
    assert train.description.startswith("29 patches")
    assert {patch.shape for patch in train.read(range(29))} == {(16, 16, 1)}


def test_prepared_slices_and_frames(old):
    data = DataSettings(dir=str(old / "slices"), patch_size=31)
    slices, valid = sources.open_training(data, 1, 12)
    assert (len(slices), len(valid)) == (100, 100)
    assert slices.tile(0).spectrum.shape == (31, 16)
    data = DataSettings(dir=str(old / "frames" / "train"), valid_dir=str(old / "frames" / "train"))
    frames, _ = sources.open_training(data, 3, 12)
    assert frames.names == ["00001_00_0.1s"]
    assert frames[0].shape == (140, 134, 3)
