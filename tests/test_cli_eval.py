"""eval: what is scored, what is said of it, and what is left in the folder."""

import json

import numpy as np
import PIL.Image
import pytest

from ms_restore import api, recipe, registry
from ms_restore.data import photos
from ms_restore.errors import InputError
from ms_restore.metrics import scoring
from ms_restore.report.score_folder import ScoreFolder
from ms_restore.verbs import scored_degradation
from ms_restore.weights import checkpoint


def _strict(path):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """A checkpoint of a gray DnCNN for a range of noise, which gives its input back."""
    settings = {"network.layers": 3, "network.filters": 2}
    made = recipe.load("dncnn_b", settings)
    network = registry.build("network", made.network)
    for name, parameter in network.parameters_and_names():
        if "weight" in name:
            parameter.set_data(parameter * 0)
    path = tmp_path_factory.mktemp("blind") / "blind.ckpt"
    checkpoint.save(path, network, made, {})
    return path


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gray")
    camera = photos.load("camera")[:, :, 0]
    for index in range(2):
        first = 100 * index
        PIL.Image.fromarray(camera[first : first + 90, 50:150]).save(folder / f"{index}.png")
    return folder


@pytest.mark.slow
def test_a_picture_without_any_error_is_said_and_left_out(run, pictures, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    PIL.Image.open(pictures / "a_rgb.png").save(folder / "real.png")
    PIL.Image.new("RGB", (40, 40), (90, 90, 90)).save(folder / "flat.png")
    api.evaluate(run.folder, data_dir=folder, output_dir=tmp_path / "eval", device_target="CPU")
    said = " ".join(capsys.readouterr().out.split())
    assert "left out of the mean PSNR, as theirs or their baseline's is infinite" in said
    assert "(no error at all): flat" in said
    metrics = _strict(tmp_path / "eval" / "metrics.json")
    flat, real = metrics["images"]
    assert flat["baseline_psnr"] == "inf"
    assert float(flat["baseline_psnr"]) == np.inf
    for figure in ("psnr", "baseline_psnr"):
        assert metrics["mean"][figure] == real[figure]
    assert metrics["mean"]["ssim"] == pytest.approx((flat["ssim"] + real["ssim"]) / 2)


def test_means_with_infinite_figures():
    def row(psnr, baseline):
        return {"name": f"{psnr}", "psnr": psnr, "ssim": 1.0, "baseline_psnr": baseline}

    inf = float("inf")
    rows = [row(30.0, 20.0), row(inf, 22.0), row(40.0, inf)]
    assert scoring.infinite(rows, "psnr") == ["inf", "40.0"]
    assert scoring.mean_scores(rows)["psnr"] == 30
    assert scoring.mean_scores(rows)["baseline_psnr"] == 20
    assert scoring.mean_scores(rows[1:])["psnr"] == 40
    assert scoring.mean_scores([row(inf, inf)])["psnr"] == inf
    assert np.isnan(scoring.mean_scores([row(float("nan"), 20.0), rows[0]])["psnr"])


@pytest.mark.slow
def test_the_given_setting_is_scored_and_said(blind, gray, tmp_path, capsys):
    """The noisy picture is the baseline, and its PSNR tells the noise."""
    options = {"data_dir": gray, "output_dir": tmp_path, "device_target": "CPU"}
    for settings, sigma in (
        ({}, 25),
        ({"degradation.sigma_255": 15}, 15),
        ({"degradation.eval_sigma_255": 40}, 40),
        ({"degradation.sigma_255": 15, "degradation.eval_sigma_255": 40}, 40),
    ):
        metrics = api.evaluate(blind, settings=settings, engine="mindspore", **options)
        noisy = metrics["mean"]["baseline_psnr"]
        assert noisy == pytest.approx(20 * np.log10(255 / sigma), abs=1.5)  # it is clipped
        said = " ".join(capsys.readouterr().out.split())
        assert f"degraded by gaussian, sigma {sigma}/255; protocol gray" in said
    with pytest.raises(InputError, match=r"draws from a range.*--degradation.eval_sigma_255"):
        api.evaluate(blind, settings={"degradation.sigma_255": [0, 15]}, **options)


@pytest.mark.parametrize(
    ("part", "given", "twin"),
    [
        ({"name": "poisson", "photons": 30.0, "eval_photons": None}, "photons", 30.0),
        ({"name": "text", "share": 0.3, "eval_share": 0.25}, "share", 0.3),
        ({"name": "jpeg", "quality": 10}, "quality", None),
    ],
)
def test_every_setting_with_a_twin(part, given, twin):
    made = scored_degradation.with_given(part, {f"degradation.{given}": part[given]})
    assert made.get(f"eval_{given}") == twin


def test_what_is_scored_in_words():
    described = scored_degradation.described
    part = {"name": "gaussian", "sigma_255": [0.0, 55.0], "eval_sigma_255": None}
    assert described(part) == "gaussian, sigma 55/255"
    assert described({**part, "eval_sigma_255": 25.0}) == "gaussian, sigma 25/255"
    assert described({"name": "bicubic", "scale": 4, "kernel": None}) == "bicubic, scale 4"
    assert described({"name": "mixture", "quality": [5, 99]}) == "mixture, quality 5 to 99"


def test_pictures_of_an_earlier_evaluation_are_removed(tmp_path):
    """Those that its metrics.json names, and no others."""
    x = np.zeros((20, 20, 3), np.float32)
    panels = [("a", x), ("b", x), ("c", x)]

    def evaluate(*names, joined=False):
        folder = ScoreFolder(tmp_path, joined)
        for name in names:
            folder.compare(name, panels)
        folder.finish({"images": [{"name": name} for name in names]})
        return sorted(path.name for path in (tmp_path / "comparisons").iterdir())

    assert evaluate("a", "b c") == ["a.png", "b c.png"]
    (tmp_path / "comparisons" / "mine.png").write_text("mine")
    (tmp_path / "elsewhere.png").write_text("mine")
    assert evaluate("a", "d") == ["a.png", "d.png", "mine.png"]
    assert evaluate("a kernel 0", joined=True) == ["a_kernel_0.png", "mine.png"]
    (tmp_path / "metrics.json").write_text('{"images": [{"name": "../elsewhere"}, 3]}')
    assert evaluate("a") == ["a.png", "a_kernel_0.png", "mine.png"]
    assert (tmp_path / "elsewhere.png").exists()


@pytest.mark.slow
def test_small_pictures_get_the_advice_of_the_verb(run, tiny, tmp_path):
    for name in ("a", "b"):
        PIL.Image.new("RGB", (12, 9)).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match="pixels needed along a side.*take them out$"):
        api.evaluate(run.folder, data_dir=tmp_path, output_dir=tmp_path / "eval")
    with pytest.raises(InputError, match="take them out, or make data.patch_size smaller$"):
        api.train(tiny, data_dir=tmp_path, output_dir=tmp_path / "run", device_target="CPU")


