"""The profile of some steps: what it holds, and the steps that it is of."""

import json
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from ms_restore.errors import InputError
from ms_restore.training import profiling
from ms_restore.training.callbacks import Steps
from ms_restore.training.profiling import Profiling, steps_of


class _Step(nn.Cell):
    """A step with one convolution."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def construct(self, y):
        return self.convolution(y).sum()


def _operators(folder):
    """How often each operator ran, by the timeline."""
    (path,) = folder.rglob("trace_view.json")
    names = [event["name"] for event in json.loads(path.read_text()) if event.get("ph") == "X"]
    return {kind: sum(kind in name for name in names) for kind in ("Conv2D",)}


def test_the_profile_holds_the_steps_asked_for(tmp_path, capfd):
    images = [(np.ones((3, 8, 8), np.float32),)] * 6
    data = ms.dataset.GeneratorDataset(images, ["y"], shuffle=False).batch(1)
    callback = Profiling(Steps(10, 16), 13, 14, tmp_path / "profile")
    ms.train.Model(_Step()).train(1, data, [callback], dataset_sink_mode=False)
    assert "profile of the steps 13 to 14 in " in capfd.readouterr().out.replace("\n", " ")
    assert _operators(tmp_path / "profile") == {"Conv2D": 2}


def _chunks(callback, size, count):
    """What a run with data sink calls, without one."""
    arguments = {"dataset_sink_mode": True, "batch_num": size}
    for number in range(1, count + 1):
        context = SimpleNamespace(original_args=lambda: _Arguments(arguments))
        arguments["cur_step_num"] = (number - 1) * size
        callback.on_train_step_begin(context)
        arguments["cur_step_num"] = number * size
        callback.on_train_step_end(context)


class _Arguments(dict):
    """As MindSpore's own: a dictionary whose keys are attributes too."""

    __getattr__ = dict.__getitem__


def test_with_data_sink_whole_chunks_are_profiled(tmp_path, monkeypatch, capfd):
    calls = []
    fake = SimpleNamespace(
        start=lambda: calls.append("start"),
        step=lambda: calls.append("step"),
        stop=lambda: calls.append("stop"),
    )
    monkeypatch.setattr(profiling, "_profile", lambda folder: fake)
    _chunks(Profiling(Steps(0, 400), 150, 201, tmp_path), 100, 4)
    assert calls == ["start", "step", "step", "stop"]
    assert "profile of the steps 101 to 300 in" in capfd.readouterr().out


@pytest.mark.parametrize("text", ["20", "30:20", "0:3", "a:b", ":", "1:2:3"])
def test_what_is_no_range(text):
    with pytest.raises(InputError, match=f"--profile {text}: expected the first and the last"):
        steps_of(text)


def test_a_range_outside_the_run(tmp_path):
    assert steps_of("20:30") == (20, 30)
    for first, last in ((101, 110), (3, 10)):
        with pytest.raises(InputError, match="none of these is among the steps 11 to 100"):
            Profiling(Steps(10, 100), first, last, tmp_path)


@pytest.mark.slow
def test_the_verb_profiles_into_the_run_folder(tiny, pictures, tmp_path):
    from ms_restore import api

    run = api.train(tiny, data_dir=pictures, output_dir=tmp_path / "run", profile="4:5")
    assert list((run.folder / "profile").rglob("*trace*"))
