"""Restoring with what is exported: MindSpore is not loaded, and need not be installed."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from ms_restore import api

pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")

# runs a verb, with or without MindSpore to be found, and says what was loaded
CHILD = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mindspore":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
if sys.argv.pop(1) == "absent":
    sys.meta_path.insert(0, Absent())
from ms_restore import cli
try:
    cli.main(sys.argv[1:])
finally:
    print("loaded:", sorted({"mindspore", "torch"} & set(sys.modules)))
    print("rich:", "rich" in sys.modules)
"""


def _run(*words, mindspore="absent"):
    command = [sys.executable, "-c", CHILD, mindspore, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def kept(run, pictures, tmp_path_factory):
    """A checkpoint with the export that an earlier process kept beside it, and a picture."""
    folder = tmp_path_factory.mktemp("kept")
    checkpoint = folder / "best.ckpt"
    checkpoint.write_bytes((run.folder / "best.ckpt").read_bytes())
    picture = np.random.default_rng(0).integers(0, 256, (20, 26, 3), np.uint8)
    cv2.imwrite(str(folder / "in.png"), picture)
    api.infer(checkpoint, folder / "in.png", folder / "expected.png", device_target="CPU")
    (made,) = folder.glob("*.onnx")
    (folder / "exported.onnx").write_bytes(made.read_bytes())
    return folder


@pytest.mark.parametrize("name", ["best.ckpt", "exported.onnx"])
@pytest.mark.parametrize("mindspore", ["absent", "installed"])
def test_infer(kept, tmp_path, name, mindspore):
    words = ["infer", "--checkpoint", kept / name, "--input", kept / "in.png"]
    done = _run(*words, "--output", tmp_path / "out.png", mindspore=mindspore)
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout
    assert "rich: False" in done.stdout  # a tenth of the time of one picture
    expected = cv2.imread(str(kept / "expected.png"))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out.png")), expected)


def test_eval_with_a_seed_and_a_limit(kept, pictures, tmp_path):
    words = ["eval", "--checkpoint", kept / "best.ckpt", "--data_dir", pictures, "--seed", 3]
    done = _run(*words, "--output_dir", tmp_path, "--runtime.max_megapixels", 20)
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout
    assert (tmp_path / "metrics.json").is_file()


@pytest.mark.slow
def test_restore_by_dpir(told_smoother, kept, tmp_path):
    words = ["restore", "--task", "deblur", "--kernel", "gaussian:1", "--sigma_255", 2]
    words += ["--prior", told_smoother, "--input", kept / "in.png", "--solver", "dpir"]
    first = _run(*words, "--output", tmp_path / "first.png", mindspore="installed")  # exports
    assert first.returncode == 0, first.stderr
    again = _run(*words, "--output", tmp_path / "again.png")
    assert again.returncode == 0, again.stderr
    assert "loaded: []" in again.stdout
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "first.png").read_bytes()


def test_what_needs_mindspore_says_so_in_one_line(kept, run, tmp_path):
    bare = tmp_path / "bare.ckpt"
    bare.write_bytes((run.folder / "best.ckpt").read_bytes())
    for words in (
        ["infer", "--checkpoint", bare, "--input", kept / "in.png", "--output", tmp_path / "o.png"],
        ["train", "--model", "edsr_quickstart", "--output_dir", tmp_path / "run"],
    ):
        done = _run(*words)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "needs MindSpore, which is not installed here" in line
    assert not (tmp_path / "o.png").exists()