@pytest.mark.slow
def test_the_chosen_metrics_are_scored_and_shown(run, tmp_path, capsys):
    for name, side in (("a", 192), ("flat", 193)):
        photo = photos.load("chelsea")[:side, :200]
        PIL.Image.fromarray(photo if name == "a" else 0 * photo).save(tmp_path / f"{name}.png")
    options = {"data_dir": tmp_path, "output_dir": tmp_path / "eval", "device_target": "CPU"}
    api.evaluate(run.folder, metrics="niqe,psnr", **options)
    said = " ".join(capsys.readouterr().out.split())
    metrics = _strict(tmp_path / "eval" / "metrics.json")
    keys = ["niqe", "psnr", "baseline_niqe", "baseline_psnr"]
    assert list(metrics["metrics"]) == keys[:2]
    assert list(metrics["mean"]) == keys
    row, flat = metrics["images"]
    assert list(row) == ["name", *keys] and flat["baseline_niqe"] == "inf"
    assert metrics["mean"]["niqe"] == row["niqe"] != row["baseline_niqe"]
    assert "left out of the mean NIQE" in said and "(flat all over): flat" in said
    assert f"sr-y: bicubic NIQE {row['baseline_niqe']:.2f}, tiny NIQE {row['niqe']:.2f} (" in said
    assert "mean NIQE" in (tmp_path / "eval" / "report.html").read_text()
    PIL.Image.fromarray(photos.load("chelsea")[:190, :300]).save(tmp_path / "small.png")
    with pytest.raises(InputError, match=r"1 of 3 images are smaller than the 192 pixels needed"):
        api.evaluate(run.folder, metrics=["niqe"], **options)
    with pytest.raises(InputError, match="unknown metric 'nique'"):
        api.evaluate(run.folder, metrics="nique", **options)
