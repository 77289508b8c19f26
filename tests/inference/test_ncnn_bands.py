"""Pictures that ncnn computes in bands of rows (optional; skipped where ncnn is absent)."""

import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from ms_restore import api
from ms_restore.deploy import engine_choice, ncnn
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.ncnn_band_graph import BandGraph, NotInBandsError
from ms_restore.inference.ncnn_bands import Bands
from ms_restore.inference.ncnn_graph import read_layers, write_layers
from ms_restore.inference.restorer import Restorer
from ms_restore.inference.tiling import Span
from tests.fixtures.bands import check_bands

CONVOLUTION = "0=4 1=3 4=1 5=1 6=108"


@pytest.fixture
def converter():
    if not ncnn.can_convert():
        pytest.skip("ncnn and pnnx are optional")


@pytest.fixture
def exported(converter, run, tmp_path):
    path = api.export(run.folder, tmp_path / "net", file_format="NCNN", device_target="CPU")
    return ncnn.read(path)


@pytest.fixture
def heights(monkeypatch):
    """The heights of the pictures that are computed in bands; they still are."""
    seen, compute = [], Bands.__call__

    def call(self, size, read, write):
        seen.append(size[0])
        return compute(self, size, read, write)

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


@pytest.mark.parametrize("tile", [None, 100, (90, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_bands_of_windows_are_read_and_written_in_parts(exported, tile, channels):
    metadata, engine = exported
    loaded = LoadedNetwork(engine, metadata.geometry, metadata.recipe)
    y = np.random.default_rng(0).integers(0, 1 << 16, (150, 270, channels), np.uint16)
    whole = Restorer(loaded, tile=tile)(y)
    engine.memory = engine.memory._replace(bands_from=0)
    restorer = Restorer(loaded, tile=tile)
    in_bands = restorer(y)
    assert restorer.busy > 0
    assert in_bands.shape == whole.shape
    assert in_bands.std() > 0
    np.testing.assert_allclose(in_bands.astype(float), whole, atol=2)


@pytest.mark.parametrize("width", [100, 700])
def test_a_watch_ends_the_work_between_bands(exported, width):
    metadata, engine = exported
    engine.memory = engine.memory._replace(bands_from=0)
    seen = []

    def watch(done, total):
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    loaded = LoadedNetwork(engine, metadata.geometry, metadata.recipe)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt) as raised:  # whose frames live on
        Restorer(loaded, watch=watch)(np.zeros((1000, width, 3), np.float32))
    assert raised.traceback
    assert threading.active_count() == threads
    assert [done for done, _ in seen] == [0, 1, 2]
    assert seen[0][1] >= 10


def test_what_fails_in_a_strips_thread_is_raised(exported):
    def read(rows, columns):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        for _ in exported[1].in_bands((1000, 700), read, lambda *_: None):
            pass


@pytest.mark.parametrize("width", [9, 700])
def test_no_memory(exported, monkeypatch, width):
    engine = exported[1]
    engine.memory = engine.memory._replace(bands_from=0)
    monkeypatch.setattr(Bands, "_band", lambda *_: None)
    with pytest.raises(InputError, match=f"ncnn cannot compute {width}x24 pixels at once"):
        engine(np.zeros((1, 3, 24, width), np.float32))


@pytest.mark.usefixtures("converter")
@pytest.mark.parametrize("engine", ["ncnn", "auto"])
def test_a_checkpoints_first_picture_is_a_large_one(run, tmp_path, monkeypatch, heights, engine):
    """What the engine was made from is gone by then."""
    monkeypatch.delenv(engine_choice.WITHOUT_NCNN)
    best = shutil.copy(run.folder / "best.ckpt", tmp_path / "best.ckpt")
    y = np.random.default_rng(0).random((370, 360, 3), np.float32)
    x_hat = api.load_model(best, engine=engine, device_target="CPU")(y)
    assert heights == [370]
    expected = api.load_model(best, engine="onnxruntime", device_target="CPU")(y)
    np.testing.assert_allclose(x_hat, expected, atol=1e-5)


@pytest.mark.parametrize(("width", "threads"), [(140, 1), (700, 4)])
def test_threads_share_the_layers_of_wide_strips_alone(exported, monkeypatch, width, threads):
    """In a narrow one they would wait for each other most of the time."""
    bands = exported[1]._bands
    monkeypatch.setattr(bands, "_processors", 4)
    monkeypatch.setattr(bands, "_cut", lambda width: [Span(0, width, 0, width)])
    loaded, load = [], bands._net
    monkeypatch.setattr(bands, "_net", lambda text, n: loaded.append(n) or load(text, n))
    exported[1].in_bands((40, width), lambda *_: None, lambda *_: None)
    assert set(loaded) == {threads}


def test_no_folder_for_temporary_files(exported, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"again, for bands .*none.* temporary files"):
        exported[1](np.zeros((1, 3, 400, 400), np.float32))


def test_an_engine_of_depthwise_convolutions_is_released(tmp_path):
    """Its weights are not in the memory of the bands, which may go first."""
    pytest.importorskip("ncnn", reason="ncnn is optional")
    line = "ConvolutionDepthWise a 1 1 in0 out0 0=16 1=3 4=1 5=0 6=144 7=16"
    text = f"7767517\n2 2\nInput in0 0 1 in0\n{line}\n"
    (tmp_path / "net.ncnn.param").write_text(text)
    weights = np.random.default_rng(0).normal(size=144).astype(np.float32)
    (tmp_path / "net.ncnn.bin").write_bytes(bytes(4) + weights.tobytes())
    program = f"""
import gc
from pathlib import Path
import numpy as np
from ms_restore.contracts import Geometry
from ms_restore.inference.ncnn_engine import NcnnEngine
folder = Path({str(tmp_path)!r})
geometry = Geometry(1, 16, 1, 64, 1, 16, None)
for _ in range(3):
    engine = NcnnEngine(folder / "net.ncnn.param", folder / "net.ncnn.bin", geometry)
    y = np.random.default_rng(0).random((1, 16, 400, 400), np.float32)
    assert engine.memory.in_bands(400, 400)
    in_bands = engine(y)
    engine.memory = engine.memory._replace(bands_from=None)
    np.testing.assert_allclose(in_bands, engine(y), atol=1e-5)
    del engine
    gc.collect()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "layers",
    [
        ["Convolution a 1 1 in0 out0 0=4 1=3 3=2 4=1"],
        ["Convolution a 1 1 in0 out0 0=4 1=3 4=0"],
        ["Convolution a 1 1 in0 out0 0=4 1=3 4=1 14=2 16=0"],
        ["Convolution a 1 1 in0 out0 0=4 1=3 4=2 15=0 14=1 16=1"],
        ["Convolution a 1 1 in0 out0 0=4 1=3 4=1 18=0.5"],
        ["Input w 0 1 in1", "Convolution a 2 1 in0 in1 out0 0=4 1=3 4=1 19=1"],
        ["UnaryOp a 1 1 in0 out0 0=8"],
        ["Split s 1 2 in0 a b", "BinaryOp c 2 1 a b out0 0=3"],
        ["MemoryData m 0 1 m 0=1 1=1 2=3", "Concat c 2 1 in0 m out0 0=0"],
        ["Interp a 1 1 in0 out0 0=1 1=1.0 2=1.0 3=61 4=31"],
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


def test_a_constant_may_have_more_channels():
    lines = ["7767517", "3 3", "Input in0 0 1 in0", "MemoryData m 0 1 m 0=1 1=1 2=8"]
    graph = BandGraph("\n".join([*lines, "BinaryOp b 2 1 in0 m out0 0=2"]), 1, masked=True)
    assert graph.output == (1, 0, 8)


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
    assert list(graph.masks) == [(1, 0), (1, 1)]
    assert graph.floats_per_column == 4 * (2 + 4 + 3)
    assert write_layers(read_layers(graph.text)) == graph.text
