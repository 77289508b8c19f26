"""Parts of one's own: in recipes by name, in Python as objects; what does not fit is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml

import ms_restore
from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.data import photos
from ms_restore.errors import InputError
from tests.fixtures import own_parts

TOP = Path(__file__).parents[1]
EXAMPLES = TOP / "examples"
sys.path.append(str(EXAMPLES))
QUICK = {"train.steps": 4, "train.validate_every": 2, "data.patch_size": 16, "train.batch_size": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The example's script, in a process of its own, and the run that it leaves."""
    folder = tmp_path_factory.mktemp("own") / "run"
    done = subprocess.run(
        [sys.executable, "train_my_network.py", "--steps", "8", "--output_dir", str(folder)],
        cwd=EXAMPLES,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert " dB" in done.stdout.splitlines()[-1]
    return folder


@pytest.mark.slow
def test_the_checkpoint_names_the_classes_and_their_settings(trained):
    saved = recipes.parse((trained / "recipe.yaml").read_text())
    assert saved.network == {"name": "my_parts.networks:GatedNet", "width": 16, "blocks": 2}
    assert saved.degradation == {"name": "my_parts.degradations:Speckle", "strength": 0.2}
    assert saved.train.loss == {"name": "my_parts.losses:Cauchy", "width": 0.1}


@pytest.mark.slow
def test_a_picture_is_restored_in_one_piece_and_tiles_are_refused(trained, tmp_path):
    PIL.Image.fromarray(photos.load("chelsea")[:61, :75]).save(tmp_path / "in.png")
    restorer = ms_restore.load_model(trained)
    whole = restorer(np.asarray(PIL.Image.open(tmp_path / "in.png"), np.float32) / 255)
    written = ms_restore.infer(trained, tmp_path / "in.png", tmp_path / "out.png")
    shown = np.asarray(PIL.Image.open(written[0]), np.float32) / 255
    np.testing.assert_allclose(shown, whole, atol=0.51 / 255)
    with pytest.raises(InputError, match="tile 64: gatednet sees the whole picture .*leave --tile"):
        ms_restore.load_model(trained, tile=64)


@pytest.mark.slow
def test_a_picture_too_large_for_the_memory_is_refused(trained, monkeypatch):
    import psutil

    class Little:
        available = 1 << 20

    restorer, y = ms_restore.load_model(trained), np.zeros((200, 300, 3), np.float32)
    monkeypatch.setattr(psutil, "virtual_memory", Little)
    with pytest.raises(InputError, match=r"300x200 pixels need about 0\.0 GB of memory.*--tile 0"):
        restorer(y)
    assert ms_restore.load_model(trained, tile=0)(y).shape == y.shape


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["MINDIR", "ONNX"])
def test_it_is_exported_as_ours_are(trained, tmp_path, file_format):
    path = ms_restore.export(trained, tmp_path / "net", file_format=file_format)
    y = np.random.default_rng(0).random((30, 41, 3), np.float32)
    expected = ms_restore.load_model(trained, engine="mindspore")(y)
    np.testing.assert_allclose(ms_restore.load_model(path)(y), expected, atol=1e-5)


@pytest.mark.slow
def test_the_recipe_of_the_example_trains_and_resumes(tmp_path, command_line):
    """In the example's folder, whose modules are found there."""
    options = [word for key, value in QUICK.items() for word in (f"--{key}", value)]
    options += ["--device_target", "CPU"]
    model = ["--model", "gated_speckle.yaml", "--output_dir", tmp_path / "run"]
    environment = command_line("train", *model, *options, "--max_steps", 2, cwd=EXAMPLES)
    assert environment.returncode == 0, environment.stderr
    resumed = command_line("train", "--resume", tmp_path / "run", cwd=EXAMPLES)
    assert "from step 2 to step 4" in resumed.stdout
    elsewhere = command_line("eval", "--checkpoint", tmp_path / "run", cwd=tmp_path)
    assert elsewhere.returncode == 2
    assert elsewhere.stderr.count("\n") == 5  # a line for each part
    assert "network my_parts.networks:GatedNet: the module my_parts is not installed" in (
        elsewhere.stderr
    )


