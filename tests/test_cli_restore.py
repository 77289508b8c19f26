"""restore and eval of solvers, as a user meets them."""

import json
import re

import numpy as np
import PIL.Image
import pytest

from ms_restore import api, cli
from ms_restore.data import photos
from ms_restore.degradations import kernels
from ms_restore.degradations.operators import Blur
from ms_restore.errors import InputError
from ms_restore.images.reading import read_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A blurred picture and its truth, a gray one, a mask, and what does not fit."""
    top = tmp_path_factory.mktemp("restore")
    x = photos.load("chelsea")[60:110, 120:180]
    PIL.Image.fromarray(x).save(top / "truth.png")
    y = Blur(kernels.load("disk:2")).forward(x.transpose(2, 0, 1)[None] / 255)
    y = y[0].transpose(1, 2, 0)
    np.save(top / "y.npy", y)
    PIL.Image.fromarray(np.round(y * 255).astype(np.uint8)).save(top / "y.png")
    PIL.Image.fromarray(x[:, :, 1]).save(top / "gray.png")
    PIL.Image.fromarray(np.full((9, 9), 255, np.uint8)).save(top / "mask.png")
    PIL.Image.fromarray(np.dstack([x, x[:, :, 0]])).save(top / "alpha.png")
    np.save(top / "zero.npy", np.zeros((3, 3)))
    np.save(top / "bytes.npy", np.zeros((20, 20, 3), np.uint8))
    np.save(top / "range.npy", np.full((20, 20, 3), 200.0))
    np.save(top / "nan.npy", np.full((20, 20, 3), np.nan))
    return top


@pytest.mark.slow
def test_deblurring_from_the_command_line(command_line, folder, smoother, tmp_path):
    shown = command_line(
        "restore", "--task", "deblur", "--prior", smoother, "--input", folder / "y.png",
        "--output", tmp_path / "x.png", "--kernel", "disk:2", "--sigma_255", "1",
        "--solver.iterations", "25", "--truth", folder / "truth.png",
        "--save_trajectory", tmp_path / "way.png",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    assert PIL.Image.open(tmp_path / "x.png").size == (60, 50)  # larger by the kernel less one
    start, end = map(float, re.search(r"PSNR (\S+) -> (\S+) dB", shown.stdout).groups())
    assert end > start + 2
    way = np.asarray(PIL.Image.open(tmp_path / "way.png"))
    assert way.shape[1] == 4 * 240 + 3 * 6  # start, 1, 10, 25
    assert way.std() > 10


def test_arrays_are_not_clipped_on_the_way_in(folder, smoother, tmp_path):
    rng = np.random.default_rng(0)
    y = np.load(folder / "y.npy") + rng.normal(0, 0.5, (46, 56, 3))
    assert y.min() < -0.2
    options = {"sigma_255": 127.0, "settings": {"solver.iterations": 2}, "device_target": "CPU"}
    results = []
    for name, values in (("a", y), ("b", y.clip(0, 1))):
        np.save(tmp_path / f"{name}.npy", values)
        target = tmp_path / f"{name}_out.npy"
        api.restore("denoise", smoother, tmp_path / f"{name}.npy", target, **options)
        results.append(np.load(target))
    assert results[0].dtype == np.float32
    assert results[0].shape == y.shape
    assert 0 <= results[0].min() <= results[0].max() <= 1
    assert np.abs(results[0] - results[1]).max() > 0.01


def test_size_and_kind_of_the_output(folder, smoother, tmp_path):
    options = {"settings": {"solver.iterations": 2}, "device_target": "CPU"}
    api.restore(
        "deblur", smoother, folder / "y.png", tmp_path / "a.png",
        kernel="disk:2", same_size=True, **options,
    )  # fmt: skip
    assert read_picture(tmp_path / "a.png").pixels.shape == (46, 56, 3)
    gray = folder / "gray.png"
    api.restore("super_resolve", smoother, gray, tmp_path / "b.npy", scale=2, **options)
    assert np.load(tmp_path / "b.npy").shape == (100, 120, 1)
    api.restore("demosaic", smoother, gray, tmp_path / "c.png", **options)
    assert read_picture(tmp_path / "c.png").pixels.shape == (50, 60, 3)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("deblur y.png", "deblur needs the kernel"),
        ("deblurr y.png", "did you mean 'deblur'"),
        ("deblur y.png --kernel TOP/zero.npy", "sums to 0, expected a positive number"),
        ("deblur y.png --kernel gaussian:40", "241x241 .* larger than the image of 46x56"),
        ("deblur y.png --kernel disk:2 --sigma_255 -1", "sigma_255 -1: expected 0 to 255"),
        ("deblur y.png --kernel disk:2 --sigma_255 2 --noise_blind", "exclude each other"),
        ("inpaint y.png --mask TOP/mask.png", "mask is 9x9, the image 56x46"),
        ("inpaint y.png --mask TOP/none.png", "none.png: no such file"),
        ("inpaint y.png --same_size --mask TOP/mask.png", "--same_size belongs to deblur"),
        ("demosaic y.png", "a mosaic of one channel, this image has 3"),
        ("demosaic gray.png --pattern RGBG", "'RGBG' is not known; choose RGGB"),
        ("super_resolve y.png", "needs --scale 2"),
        ("denoise y.png", "denoise needs the noise"),
        ("denoise none.png --noise_blind", "no such file or folder"),
        ("denoise alpha.png --noise_blind", "it has transparency"),
        ("denoise bytes.npy --noise_blind", "uint8 .20, 20, 3., expected floating"),
        ("denoise range.npy --noise_blind", "values up to 200, expected .0, 1."),
        ("denoise nan.npy --noise_blind", "NaN or infinity"),
        ("denoise y.png --noise_blind --truth TOP/mask.png", "truth is 9x9, the output 56x46"),
        ("inpaint y.png --mask TOP/mask.png --save_trajectory TOP/mask.png", "be written over"),
        ("denoise y.png --noise_blind --save_trajectory TOP/y.png", "an input would be written"),
        ("denoise y.png --noise_blind --save_trajectory OUT/x.png", "are one file"),
        ("denoise y.png --noise_blind --solver.iteration 3", "did you mean 'iterations'"),
        ("denoise y.png --noise_blind --solver.prior_sigma_255 25", "sigma 25 is asked for"),
        ("denoise y.png --noise_blind --train.lr 3", "restore has the keys of a solver only"),
        ("denoise y.png --noise_blind --runtime.hf23 true", "runtime.hf23: unknown key .did you"),
        ("denoise y.png --noise_blind --prior RUN", "trained for bicubic, not for Gaussian noise"),
        ("denoise . --noise_blind --truth TOP/truth.png", "for one picture, not for a folder"),
    ],
)  # fmt: skip
def test_slips_are_one_line(arguments, expected, folder, smoother, run, tmp_path, capsys):
    task, name, *rest = arguments.split()
    rest = [word.replace("TOP", str(folder)).replace("RUN", str(run.folder)) for word in rest]
    rest = [word.replace("OUT", str(tmp_path / "out")) for word in rest]
    given = ["restore", "--task", task, "--input", str(folder / name), *rest]
    given += ["--output", str(tmp_path / "out" / "x.png"), "--device_target", "CPU"]
    given += [] if "--prior" in rest else ["--prior", str(smoother)]
    with pytest.raises(SystemExit) as ended:
        cli.main(given)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert re.search(expected, lines[0]), lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "task"), [("kernel", "deblur"), ("mask", "inpaint")])
def test_what_describes_the_degradation_is_not_written_over(option, task, smoother, tmp_path):
    (tmp_path / "y.png").write_bytes(b"not read")
    PIL.Image.new("L", (3, 3), 200).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(InputError, match=r"a\.png: an input would be written over"):
        files = {option: str(tmp_path / "a.png")}
        api.restore(task, smoother, tmp_path / "y.png", tmp_path / "a.png", **files)
    assert (tmp_path / "a.png").read_bytes() == before


def test_eval_of_a_solver(folder, smoother, tmp_path):
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name, first in (("a", 60), ("b", 100)):
        x = photos.load("chelsea")[first : first + 61, 120:190]
        PIL.Image.fromarray(x).save(pictures / f"{name}.png")
    metrics = api.evaluate(
        smoother, model="dmsp_deblur", data_dir=pictures, kernels="disk:2",
        output_dir=tmp_path / "out", settings={"solver.iterations": 20, "eval.crop": 50},
        device_target="CPU",
    )  # fmt: skip
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    assert [row["name"] for row in metrics["images"]] == ["a kernel 0", "b kernel 0"]
    assert metrics["baseline"] == "start"
    assert metrics["prior"] == "dmsp_dae"
    assert metrics["seconds_per_iteration"] > 0
    for row in metrics["images"]:
        assert row["psnr"] > row["baseline_psnr"] + 1
    alone = api.evaluate(
        smoother, model="dmsp_super_resolve_x3", data_dir=pictures, output_dir=tmp_path / "sr",
        settings={"solver.iterations": 20, "eval.crop": 50}, device_target="CPU",
    )  # fmt: skip
    assert alone["baseline"] == "bicubic"
    assert alone["mean"]["psnr"] > alone["mean"]["baseline_psnr"]


def test_slips_in_eval_and_train(smoother, run, tmp_path):
    with pytest.raises(InputError, match="dmsp_demosaic has no blur"):
        api.evaluate(smoother, model="dmsp_demosaic", kernels="disk:2", output_dir=tmp_path)
    with pytest.raises(InputError, match="--kernels is for solvers"):
        api.evaluate(run.folder, kernels="disk:2", output_dir=tmp_path)
    with pytest.raises(InputError, match="no --tile, --self_ensemble, --luma"):
        api.evaluate(smoother, model="dmsp_deblur", self_ensemble=True, output_dir=tmp_path)
    with pytest.raises(InputError, match="train its prior, such as dmsp_dae"):
        api.train("dmsp_deblur", output_dir=tmp_path / "run")
    with pytest.raises(InputError, match="trained for bicubic"):
        api.evaluate(run.folder, model="dmsp_deblur", output_dir=tmp_path)
