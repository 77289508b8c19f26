import json
import re

import numpy as np
import pytest

from ms_restore import api, recipe
from ms_restore.errors import InputError
from ms_restore.weights import checkpoint, run_checkpoints

pytestmark = pytest.mark.slow


def _last(run):
    return run_checkpoints.newest(run.folder)[0]


def _weights(path):
    return {k: p.asnumpy() for k, p in checkpoint.read(path).parameters.items()}


def test_a_run_folder_holds_what_the_run_was(run, tiny):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {"recipe.yaml", "environment.jsonl", "log.jsonl", "best.ckpt", "checkpoints"}
    saved = recipe.parse((run.folder / "recipe.yaml").read_text())
    assert saved.network == recipe.load(tiny).network
    assert saved.data.dir
    environment = json.loads((run.folder / "environment.jsonl").read_text())
    assert environment["mindspore"]
    log = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4, 5, 6]
    assert [entry["step"] for entry in log if "valid_psnr" in entry] == [3, 6]
    assert run.psnr == max(entry["valid_psnr"] for entry in log if "valid_psnr" in entry)


def test_training_learns(tiny, tmp_path):
    """From noise to a picture: 60 steps of the smallest network gain several dB."""
    settings = {"train.steps": 60, "train.lr": 1e-2, "train.validate_every": 1}
    settings["data.valid_images"] = 1
    api.train(tiny, output_dir=tmp_path / "run", device_target="CPU", settings=settings)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    psnr = [entry["valid_psnr"] for entry in log if "valid_psnr" in entry]
    assert psnr[-1] > psnr[0] + 5
    best = checkpoint.read(tmp_path / "run")
    assert best.facts["valid_psnr"] == max(psnr)


def test_the_same_seed_gives_the_same_weights(tiny, run, pictures, tmp_path):
    """Also with another number of workers; another seed gives others."""

    def train(name, **options):
        settings = options.pop("settings", None)
        again = api.train(
            tiny,
            data_dir=pictures,
            output_dir=tmp_path / name,
            device_target="CPU",
            settings=settings,
            **options,
        )
        return _weights(_last(again))

    expected = _weights(_last(run))
    same = train("same", settings={"data.workers": 1})
    other = train("other", seed=1)
    assert all((expected[name] == same[name]).all() for name in expected)
    assert any((expected[name] != other[name]).any() for name in expected)


def test_max_steps_ends_early_on_the_same_schedule(tiny, pictures, run, tmp_path):
    """The first validation of the whole run and of the cut one see the same weights."""
    settings = {"train.schedule": "cosine"}
    options = {"data_dir": pictures, "device_target": "CPU", "settings": settings}
    whole = api.train(tiny, output_dir=tmp_path / "whole", **options)
    cut = api.train(tiny, output_dir=tmp_path / "cut", max_steps=3, **options)
    assert cut.steps == 3

    def validation(folder):
        lines = (folder / "log.jsonl").read_text().splitlines()
        return next(entry for entry in map(json.loads, lines) if "valid_psnr" in entry)

    assert validation(whole.folder) == validation(cut.folder)


def test_every_optimizer_loss_and_mode_trains(tiny, pictures, tmp_path):
    for index, (mode, settings) in enumerate(
        [
            ("pynative", {}),
            ("graph", {"train.optimizer": "sgd", "train.loss": "mse"}),
            ("graph", {"network.channels": 1, "eval.protocol": "gray"}),
        ]
    ):
        run = api.train(
            tiny,
            data_dir=pictures,
            output_dir=tmp_path / str(index),
            max_steps=2,
            device_target="CPU",
            mode=mode,
            settings=settings,
        )
        assert np.isfinite(run.psnr)


def test_pynative_equals_graph(tiny, pictures, run, tmp_path):
    again = api.train(
        tiny,
        data_dir=pictures,
        output_dir=tmp_path / "run",
        device_target="CPU",
        mode="pynative",
    )
    graph, pynative = _weights(_last(run)), _weights(_last(again))
    for name in graph:
        np.testing.assert_allclose(graph[name], pynative[name], atol=1e-5)


def test_a_folder_with_another_run_is_not_touched(tiny, run):
    before = {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()}
    with pytest.raises(InputError, match="holds another run; choose another --output_dir"):
        api.train(tiny, output_dir=run.folder, device_target="CPU")
    assert before == {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()}


def test_a_folder_of_something_else_is_not_touched(tiny, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        api.train(tiny, output_dir=tmp_path, device_target="CPU")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_pretrained_weights_are_taken_over(tiny, pictures, run, tmp_path, capsys):
    """x4 from x2: everything but the new stage's convolution fits."""
    before = _weights(_last(run))
    again = api.train(
        tiny,
        data_dir=pictures,
        output_dir=tmp_path / "run",
        max_steps=1,
        pretrained=_last(run),
        device_target="CPU",
        settings={"train.lr": 1e-12, "network.scale": 4},
    )
    after = _weights(again.checkpoint)
    assert all(np.allclose(before[name], after[name], atol=1e-9) for name in before)
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search("pretrained: 12 parameters .* left as initialised: upsample.2", printed)


def test_pretrained_weights_of_which_nothing_fits(tiny, pictures, run, tmp_path):
    with pytest.raises(InputError, match="none of its parameters fits the network"):
        api.train(
            tiny,
            data_dir=pictures,
            output_dir=tmp_path / "run",
            pretrained=run.checkpoint,
            device_target="CPU",
            settings={"network.filters": 5, "network.channels": 1},
        )
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_of_a_run_that_fails_before_its_first_checkpoint(
    tiny, tmp_path, monkeypatch
):
    from ms_restore.training import callbacks

    def stop(self, run_context):
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.Figures, "on_train_step_end", stop)
    with pytest.raises(KeyboardInterrupt):
        api.train(tiny, output_dir=tmp_path / "run", device_target="CPU")
    assert not (tmp_path / "run").exists()


def test_validation_on_some_of_the_images(tiny, tmp_path):
    """One image alone scores as that image does in the evaluation of all."""
    settings = {"data.valid_images": 1, "train.validate_every": 2}
    run = api.train(
        tiny, output_dir=tmp_path / "run", max_steps=2, device_target="CPU", settings=settings
    )
    metrics = api.evaluate(run.folder, output_dir=tmp_path / "eval", device_target="CPU")
    assert run.psnr == pytest.approx(metrics["images"][0]["psnr"], abs=1e-6)
    assert abs(run.psnr - metrics["mean"]["psnr"]) > 1e-3


def test_the_better_of_averaged_and_raw_weights_are_kept_as_best(tiny, pictures, tmp_path, capsys):
    settings = {"train.ema_decay": 0.9, "train.steps": 3, "train.lr": 1e-2}
    run = api.train(
        tiny, data_dir=pictures, output_dir=tmp_path, device_target="CPU", settings=settings
    )
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    average, raw = (log[-1][f"valid_psnr_{name}"] for name in ("average", "raw"))
    assert average != raw and log[-1]["valid_psnr"] == run.psnr == max(average, raw)
    assert f"(average {average:.2f}, raw {raw:.2f})" in capsys.readouterr().out
    best, last = _weights(run.checkpoint), checkpoint.read(_last(run))
    for name, kept in best.items():
        averaged, present = last.training[f"ema.{name}"], last.parameters[name]
        better, other = (averaged, present) if average > raw else (present, averaged)
        assert (kept == better.asnumpy()).all()
        assert (kept != other.asnumpy()).any()
