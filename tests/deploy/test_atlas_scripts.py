"""The scripts for Atlas: what they refuse, and what they would call. The tools are not here."""

import os
import re
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

    def run(script, *arguments, atc=False, **variables):
        if atc:
            (tools / "atc").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
            (tools / "atc").chmod(0o755)
        return subprocess.run(
            ["bash", str(SCRIPTS / script), *arguments],
            cwd=tmp_path,
            env={"PATH": f"{tools}:{os.defpath}", **variables},
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
        "--precision_mode=force_fp16",
        *others,
    ]


def test_the_precision_mode_is_the_users(call):
    words = ["net.onnx", "Ascend310P3", "out", "3", "8", "8"]
    done = call("convert_om.sh", *words, atc=True, PRECISION_MODE="must_keep_origin_dtype")
    assert "--precision_mode=must_keep_origin_dtype" in done.stdout.splitlines()
    for script, given in (
        ("convert_om.sh", words),
        ("run_infer_310.sh", ["net.mindir", "photos"]),
    ):
        done = call(script, *given, atc=True, PRECISION_MODE="fp64")
        assert done.returncode == 2
        assert "PRECISION_MODE fp64: expected " in done.stderr


@pytest.fixture
def lite(tmp_path):
    """run_infer_310.sh with stand-ins for the converter and for this package's environment."""
    top = tmp_path / "clone"
    shutil.copytree(SCRIPTS, top / "scripts")
    (top / "scripts" / "environment.sh").write_text('cd "$(dirname "${BASH_SOURCE[0]}")/.."\n')
    made = {
        "tools/converter_lite": 'for w; do case $w in --outputFile=*) touch "${w#*=}.mindir";; esac'
        '; done; echo converter_lite "$@" >> "$CALLS"',
        "clone/.venv/bin/python": "",
        "clone/.venv/bin/ms-restore": 'echo ms-restore "$@" >> "$CALLS"',
    }
    for name, line in made.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
    (tmp_path / "photos").mkdir()
    (tmp_path / "net.mindir").touch()

    def run(*arguments, **variables):
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = {"PATH": f"{tmp_path / 'tools'}:{os.defpath}", "CALLS": str(calls)}
        subprocess.run(
            ["bash", str(top / "scripts" / "run_infer_310.sh"), *arguments],
            cwd=tmp_path,
            env={**environment, **variables},
            check=True,
        )
        return calls.read_text().splitlines()

    return run


def test_what_converter_lite_is_called_with(lite, tmp_path):
    converted = tmp_path / "net.lite"
    conversion, restoring = lite("net.mindir", "photos", DEVICE_ID="3")
    assert conversion.split()[1:] == [
        "--fmk=MINDIR",
        "--saveType=MINDIR",
        "--optimize=ascend_oriented",
        f"--modelFile={tmp_path / 'net.mindir'}",
        f"--outputFile={converted}",
        f"--configFile={converted}.cfg",
    ]
    written = (tmp_path / "net.lite.cfg").read_text()
    assert written == "[ascend_context]\nprecision_mode=enforce_fp16\n"
    assert f"--checkpoint {converted}.mindir --engine lite" in restoring
    assert "--device_id 3 " in restoring
    assert len(lite("net.mindir", "photos", "1")) == 1  # it is converted
    assert len(lite("net.mindir", "photos", PRECISION_MODE="enforce_fp32")) == 2
    assert "enforce_fp32" in (tmp_path / "net.lite.cfg").read_text()


ATC = {
    # CANN 9.0, ATC: "参数概览" (atlasatc_16_0039), "--precision_mode" (atlasatcparam_16_0068);
    # MindStudio 8.3, "Using ATC for Tuning" (toolsample6_098)
    "--framework",
    "--model",
    "--output",
    "--soc_version",
    "--input_format",
    "--input_shape",
    "--dynamic_image_size",
    "--precision_mode",
}
CONVERTER = {
    # MindSpore Lite 2.8, "Offline Conversion of Inference Models" (cloud_docs, converter_tool)
    "--fmk",
    "--modelFile",
    "--outputFile",
    "--configFile",
    "--inputShape",
    "--saveType",
    "--optimize",
}
MODES = {
    # CANN 9.0 and 6.0.1, "--precision_mode"
    "convert_om.sh": {
        "force_fp16",
        "allow_fp32_to_fp16",
        "force_fp32",
        "must_keep_origin_dtype",
        "allow_mix_precision",
    },
    # MindSpore Lite 2.8, "Ascend Conversion Tool Description", table 1 (converter_tool_ascend)
    "run_infer_310.sh": {
        "enforce_fp32",
        "preferred_fp32",
        "enforce_fp16",
        "enforce_origin",
        "preferred_optimal",
    },
}


def _code(script):
    lines = (SCRIPTS / script).read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def test_the_options_are_documented_ones():
    """Every word that begins with two dashes and has a value is one of the tool's."""
    own = {"--file_format", "--height", "--width"}  # of ms-restore, in messages
    for script, known in (("convert_om.sh", ATC), ("run_infer_310.sh", CONVERTER)):
        used = set(re.findall(r"(--[a-zA-Z_]+)=", _code(script))) - own
        assert used <= known
        assert len(used) >= 6


@pytest.mark.parametrize("script", NAMES)
def test_the_precision_modes_are_documented_ones(script):
    (listed,) = re.findall(r"^(\w+(?: \| \w+)+)\) ;;$", _code(script), re.MULTILINE)
    assert set(listed.split(" | ")) == MODES[script]