def test_objects_and_names_mix(tmp_path):
    """A network by its name, the other parts as objects, functions and classes."""
    import functools

    from my_parts.degradations import Speckle
    from my_parts.losses import Cauchy
    from my_parts.optimizers import rms_prop
    from my_parts.schedules import warm_restarts

    run = ms_restore.train(
        "dncnn_quickstart",
        degradation=Speckle,
        loss=Cauchy(width=0.05),
        optimizer=functools.partial(rms_prop, decay=0.8),
        schedule=warm_restarts,
        steps=3,
        output_dir=tmp_path / "run",
        settings={
            **QUICK,
            "train.steps": 3,
            "network.layers": 3,
            "network.filters": 4,
            "data.stride": None,
            "data.scales": [1.0],
        },
    )
    saved = recipes.parse((run.folder / "recipe.yaml").read_text())
    assert saved.degradation == {"name": "my_parts.degradations:Speckle", "strength": 0.2}
    assert saved.train.loss["width"] == 0.05
    assert saved.train.optimizer == {"name": "my_parts.optimizers:rms_prop", "decay": 0.8}
    assert saved.train.schedule == {"name": "my_parts.schedules:warm_restarts", "periods": 4}
    assert saved.train.steps == 3


def test_a_registered_class_is_named_as_in_recipes():
    from ms_restore.degradations.noise import Gaussian
    from ms_restore.training.losses import MSE

    assert registry.settings_of("loss", MSE()) == {"name": "mse"}
    given = {"name": "gaussian", "sigma_255": [0.0, 55.0]}
    assert registry.settings_of("degradation", Gaussian(sigma_255=[0.0, 55.0])) == given


def test_a_solver_of_ones_own_restores(smoother, tmp_path):
    picture = tmp_path / "y.png"
    PIL.Image.fromarray(photos.load("chelsea")[:40, :50]).save(picture)
    settings = {"solver.name": "my_parts.solvers:PlugAndPlay", "solver.iterations": 2}
    written = ms_restore.restore(
        "denoise",
        smoother,
        picture,
        tmp_path / "out.png",
        sigma_255=5,
        settings=settings,
        engine="onnxruntime",
    )
    assert np.asarray(PIL.Image.open(written[0])).shape == (40, 50, 3)


def test_restore_takes_the_solver_of_a_recipe(smoother, tmp_path, capsys):
    picture = tmp_path / "y.png"
    PIL.Image.fromarray(photos.load("chelsea")[:40, :50]).save(picture)
    recipe = tmp_path / "few.yaml"
    text = (TOP / "models" / "dmsp" / "dmsp_deblur.yaml").read_text()
    data = yaml.safe_load(text)
    data["solver"] = {"name": "dmsp", "iterations": 3}
    recipe.write_text(yaml.safe_dump(data))
    ms_restore.restore(
        "deblur", smoother, picture, tmp_path / "o.png", kernel="disk:1", model=str(recipe)
    )
    assert "at most 3 iterations" in capsys.readouterr().out
    with pytest.raises(InputError, match="dncnn_s25 is no solver; name one, such as dmsp_deblur"):
        ms_restore.restore(
            "deblur", smoother, picture, tmp_path / "o.png", kernel="disk:1", model="dncnn_s25"
        )


SCRIPT = """
import ms_restore
from mindspore import nn


class Mine(nn.Cell):
    def __init__(self, *, width: int = 4):
        super().__init__()
        self.width = width
        self.body = nn.SequentialCell(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 3, 3))

    def construct(self, y):
        return y - self.body(y)


run = ms_restore.train(
    Mine(width=5), degradation="gaussian", steps=2, output_dir="run",
    settings={"data.patch_size": 16, "train.batch_size": 1, "data.valid_images": 1},
)
print(ms_restore.load_model(run, engine="mindspore").recipe.network)
"""


