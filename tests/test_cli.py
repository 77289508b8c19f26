"""The command line as a user meets it: processes, output, exit codes."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[1]


def test_help_is_light():
    """No MindSpore, no NumPy: nothing that would take more than half a second."""
    code = (
        "import sys; from ms_restore.cli import main\n"
        "try: main(['--help'])\n"
        "finally: assert not {'mindspore', 'numpy', 'pydantic', 'rich'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    for verb in ("train", "eval", "infer", "export", "models"):
        assert verb in shown.stdout


def test_root_scripts_are_the_verbs():
    for verb in ("train", "eval", "infer", "export"):
        shown = subprocess.run(
            [sys.executable, f"{verb}.py", "--help"], cwd=TOP, capture_output=True, text=True
        )
        assert f"ms-restore {verb}" in shown.stdout
        assert len((TOP / f"{verb}.py").read_text().splitlines()) <= 10


def test_models_are_listed_and_printed(command_line, in_process):
    shown = command_line("models").stdout
    line = r"^edsr_baseline_x4 +edsr +bicubic +4 +1\.52 +\d+ +[\d.]+[a-z] +download$"
    lines = [line.rstrip() for line in shown.splitlines()]
    assert any(re.match(line, other) for other in lines), shown
    assert max(map(len, lines)) <= 80
    shown = in_process("models", "--network", "edsr", "--weights", "here").stdout
    assert "edsr_small_x2" in shown and "edsr_quickstart" not in shown and "dncnn" not in shown
    slip = in_process("models", "--network", "edsrr")
    assert slip.returncode == 2 and "networks: dmsp, dncnn" in slip.stderr
    assert "filters: 256" in in_process("models", "--model", "edsr").stdout


def test_from_training_to_pictures(command_line, tiny, tmp_path):
    """The whole way, in an empty folder, without data."""
    script = [TOP / "train.py", "--model", tiny, "--device_target", "CPU", "--train.steps", "3"]
    trained = subprocess.run(
        [sys.executable, *map(str, script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert trained.returncode == 0, trained.stderr
    assert "training on 12 embedded photos (no --data_dir)" in trained.stdout
    assert trained.stderr == ""
    run = tmp_path / "runs" / "tiny"

    scored = command_line("eval", "--checkpoint", run, "--device_target", "CPU")
    assert scored.returncode == 0, scored.stderr
    assert "sr-y: bicubic 32.34 dB, tiny" in scored.stdout
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert metrics["model"] == "tiny"
    assert metrics["protocol"] == "sr-y"
    assert metrics["baseline"] == "bicubic"
    figures = {"psnr", "ssim", "baseline_psnr", "baseline_ssim"}
    assert set(metrics["mean"]) == figures
    assert [set(row) for row in metrics["images"]] == [figures | {"name"}] * 4
    for figure in figures:
        mean = np.mean([row[figure] for row in metrics["images"]])
        assert metrics["mean"][figure] == pytest.approx(mean)

    picture = tmp_path / "in.png"
    PIL.Image.fromarray(np.full((21, 34, 3), 99, np.uint8)).save(picture)
    restored = command_line(
        "infer", "--checkpoint", run, "--input", picture, "--output", tmp_path / "out.png"
    )
    assert restored.returncode == 0, restored.stderr
    assert PIL.Image.open(tmp_path / "out.png").size == (68, 42)

    exported = command_line("export", "--checkpoint", run, "--file_name", tmp_path / "net")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "net.mindir").stat().st_size > 1000


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Folders and files that a user may give by mistake."""
    top = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(0)
    for name in ("empty", "text", "truncated", "small", "good"):
        (top / name).mkdir()
    (top / "text" / "notes.txt").write_text("no picture")
    for name in ("truncated", "small", "good"):
        for index in range(3):
            pixels = rng.integers(0, 255, (64, 80, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(top / name / f"{index}.png")
    damaged = top / "truncated" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    PIL.Image.fromarray(np.zeros((9, 12), np.uint8)).save(top / "small" / "0.png")
    return top


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("train --model TINY --data_dir ODD/missing", "missing: no such folder"),
        ("train --model TINY --data_dir ODD/good/0.png", "0.png: not a folder"),
        ("train --model TINY --data_dir ODD/empty", "no image .* it is empty"),
        ("train --model TINY --data_dir ODD/text", "no image .* it holds notes.txt"),
        ("train --model TINY --data_dir ODD", "its subfolders .* hold some: name one"),
        ("train --model TINY --data_dir ODD/truncated", "1.png: damaged or truncated image"),
        ("train --model TINY --data_dir ODD/small", "1 of 2 images are smaller .* 0.png .12x9."),
        ("train --model edsr_quikstart", "did you mean 'edsr_quickstart'"),
        ("train --model TINY --train.lrr 3", "train.lrr: unknown key .did you mean 'lr'"),
        ("train --model TINY --train.lr", "--train.lr needs a value"),
        ("train --model TINY --mdel 3", "unknown option --mdel .did you mean '--model'"),
        ("train --model TINY stray", "unexpected argument 'stray'"),
        ("train --model TINY --max_steps 0", "max_steps 0: expected at least 1"),
        ("train --model TINY --max_steps few", "argument --max_steps: invalid int value: 'few'"),
        ("train --model TINY --device_target TPU", "'TPU' is not known; choose CPU"),
        ("train --model TINY --pretrained ODD/none.ckpt", "none.ckpt: no such file"),
        ("train --model TINY --pretrained ODD/text/notes.txt", "not a MindSpore checkpoint"),
        ("train", "no model: name one with --model"),
        ("trian", "unknown verb 'trian' .did you mean 'train'"),
        ("eval --checkpoint ODD/none.ckpt", "none.ckpt: no such file"),
        ("eval --checkpoint ODD/empty", "no checkpoint .* in this folder"),
        ("eval --checkpoint ODD/text/notes.txt", "not a MindSpore checkpoint"),
        ("eval --checkpoint RUN --protocol sr_y", "unknown protocol 'sr_y' .did you mean 'sr-y'"),
        ("eval --checkpoint RUN --model edsr_baseline_x2", "do not fit the network"),
        ("eval --checkpoint RUN --data_dir ODD/truncated", "1.png: damaged or truncated"),
        ("infer --checkpoint RUN --input GOOD --output NEW --tile -3", "--tile: got .-3."),
        ("infer --checkpoint RUN --input GOOD --output NEW --tile 5", "tile 5: with 6 pixels"),
        ("infer --checkpoint RUN --input ODD/none --output NEW", "no such file or folder"),
        ("infer --checkpoint RUN --input ODD/text/notes.txt --output NEW", "not an image"),
        ("infer --checkpoint RUN --input GOOD --output NEW/a.xyz", "is not an output format"),
        ("infer --checkpoint RUN --input GOOD --output GOOD", "the input itself"),
        ("export --checkpoint RUN --file_name NEW/a --file_format AIRR", "'AIRR' is not known"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(arguments, expected, odd, tiny, run, tmp_path, in_process):
    new = tmp_path / "new"
    words = {"TINY": tiny, "ODD": str(odd), "RUN": str(run.folder), "NEW": str(new)}
    words["GOOD"] = str(odd / "good" / "0.png")
    for word, path in words.items():
        arguments = arguments.replace(word, path)
    arguments = arguments.split()
    if arguments[0] in ("train", "eval") and len(arguments) > 1:
        arguments += ["--output_dir", str(new)]
    shown = in_process(*arguments)
    assert shown.returncode == 2
    lines = shown.stderr.splitlines()
    assert len(lines) == 1, shown.stderr
    assert lines[0].startswith("ms-restore")
    assert re.search(expected, lines[0]), lines[0]
    assert not new.exists()


def test_several_mistakes_are_a_line_each(command_line, tiny):
    shown = command_line("train", "--model", tiny, "--train.lrr", "3", "--network.block=2")
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 2


def test_start_of_help_takes_less_than_a_run_of_mindspore():
    """A ratio in one run, not a clock: help must cost a fraction of loading MindSpore."""

    def seconds(*arguments):
        times = []
        for _ in range(2):
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=TOP, capture_output=True, check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    help_time = seconds("-m", "ms_restore", "--help")
    assert help_time < 0.5 * seconds("-c", "import ms_restore, mindspore")
