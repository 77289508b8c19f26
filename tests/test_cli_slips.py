"""Slips that are answered before anything is loaded, and what a terminal may do to the output."""

import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ms_restore import recipe, seeds, texts
from ms_restore.cli_options import recipe_settings
from ms_restore.contracts import Figure
from ms_restore.errors import InputError
from ms_restore.launch import rank_table
from ms_restore.report import tables, terminal
from ms_restore.report.pictures import comparison

TOP = Path(__file__).parents[1]


def _verb(*words, **options):
    command = [sys.executable, "-m", "ms_restore", *map(str, words)]
    return subprocess.run(command, cwd=TOP, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --model edsr --lr 3", "unknown option --lr; the recipe's key is --train.lr"),
        ("train --model edsr --batch_size 3", "the recipe's key is --train.batch_size"),
        ("train --model edsr --scale=3", "the recipe's key is --network.scale"),
        ("train --model edsr --learning_rate 3", "the recipe's key is --train.lr"),
        ("eval --checkpoint x --crop 9", "the recipe's key is --eval.crop"),
        ("train --model edsr --patchsize 9", "did you mean '--data.patch_size'"),
        ("launch --workers 2 --dry_run --lr 3", "the recipe's key is --train.lr"),
        ("models --modle edsr", "unknown option --modle (did you mean '--model'?)"),
        ("infer --input a --output b --sigma_255 x", "'x', expected auto or a number"),
        ("train --model edsr --train.lr [", "--train.lr [: not valid YAML"),
        ("train --model edsr --train.lr {1:2,[3]:4}", "--train.lr {1:2,[3]:4}: not valid YAML"),
    ],
)
def test_what_is_no_option_is_answered_with_what_was_meant(in_process, words, message):
    done = in_process(*words.split())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_a_name_with_control_characters_stays_in_its_line(in_process):
    done = in_process("models", "--model", "a\nb\x1b[31m.yaml")
    (line,) = done.stderr.splitlines()
    assert r"a\nb\x1b[31m.yaml" in line


@pytest.mark.parametrize("option", ["--input", "--output", "--checkpoint"])
def test_an_empty_path_is_not_the_folder_of_the_shell(in_process, option):
    given = {"--input": "a.png", "--output": "b.png", "--checkpoint": "c.ckpt", option: ""}
    done = in_process("infer", *(word for pair in given.items() for word in pair))
    assert done.returncode == 2
    assert f"{option}: got an empty text" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [("models",), ("weights",), ("infer", "--model", "edsr_x4", "--input", "a", "--output", "b")],
)
def test_lists_and_missing_weights_are_answered_without_mindspore(words):
    code = (
        f"import sys; from ms_restore.cli import main\n"
        f"try: main({list(words)})\n"
        "finally: assert 'mindspore' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    assert "AssertionError" not in done.stderr
    assert done.returncode == (2 if "infer" in words else 0), done.stderr


def test_help_names_recipe_keys_where_there_are_any(in_process):
    claim = "key of the recipe is an option"
    for verb in ("train", "eval", "export"):
        assert claim in " ".join(in_process(verb, "--help").stdout.split())
    for verb in ("models", "rank-table", "launch"):
        assert claim not in " ".join(in_process(verb, "--help").stdout.split())
    assert "are passed on to every process" in " ".join(in_process("launch", "-h").stdout.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("restore --task deblurr --prior p --input i --output o", "did you mean 'deblur'"),
        ("train --model edsr_quickstart --output_dir FOLDER", "FOLDER is not empty"),
        ("train --model FOLDER/own.yaml", "runs/mine holds another run"),
        ("train --model edsr_quickstart --performance --max_steps 5", "needs more than 5"),
        ("train --model edsr_quickstart --max_steps 0", "max_steps 0: expected at least 1"),
        ("benchmark --model edsr_quickstart --max_steps 2", "needs more than 5"),
        ("train --model edsr_quikstart", "did you mean 'edsr_quickstart'"),
    ],
)
def test_slips_are_answered_before_mindspore_is_loaded(tmp_path, words, message):
    (tmp_path / "own.yaml").write_text("model: mine")
    run = tmp_path / "runs" / "mine" / "checkpoints"
    run.mkdir(parents=True)
    (run / "step_00000001.ckpt").touch()
    (run.parent / "recipe.yaml").touch()
    code = (
        f"import sys; sys.path.insert(0, {str(TOP)!r})\n"
        "from ms_restore.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert 'mindspore' not in sys.modules"
    )
    words = words.replace("FOLDER", str(tmp_path)).split()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message.replace("FOLDER", str(tmp_path)) in line


@pytest.mark.slow
def test_a_reader_that_goes_away(tmp_path):
    """As ``ms-restore models | head`` may."""
    dry_run = ("launch", "--model", "edsr_quickstart", "--workers", "2", "--dry_run")
    for words in (("models",), ("models", "--model", "edsr"), ("train", "--help"), dry_run):
        reading, writing = os.pipe()
        os.close(reading)
        done = _verb(*words, stdout=writing)
        os.close(writing)
        assert done.stderr == ""
        assert done.returncode == (0 if "--help" in words else 141)
    with Path("/dev/full").open("w") as full:
        done = _verb("models", stdout=full)
    assert done.returncode == 2
    assert done.stderr == "ms-restore: error: the output: No space left on device\n"