@pytest.mark.long
def test_a_network_of_the_script_itself(tmp_path, command_line):
    """It is not run again to find the class; the line that says what follows is printed."""
    (tmp_path / "mine.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout.count("note: Mine is defined in the script itself") == 1
    assert done.stdout.splitlines()[-1] == "{'name': 'mine:Mine', 'width': 5}"
    (tmp_path / "mine.py").write_text(SCRIPT.split("run = ")[0])
    there = ["infer", "--checkpoint", tmp_path / "run", "--input", TOP / "README.md"]
    found = command_line(*there, "--output", tmp_path / "o.png", cwd=tmp_path)
    assert "README.md: not an image" in found.stderr


OWN = "tests.fixtures.own_parts"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "network",
            f"{OWN}:NoCell",
            "got the class NoCell, expected a class derived from mindspore",
        ),
        ("network", f"{OWN}:Untyped", "its argument width has no type"),
        ("network", f"{OWN}:ByPosition", "its argument width can be given by position"),
        ("network", f"{OWN}:Absent", f"the module {OWN} has no Absent"),
        ("network", f"{OWN}:Smaler", "has no Smaler .did you mean 'Smaller'"),
        ("network", "no_such_package.nets:Net", "the module no_such_package is not installed here"),
        ("degradation", f"{OWN}:Smaller", "expected a class derived from ms_restore's Degradation"),
        ("loss", f"{OWN}:NoCell", "expected a class derived from mindspore's Cell"),
        ("schedule", f"{OWN}:NoCell", "it takes 0 arguments by position, expected 2 .step, steps"),
        ("network", "gaussiann", "unknown network 'gaussiann'"),
    ],
)
def test_a_class_that_does_not_keep_to_its_contract(kind, name, message):
    with pytest.raises(InputError, match=message) as caught:
        registry.find(kind, name)
    assert len(caught.value.problems) == 1
    assert "\n" not in caught.value.problems[0]
    assert name in caught.value.problems[0] or ":" not in name


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            own_parts.Smaller(),
            r"Smaller: for an input \(1, 3, 16, 16\) it gives float32 of shape "
            r"\(1, 3, 15, 16\), expected float32 of shape \(1, 3, 16, 16\)",
        ),
        (own_parts.Halves(), r"Halves: .* it gives float16 of shape \(1, 3, 16, 16\), expected"),
        (own_parts.Broken(), r"Broken: fails on an input \(1, 3, 16, 16\): "),
        (own_parts.Forgetful(width=9), r"Forgetful: made again from the settings .*keep every"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_network_that_gives_something_else(network, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        ms_restore.train(
            network, degradation="gaussian", output_dir=tmp_path / "run", settings=QUICK
        )
    assert len(caught.value.problems) == 1
    assert not (tmp_path / "run").exists()


def test_a_degradation_and_a_loss_that_give_something_else(tmp_path):
    small = {**QUICK, "network.layers": 3, "network.filters": 4, "data.stride": None}
    with pytest.raises(InputError, match=r"Nothing: for patches .* it gives int64 of shape"):
        ms_restore.train(
            "dncnn_quickstart",
            degradation=own_parts.Nothing(),
            settings=small,
            output_dir=tmp_path / "run",
        )
    with pytest.raises(InputError, match=r"NoMean: it gives float32 of shape \(1, 1, 16, 16\)"):
        ms_restore.train(
            "dncnn_quickstart", loss=own_parts.NoMean, settings=small, output_dir=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_a_network_without_a_degradation_and_one_that_cannot_be_named(tmp_path):
    from mindspore import nn

    class Inner(nn.Cell):
        def construct(self, y):
            return y

    with pytest.raises(InputError, match="defined inside of something else"):
        ms_restore.train(Inner(), degradation="gaussian", output_dir=tmp_path / "run")
    with pytest.raises(InputError, match="name a degradation, such as"):
        ms_restore.train(own_parts.Smaller(), output_dir=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", ms_restore.__all__)
def test_every_name_is_a_function_twice(name):
    """Also after every module of the package was imported."""
    import importlib
    import pkgutil

    first = getattr(importlib.import_module("ms_restore.api"), name)
    for module in pkgutil.walk_packages(ms_restore.__path__, "ms_restore."):
        if not module.name.endswith(("__main__", "rank_main")):
            importlib.import_module(module.name)
    assert name in dir(ms_restore)
    for _ in range(2):
        assert getattr(ms_restore, name) is first
        assert callable(getattr(ms_restore, name))


def test_models_are_listed():
    models = ms_restore.list_models()
    assert models["edsr_quickstart"]
    assert set(models) == set(recipes.files())
