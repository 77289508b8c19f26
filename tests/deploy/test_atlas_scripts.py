"""The scripts for Atlas: what they refuse, and what they would call. The tools are not here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAMES = ["run_infer_310.sh", "convert_om.sh"]


@pytest.fixture
def call(tmp_path):
    """A script in a folder with some files, and with a stand-in for ATC on request."""
    for name in ("net.mindir", "net.onnx", "net.air", "net.ckpt"):
        (tmp_path / name).touch()
    (tmp_path / "photos").mkdir()
    tools = tmp_path / "tools"
    tools.mkdir()

    def run(script, *arguments, atc=False):
        if atc:
            (tools / "atc").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
            (tools / "atc").chmod(0o755)
        return subprocess.run(
            ["bash", str(SCRIPTS / script), *arguments],
            cwd=tmp_path,
            env={"PATH": f"{tools}:{os.defpath}"},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("script", NAMES)
def test_they_say_that_they_were_not_run(script):
    assert "# Not run here" in (SCRIPTS / script).read_text()
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-x", str(SCRIPTS / script)], check=True)
    subprocess.run(["bash", "-n", str(SCRIPTS / script)], check=True)


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        ("run_infer_310.sh", [], "usage: bash run_infer_310.sh MINDIR_PATH DATA_DIR [DEVICE_ID]"),
        ("run_infer_310.sh", ["net.onnx", "photos"], "net.onnx: expected a .mindir file"),
        ("run_infer_310.sh", ["absent.mindir", "photos"], "absent.mindir: no such file"),
        ("run_infer_310.sh", ["net.mindir", "absent"], "absent: no such folder"),
        ("run_infer_310.sh", ["net.mindir", "photos", "x"], "DEVICE_ID x: expected a number"),
        ("run_infer_310.sh", ["net.mindir", "photos"], "converter_lite is not on PATH; it is in"),
        ("convert_om.sh", [], "bash convert_om.sh FILE.onnx|FILE.air SOC_VERSION OUTPUT"),
        (
            "convert_om.sh",
            ["net.ckpt", "Ascend310P3", "o", "3", "8", "8"],
            "expected .onnx or .air",
        ),
        ("convert_om.sh", ["absent.onnx", "Ascend310P3", "o", "3", "8", "8"], "no such file"),
        ("convert_om.sh", ["net.onnx", "310", "o", "3", "8", "8"], "SOC_VERSION 310: expected the"),
        ("convert_om.sh", ["net.onnx", "Ascend310P3", "o", "0", "8", "8"], "CHANNELS 0: expected"),
        ("convert_om.sh", ["net.onnx", "Ascend310P3", "o", "3", "8", "x"], "HEIGHT 8, WIDTH x"),
        ("convert_om.sh", ["net.onnx", "Ascend310P3", "o", "3", "8,8"], "expected two or more as"),
        ("convert_om.sh", ["net.air", "Ascend310P3", "o", "3", "8,8;9,9"], "AIR file has one size"),
        ("convert_om.sh", ["net.onnx", "Ascend310P3", "o", "3", "8", "8"], "atc is not on PATH"),
    ],
)
def test_what_they_refuse(call, script, arguments, expected):
    done = call(script, *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert arguments == [] or len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (
            ["net.onnx", "3", "512", "768"],
            ["5", "--input_format=NCHW", "--input_shape=y:1,3,512,768"],
        ),
        (
            ["net.onnx", "1", "416,416;832,640"],
            [
                "5",
                "--input_format=NCHW",
                "--input_shape=y:1,1,-1,-1",
                "--dynamic_image_size=416,416;832,640",
            ],
        ),
        (["net.air", "3", "512", "768"], ["1"]),
    ],
)
def test_what_atc_is_called_with(call, arguments, flags):
    file, *sizes = arguments
    done = call("convert_om.sh", file, "Ascend310P3", "out.om", *sizes, atc=True)
    framework, *others = flags
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"--framework={framework}",
        f"--model={file}",
        "--output=out",
        "--soc_version=Ascend310P3",
        *others,
    ]