@pytest.mark.parametrize(
    "where", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", "2> /dev/full"]
)
def test_closed_and_full_streams_change_no_exit_code(where):
    for words, code in (("models", 0), ("models --model nothing", 2)):
        command = f"{sys.executable} -m ms_restore {words} {where}"
        done = subprocess.run(["sh", "-c", command], cwd=TOP, capture_output=True, text=True)
        assert done.returncode == code, (words, done.stderr)
        assert "Traceback" not in done.stderr


CONTENTS = {
    "gbk": "description: 中文".encode("gbk"),
    "utf-16": "description: 中文".encode("utf-16"),
    "binary": bytes(range(256)),
    "brackets": b"[" * 5000,
    "deep": b"\n".join(b" " * depth + b"a:" for depth in range(60)),
    "itself": b"a: &a [*a]",
    "bomb": b"a: &a [x]\n" + b"".join(b"b%d: *a\n" % number for number in range(30)),
    "date": b"a: 2001-99-99",
    "number as key": b"network: {1: 2}",
    "list as key": b"? [a]\n: 3",
    "large": b"# " + b"x" * (2 << 20),
    "empty": b"",
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_recipe_file_that_is_none(kind, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(CONTENTS[kind])
    with pytest.raises(InputError) as caught:
        recipe.load(str(path))
    (line,) = caught.value.problems
    assert line.startswith(f"{path}: ")
    assert "\n" not in line


def test_a_recipe_with_a_byte_order_mark(tiny, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + Path(tiny).read_bytes())
    assert recipe.load(str(path)) == recipe.load(tiny)


def test_a_list_with_a_wrong_value_is_named(tiny):
    with pytest.raises(InputError, match=r"^data.scales.1: got -1.0, expected greater than 0$"):
        recipe.load(tiny, {"data.scales": [1.0, -1.0]})


def test_a_rank_table_that_is_none(tmp_path):
    path = tmp_path / "table.json"
    for content in (b"[" * 200_000, "{}".encode("utf-16"), b"\xff\xfe\xfd"):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            rank_table.read(path)
        (line,) = caught.value.problems
        assert line.startswith(f"rank table {path}: not ")
    with pytest.raises(InputError, match="no-such: cannot be read"):
        texts.read_text(tmp_path / "no-such")


BAD_NAME = os.fsdecode(b"caf\xe9")


def test_names_that_are_not_utf8_are_printed_and_drawn(tmp_path, capsys):
    terminal.say(f"{BAD_NAME}.png")
    mean = {"ssim": 1.0, "baseline_ssim": 1.0}
    tables.score_table([{"name": BAD_NAME, **mean}], mean, "noisy", {"ssim": Figure("SSIM")})
    assert capsys.readouterr().out.count("caf\\udce9") == 2
    x = np.zeros((20, 20, 3), np.float32)
    comparison(tmp_path / f"{BAD_NAME}.png", [(BAD_NAME, x), ("b", x), ("c", x)])
    assert (tmp_path / f"{BAD_NAME}.png").exists()
    assert seeds.image_rng(0, BAD_NAME).random() != seeds.image_rng(0, "caf").random()


@pytest.mark.slow
def test_a_picture_whose_name_is_not_utf8_in_a_terminal_of_ascii(run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 44, 3), np.uint8)
    with (tmp_path / f"{BAD_NAME}.png").open("wb") as file:
        PIL.Image.fromarray(pixels).save(file, "PNG")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["--checkpoint", run.folder, "--device_target", "CPU"]
    out = tmp_path / "eval"
    done = _verb(
        *("eval", *words, "--data_dir", tmp_path, "--output_dir", out),
        stdout=subprocess.PIPE,
        env={**os.environ, **plain},
    )
    assert done.returncode == 0, done.stderr
    assert "caf\\udce9" in done.stdout
    assert [path.name for path in (out / "comparisons").iterdir()] == [f"{BAD_NAME}.png"]


def test_a_setting_that_is_not_utf8_is_a_name():
    settings = recipe_settings(["--data.valid_dir", BAD_NAME, "--train.lr", "3"], ArgumentParser())
    assert settings == {"data.valid_dir": BAD_NAME, "train.lr": 3}
    made = recipe.load("edsr_quickstart", settings)
    assert recipe.parse(made.to_yaml()).data.valid_dir == BAD_NAME


def test_a_folder_that_mindspore_cannot_open(in_process, tmp_path):
    (tmp_path / "in").mkdir()
    words = ["--model", "edsr_quickstart", "--source", tmp_path / "in"]
    done = in_process("prepare", *words, "--output", tmp_path / BAD_NAME)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "is not UTF-8, which MindSpore cannot open" in line
