"""Weights that come along: every verb takes their model's name, and writes nothing beside them."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml

from ms_restore import api, recipe
from ms_restore.errors import InputError
from ms_restore.weights import catalogue, checkpoint
from tests.conftest import TINY, TOP

_FILE = TOP / "scripts" / "ship_weights.py"
_SPEC = importlib.util.spec_from_file_location("ship_weights", _FILE)
ship_weights = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ship_weights)


@pytest.fixture
def models(run, smoother, tmp_path, monkeypatch):
    """A folder of models: tiny and the default prior with weights, one by download, one without."""
    folder = tmp_path / "models"
    monkeypatch.setenv("MS_RESTORE_HOME", str(tmp_path / "home"))
    for family in ("edsr", "dmsp"):
        shutil.copytree(recipe.folder() / family, folder / family)
    shutil.copy(recipe.folder() / "weights.yaml", folder)
    (folder / "edsr" / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    prior = checkpoint.read(smoother).recipe.to_yaml()
    (folder / "dmsp" / f"{catalogue.DEFAULT_PRIOR}.yaml").write_text(prior)
    monkeypatch.setattr(recipe, "folder", lambda: folder)
    ship_weights.ship(run.folder, "tiny")
    ship_weights.ship(smoother, catalogue.DEFAULT_PRIOR)
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    rng = np.random.default_rng(0)
    PIL.Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(path)
    return path


def _files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def test_a_run_ships_its_best_weights_alone(models, run):
    path = models / "edsr" / "weights" / "tiny.ckpt"
    shipped, best = checkpoint.read(path), checkpoint.read(run.folder)
    assert shipped.training == {}
    assert shipped.facts == best.facts and "step" in shipped.facts
    assert shipped.recipe.data.dir is None and best.recipe.data.dir is not None
    assert shipped.recipe.network == best.recipe.network
    assert path.stat().st_size < run.checkpoint.stat().st_size + 100
    for name, parameter in best.parameters.items():
        assert (shipped.parameters[name].asnumpy() == parameter.asnumpy()).all()


def test_weights_of_another_network_or_too_many_are_not_shipped(models, run, monkeypatch):
    with pytest.raises(InputError, match="its network is .*, that of edsr_small_x2"):
        ship_weights.ship(run.folder, "edsr_small_x2")
    for limit in ("MOST", "MOST_OF_ALL"):
        with monkeypatch.context() as patch:
            patch.setattr(ship_weights, limit, 1000)
            with pytest.raises(InputError, match="come along"):
                ship_weights.ship(run.folder, "tiny")


@pytest.mark.slow
def test_every_verb_takes_the_models_name(models, run, photo, tmp_path, in_process):
    before = _files(models)
    options = ["--device_target", "CPU"]
    words = ["--model", "tiny", "--input", photo, "--output", tmp_path / "x.png", *options]
    done = in_process("infer", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    api.infer(run.checkpoint, photo, tmp_path / "expected.png", device_target="CPU")
    x, expected = (np.asarray(PIL.Image.open(tmp_path / f"{n}.png")) for n in ("x", "expected"))
    assert (x == expected).all()
    done = in_process("eval", "--model", "tiny", *options, cwd=tmp_path)
    assert "sr-y: bicubic 32.34 dB, tiny" in done.stdout, done.stderr
    assert (tmp_path / "eval" / "tiny" / "metrics.json").is_file()
    words = ["--model", "tiny", "--file_name", tmp_path / "x.onnx", *options]
    assert in_process("export", *words, cwd=tmp_path).returncode == 0
    assert (tmp_path / "x.onnx").is_file()
    assert _files(models) == before
    assert [path.name for path in (tmp_path / "home" / "exports").iterdir()] == ["tiny.cached.onnx"]


def test_settings_and_pretraining_take_the_name_too(models, pictures, tmp_path, capsys):
    settings = {"train.steps": 1, "train.validate_every": 1}
    options = {"data_dir": pictures, "device_target": "CPU", "settings": settings}
    api.train("tiny", pretrained="tiny", output_dir=tmp_path / "run", **options)
    assert "edsr/weights/tiny.ckpt" in capsys.readouterr().out


def test_a_path_of_the_models_name_wins(models, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert catalogue.resolve("tiny") == models / "edsr" / "weights" / "tiny.ckpt"
    shutil.copytree(run.folder, tmp_path / "tiny")
    assert catalogue.resolve("tiny") == Path("tiny")


def test_restore_takes_the_prior_that_comes_along(models, photo, tmp_path, in_process):
    before = _files(models)
    words = ["--kernel", "disk:2", "--sigma_255", "1", "--solver.iterations", "2"]
    words += ["--input", photo, "--output", tmp_path / "x.png", "--device_target", "CPU"]
    done = in_process("restore", "--task", "deblur", *words)
    assert done.returncode == 0, done.stderr
    assert "prior prior_small" in done.stdout
    api.restore(
        "denoise", None, photo, tmp_path / "y.png", sigma_255=9,
        settings={"solver.iterations": 1}, device_target="CPU",
    )  # fmt: skip
    words = ["--model", "dmsp_deblur", "--kernels", "disk:1", "--solver.iterations", "2"]
    done = in_process("eval", *words, "--device_target", "CPU", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "eval" / "dmsp_deblur" / "metrics.json").is_file()
    assert _files(models) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("infer --model edsr_quickstart", "edsr_quickstart: no weights of it come along; train it"),
        ("infer --model edsr_x4", "edsr_x4: its weights are not here; fetch them by ms-restore w"),
        ("infer --model dmsp_deblur", "dmsp_deblur: a solver, which has no weights but a prior's"),
        ("infer --model tinny", "unknown model 'tinny' (did you mean 'tiny'"),
        ("infer --model TOP/edsr/tiny.yaml", "a recipe file has no weights; name a checkpoint"),
        (
            "infer --checkpoint tinny",
            "tinny: no such file or run folder, and no such model (did you mean 'tiny'",
        ),
        ("infer --checkpoint edsr_x4", "edsr_x4: its weights are not here"),
        ("infer", "no weights: name a checkpoint or run folder with --checkpoint, or --model"),
    ],
)
def test_names_without_weights_are_one_line(models, photo, words, message, tmp_path, in_process):
    words = words.replace("TOP", str(models)).split()
    done = in_process(*words, "--input", photo, "--output", tmp_path / "x.png")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not (tmp_path / "x.png").exists()


def test_without_the_default_prior_one_line_says_what_to_do(models, photo, tmp_path, in_process):
    shutil.rmtree(models / "dmsp" / "weights")
    words = ["--kernel", "disk:2", "--input", photo, "--output", tmp_path / "x.png"]
    done = in_process("restore", "--task", "deblur", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"no prior: the weights of {catalogue.DEFAULT_PRIOR} are not here; name a" in line


def test_a_solver_has_no_weights_of_its_own(models):
    with pytest.raises(InputError, match="dmsp_deblur: a solver, which has no weights"):
        api.load_model("dmsp_deblur")


def test_the_list_says_where_weights_are(models, in_process):
    lines = [" ".join(line.split()) for line in in_process("models").stdout.splitlines()]
    assert "tiny edsr bicubic 2 here" in lines
    assert "edsr_x4 edsr bicubic 4 download" in lines
    assert "edsr_quickstart edsr bicubic 2 yours" in lines
    assert "dmsp_deblur dmsp blur prior's" in lines
    assert max(map(len, lines)) <= 80
    assert "\ntiny " in in_process("weights").stdout


@pytest.mark.parametrize("home", ["MS_RESTORE_HOME", "XDG_CACHE_HOME", "HOME"])
def test_the_cache_folder_follows_the_variables(home, tmp_path, monkeypatch):
    for name in ("MS_RESTORE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(home, str(tmp_path))
    below = {"MS_RESTORE_HOME": "", "XDG_CACHE_HOME": "ms_restore", "HOME": ".cache/ms_restore"}
    assert catalogue.cache_folder() == tmp_path / below[home]
