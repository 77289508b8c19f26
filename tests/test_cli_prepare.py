"""prepare as a user meets it: from a folder of pictures to training on MindRecord."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import yaml

import ms_restore
from ms_restore.cli import main


@pytest.mark.slow
def test_prepare_train_and_score(command_line, in_process, tiny, pictures, run, tmp_path):
    """The same run as from the folder of pictures: the same losses, the same figures."""
    output = tmp_path / "set"
    shown = command_line("prepare", "--model", tiny, "--source", pictures, "--output", output)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    assert re.search(r"4 images, 0 MB of pixels in .* MB/s", shown.stdout)
    assert "4 images in 1 shards" in shown.stdout
    again = in_process("prepare", "--model", tiny, "--source", pictures, "--output", output)
    assert again.returncode == 0, again.stderr
    assert "already prepared, 4 images" in again.stdout

    trained = ms_restore.train(
        tiny, data_dir=output, output_dir=tmp_path / "run", device_target="CPU"
    )
    assert trained.psnr == run.psnr
    ours, its = (ms_restore.evaluate(run.folder, data_dir=data, output_dir=tmp_path / "eval")
                 for data in (output, pictures))  # fmt: skip
    assert ours.pop("data") != its.pop("data")  # where the images are
    assert ours == its


GRID = {
    "description": "the smallest DnCNN, for tests",
    "network": {"name": "dncnn", "channels": 1, "layers": 3, "filters": 4},
    "degradation": {"name": "gaussian", "sigma_255": 25},
    "data": {"patch_size": 16, "stride": 8, "scales": [1.0, 0.7]},
    "train": {"steps": 6, "batch_size": 4, "loss": "sum_squared", "validate_every": 3},
    "eval": {"protocol": "gray"},
}


@pytest.mark.slow
def test_patches_of_a_grid_train_as_their_images(pictures, tmp_path):
    """The same run from the folder as from what prepare wrote of it."""
    recipe = tmp_path / "grid.yaml"
    recipe.write_text(yaml.safe_dump(GRID))
    for part, names in (("train", ("a_rgb", "b_gray")), ("valid", ("c_rgba",))):
        (tmp_path / "images" / part).mkdir(parents=True)
        for name in names:
            shutil.copy(pictures / f"{name}.png", tmp_path / "images" / part)
    made = ms_restore.prepare(recipe.as_posix(), tmp_path / "images", tmp_path / "set")
    assert [folder.name for folder in made] == ["train", "valid"]
    logs = []
    for data in ("images", "set"):
        run = ms_restore.train(
            recipe.as_posix(),
            data_dir=tmp_path / data,
            output_dir=tmp_path / f"run_{data}",
            device_target="CPU",
        )
        entries = map(json.loads, (run.folder / "log.jsonl").read_text().splitlines())
        logs.append([(e["step"], e.get("loss"), e.get("valid_psnr")) for e in entries])
    assert len(logs[0]) >= 6
    assert any(psnr for _, _, psnr in logs[0])
    assert logs[0] == logs[1]


def test_prepare_is_a_function(tiny, pictures, tmp_path):
    output = tmp_path / "set"
    made = ms_restore.prepare(tiny, pictures, str(output), settings={"data.patch_size": 20})
    assert made == [output]
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["model"] == "tiny"
    assert (manifest["scale"], manifest["patch_size"], manifest["margin"]) == (2, 20, 4)


@pytest.mark.slow
def test_prepare_does_not_need_the_folder_it_stands_in(tiny, pictures, tmp_path):
    words = ["-m", "ms_restore", "prepare", "--model", tiny, "--source", str(pictures)]
    shown = subprocess.run(
        [sys.executable, *words, "--output", "set"], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    top = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(0)
    for name in ("empty", "good", "truncated", "small", "low", "foreign", "records"):
        (top / name).mkdir()
    for name in ("good", "truncated", "small", "low"):
        for index in range(3):
            size = (32, 40, 3) if name == "low" else (64, 80, 3)
            pixels = rng.integers(0, 255, size, np.uint8)
            PIL.Image.fromarray(pixels).save(top / name / f"{index}.png")
    damaged = top / "truncated" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    PIL.Image.fromarray(np.zeros((9, 12), np.uint8)).save(top / "small" / "0.png")
    (top / "low" / "2.png").unlink()
    (top / "foreign" / "thesis.txt").write_text("years of work")
    (top / "records" / "a.mindrecord").write_bytes(os.urandom(100))
    return top


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("prepare --model TINY --source ODD/none --output NEW", "none: no such folder"),
        ("prepare --model TINY --source ODD/empty --output NEW", "no image .* it is empty"),
        ("prepare --model TINY --source ODD/truncated --output NEW", "1.png: damaged .*--skip_bad"),
        ("prepare --model TINY --source ODD/small --output NEW", "1 of 3 .* 0.png: 12x9 pixels"),
        ("prepare --model TINY --source ODD/good --lr_source ODD/low --output NEW", "2.png: no p"),
        ("prepare --model TINY --source ODD/good --lr_source ODD/none --output NEW", "no such"),
        ("prepare --model TINY --source ODD/good --output ODD/foreign", "holds thesis.txt.*--out"),
        ("prepare --model TINY --source ODD/good --output NEW --workers 0", "workers 0: expect"),
        ("prepare --model tinny --source ODD/good --output NEW", "unknown model 'tinny'"),
        ("prepare --model TINY --source ODD/good", "required: --output"),
        ("prepare --model TINY --source ODD/good --output NEW --skipbad", "did you mean '--skip_b"),
        ("train --model TINY --data_dir ODD/records --output_dir NEW", "without a manifest.json"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(arguments, expected, odd, tiny, tmp_path, capsys):
    for word, path in {"TINY": tiny, "ODD": odd, "NEW": tmp_path / "new"}.items():
        arguments = arguments.replace(word, str(path))
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("ms-restore") for line in lines), lines
    assert re.search(expected, lines[0]), lines[0]
    assert not (tmp_path / "new" / "manifest.json").exists()


def test_several_problems_are_a_line_each(odd, tiny, tmp_path, in_process):
    words = ["prepare", "--model", tiny, "--source", odd / "good", "--output", tmp_path / "new"]
    (odd / "low" / "9.png").write_bytes((odd / "low" / "1.png").read_bytes())
    shown = in_process(*words, "--lr_source", odd / "low")
    (odd / "low" / "9.png").unlink()
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 3
    assert not (tmp_path / "new").exists()
