"""doctor: what it says of this environment, of folders and of weights."""

import json
import shutil

import numpy as np
import pytest

from ms_restore import runtime
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture
from ms_restore.verbs.diagnosis import data_folder, environment, weights_file


def _of(findings, level):
    return [finding for finding in findings if finding.level == level]


def test_this_environment_is_sound(in_process):
    done = in_process("doctor")
    assert done.returncode == 0, done.stdout
    assert "MindSpore" in done.stdout and "no problem found" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) < 200


def test_known_troubles_are_named_with_what_mends_them(monkeypatch):
    real = environment._version
    wrong = {"numpy": "2.1.0", "mindspore": "2.3.1", "rawpy": ""}
    monkeypatch.setattr(environment, "_version", lambda name: wrong.get(name, real(name)))
    monkeypatch.setattr(environment, "_COMPILERS", ("no-such-compiler",))
    monkeypatch.setattr(runtime, "has_avx512", lambda: True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    found = list(environment.examine())
    problems = {finding.remedy: finding.text for finding in _of(found, "problem")}
    assert "NumPy 2.1.0" in problems["pip install 'numpy<2'"]
    assert "MindSpore 2.3.1" in problems["pip install 'mindspore>=2.9,<2.11'"]
    assert "a hundred times slower" in problems["unset ONEDNN_MAX_CPU_ISA"]
    notes = {finding.remedy for finding in _of(found, "note")}
    assert {"apt-get install g++", "pip install 'ms-restore[raw]'"} <= notes
    monkeypatch.setattr(environment, "_version", lambda name: "")
    missing = _of(environment.examine(), "problem")
    assert any("MindSpore is not installed" in finding.text for finding in missing)


def test_a_folder_of_every_kind(tmp_path):
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(40, 90, 3), (80, 100, 3), (70, 70, 1)]):
        pixels = rng.integers(0, 256, shape).astype(np.uint8)
        write_picture(tmp_path / f"{number}.png", Picture(pixels))
    (tmp_path / "broken.png").write_bytes((tmp_path / "0.png").read_bytes()[:200])
    (tmp_path / "notes.txt").write_text("no picture")
    found = list(data_folder.examine(tmp_path))
    (problem,) = _of(found, "problem")
    assert "broken.png" in problem.text and "--skip_bad" in problem.remedy
    said = " ".join(finding.text for finding in found)
    assert "4 pictures, 0 raw files" in said
    assert "70 to 100 wide, 40 to 80 high; 2 colour 8 bit, 1 gray 8 bit" in said
    assert "notes.txt" in said and "1 pictures have a side below 64 pixels" in said
    (missing,) = data_folder.examine(tmp_path / "none")
    assert missing.level == "problem" and "no such folder" in missing.text


def test_a_prepared_set_that_was_damaged(in_process, tiny, pictures, tmp_path):
    done = in_process("prepare", "--model", tiny, "--source", pictures, "--output", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    (whole,) = data_folder.examine(tmp_path / "s")
    assert whole.level == "ok" and "its files are whole" in whole.text
    record = next((tmp_path / "s").glob("*.mindrecord"))
    record.write_bytes(record.read_bytes()[:-1])
    (cut,) = data_folder.examine(tmp_path / "s")
    assert cut.level == "problem" and "prepare again" in cut.text


def test_weights(run, tmp_path, in_process):
    found = list(weights_file.examine(str(run.folder)))
    assert not _of(found, "problem")
    said = " ".join(finding.text for finding in found)
    assert "it computes, by" in said and "dB in validation" in said
    shutil.copy(run.folder / "best.ckpt", tmp_path / "best.ckpt")
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text('{"mean": {}')
    (damaged,) = _of(weights_file.examine(str(tmp_path / "best.ckpt")), "problem")
    assert "metrics.json" in damaged.text and "not valid JSON" in damaged.text
    shutil.copy(run.folder / "best.ckpt", tmp_path / "cut.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "cut.ckpt").read_bytes()[:1000])
    done = in_process("doctor", "--checkpoint", tmp_path / "cut.ckpt", "--json")
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout)["checkpoint"]
    assert problem["level"] == "problem" and "cut.ckpt" in problem["text"]


@pytest.mark.parametrize("words", [["--data", "x"], ["--checkpoint", ""]])
def test_slips(in_process, words):
    done = in_process("doctor", *words)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
