"""Pictures that ncnn computes in bands of rows (optional; skipped where ncnn is absent)."""

import numpy as np
import pytest

from ms_restore import api
from ms_restore.deploy import ncnn
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.ncnn_bands import ROWS, BandGraph, Bands, NotInBandsError
from ms_restore.inference.ncnn_graph import read_layers, write_layers
from ms_restore.inference.restorer import Restorer

CONVOLUTION = "0=4 1=3 4=1 5=1 6=108"


def check_bands(engine, geometry):
    """Compare an engine's bands with one piece: less than a band, whole bands, and some more."""
    memory = engine.memory
    for height in (5, ROWS, 2 * ROWS, 5 * ROWS + 1):
        width = 9 if height > ROWS else 401  # which has strips where there are several processors
        y = np.random.default_rng(0).random((1, geometry.input_channels, height, width), np.float32)
        engine.memory = memory._replace(bands_from=None)
        whole = engine(y)
        engine.memory = memory._replace(bands_from=0)
        np.testing.assert_allclose(engine(y), whole, atol=1e-5 * max(1, np.abs(whole).max()))
    engine.memory = memory


@pytest.fixture
def exported(run, tmp_path):
    pytest.importorskip("ncnn", reason="ncnn is optional")
    if not ncnn.can_convert():
        pytest.skip("pnnx is optional")
    path = api.export(run.folder, tmp_path / "net", file_format="NCNN", device_target="CPU")
    return ncnn.read(path)


@pytest.fixture
def heights(monkeypatch):
    """The heights of the pictures that are computed in bands; they still are."""
    seen, compute = [], Bands.__call__

    def call(self, y):
        seen.append(y.shape[1])
        return compute(self, y)

    monkeypatch.setattr(Bands, "__call__", call)
    return seen


def test_only_large_pictures_are_computed_in_bands(exported, heights):
    metadata, engine = exported
    check_bands(engine, metadata.geometry)
    heights.clear()
    assert engine.memory.bands_from > 256 * 256  # which is as fast in one piece
    engine.memory = engine.memory._replace(bands_from=40 * 100)
    for width in (99, 100, 110):
        engine(np.zeros((1, 3, 40, width), np.float32))
    assert heights == [40] * 2


def test_a_large_picture_is_one_window_and_the_same(exported, heights):
    """Where windows of the same memory would cut it."""
    metadata, engine = exported
    geometry = metadata.geometry
    y = np.random.default_rng(0).random((1400, 1000, 3), np.float32)
    restorer = Restorer(LoadedNetwork(engine, geometry, metadata.recipe), watch=lambda *_: True)
    in_bands = restorer(y)
    assert heights == [1400]
    tiled = Restorer(LoadedNetwork(engine, geometry, metadata.recipe), tile=300)(y)
    assert heights == [1400]
    np.testing.assert_allclose(in_bands, tiled, atol=1e-5)


def test_no_memory(exported, monkeypatch):
    engine = exported[1]
    engine.memory = engine.memory._replace(bands_from=0)
    monkeypatch.setattr(Bands, "_band", lambda *_: None)
    with pytest.raises(ncnn.InputError, match="ncnn cannot compute 9x24 pixels at once"):
        engine(np.zeros((1, 3, 24, 9), np.float32))


@pytest.mark.parametrize(
    "layers",
    [
        ["Convolution a 1 1 in0 out0 0=4 1=3 3=2 4=1"],
        ["Convolution a 1 1 in0 out0 0=4 1=3 4=0"],
        ["Convolution a 1 1 in0 out0 0=4 1=3 4=1 14=2 16=0"],
        ["Pooling a 1 1 in0 out0 0=1 1=2 2=2"],
        ["Interp a 1 1 in0 out0 0=2 1=2.0 2=2.0"],
        ["Interp a 1 1 in0 out0 0=1 1=2.0 2=1.0"],
        ["Input other 0 1 in1", "BinaryOp a 2 1 in0 in1 out0 0=0"],
        ["MemoryData m 0 1 m 0=8 1=8 2=3", "BinaryOp a 2 1 in0 m out0 0=0"],
        [
            "Split s 1 2 in0 a b",
            "PixelShuffle p 1 1 a c 0=2",
            "BinaryOp d 2 1 c b out0 0=0",
        ],
        ["Split s 1 2 in0 a b", "Concat c 2 1 a b out0 0=1"],
        [f"Convolution a 1 1 in0 b {CONVOLUTION}"],
    ],
)
def test_graphs_that_are_computed_in_one_piece(layers):
    lines = ["7767517", "0 0", "Input in0 0 1 in0", *layers, "# a comment"]
    with pytest.raises(NotInBandsError):
        BandGraph("\n".join(lines), 3, masked=True)


def test_rows_wait_for_those_that_lag():
    lines = [
        "Input in0 0 1 in0",
        "Split s 1 2 in0 a b",
        f"Convolution c 1 1 a d {CONVOLUTION}",
        f"Convolution e 1 1 d f {CONVOLUTION} 2=2 4=2",
        "Concat g 2 1 b f h",
        "PixelShuffle p 1 1 h out0 0=2",
    ]
    graph = BandGraph("\n".join(["7767517", "6 7", *lines]), 4, masked=True)
    assert graph.output == (2, 6, 2)
    assert [(kept.rows, kept.blob.lag) for kept in graph.kept.values()] == [(2, 0), (4, 1), (3, 0)]
    assert graph.masks == [(1, 0), (1, 1)]
    assert graph.floats_per_column == 4 * (2 + 4 + 3)
    assert write_layers(read_layers(graph.text)) == graph.text
