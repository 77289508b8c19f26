"""Data sink, as far as a CPU goes: how many steps are handed over, and what callbacks then see.

Beside this, tests/ascend compiles such a run for an Ascend.
"""

import json
import types
from typing import ClassVar

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api
from ms_restore.training import performance, trainer
from ms_restore.training.trainer import sink_parts
from ms_restore.weights import checkpoint


@pytest.mark.parametrize(
    ("count", "chunk", "parts"),
    [
        (250, 100, [(0, 200, 100), (200, 50, 50)]),
        (200, 100, [(0, 200, 100)]),
        (101, 100, [(0, 100, 100), (100, 1, 1)]),
        (97, 100, [(0, 97, 97)]),
        (250, 0, [(0, 250, 250)]),
    ],
)
def test_chunks_and_a_rest(count, chunk, parts):
    assert sink_parts(count, chunk) == parts
    assert sum(part[1] for part in parts) == count


class _SinkModel:
    """Trains as ``Model`` does with data sink: callbacks are called after each chunk alone."""

    calls: ClassVar[list] = []

    def __init__(self, network):
        self._network = network

    def train(self, epoch, dataset, callbacks, dataset_sink_mode, sink_size=0):
        type(self).calls.append((epoch, dataset.get_dataset_size(), sink_size))
        assert dataset_sink_mode
        rows = dataset.create_tuple_iterator(num_epochs=1)
        stopped = []
        arguments = types.SimpleNamespace(cur_step_num=0, net_outputs=None)
        context = types.SimpleNamespace(
            original_args=lambda: arguments, request_stop=lambda: stopped.append(True)
        )
        for _ in range(epoch):
            for callback in callbacks:
                callback.on_train_step_begin(context)
            for _ in range(sink_size):
                arguments.net_outputs = self._network(*next(rows))
            arguments.cur_step_num += sink_size
            for callback in callbacks:
                callback.on_train_step_end(context)
            if stopped:
                break


@pytest.fixture
def by_sink(monkeypatch):
    """Runs train as on an Ascend, in chunks of 4 steps; gives the calls of ``Model.train``."""
    fit = trainer.fit
    monkeypatch.setattr(_SinkModel, "calls", [])
    monkeypatch.setattr(ms.train, "Model", _SinkModel)
    monkeypatch.setattr(trainer, "fit", lambda *arguments: fit(*arguments[:-1], 4))
    return _SinkModel.calls


SETTINGS = {"train.steps": 11, "train.validate_every": 5, "train.checkpoint_every": 4}
SETTINGS |= {"train.keep": 9, "train.schedule.name": "cosine"}


def _run(tiny, pictures, folder, **options):
    api.train(tiny, data_dir=pictures, output_dir=folder, device_target="CPU", **options)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return rows, checkpoint.read(folder / "checkpoints" / "step_00000011.ckpt")


@pytest.mark.slow
def test_a_run_in_chunks_is_that_of_single_steps(tiny, pictures, tmp_path, by_sink, monkeypatch):
    rows, last = _run(tiny, pictures, tmp_path / "sink", settings=SETTINGS)
    assert by_sink == [(2, 8, 4), (1, 3, 3)]
    losses = [row for row in rows if "loss" in row]
    assert [row["step"] for row in losses] == [4, 8, 11]
    assert [row["step"] for row in rows if "valid_psnr" in row] == [8, 11]
    saved = sorted(path.stem for path in (tmp_path / "sink" / "checkpoints").glob("step_*"))
    assert [int(name.removeprefix("step_")) for name in saved] == [4, 8, 11]
    monkeypatch.undo()
    every, plain = _run(tiny, pictures, tmp_path / "plain", settings=SETTINGS)
    at = {row["step"]: row for row in every if "loss" in row}
    for row in losses:
        assert (row["loss"], row["lr"]) == (at[row["step"]]["loss"], at[row["step"]]["lr"])
    assert last.facts["samples"] == plain.facts["samples"]
    for name, value in plain.parameters.items():
        assert (value.asnumpy() == last.parameters[name].asnumpy()).all(), name


def test_a_stop_in_the_first_part_ends_the_run(tiny, pictures, tmp_path, by_sink, monkeypatch):
    from ms_restore import parallel

    monkeypatch.setattr(parallel, "any_rank", lambda flag: True)
    with pytest.raises(trainer.Stopped):
        _run(tiny, pictures, tmp_path / "stopped", settings=SETTINGS)
    assert by_sink == [(2, 8, 4)]


def test_a_performance_run_leaves_the_chunk_that_compiles_out(tiny, monkeypatch):
    from ms_restore import recipe as recipes

    monkeypatch.setattr(_SinkModel, "calls", [])
    monkeypatch.setattr(ms.train, "Model", _SinkModel)
    figures = performance.run(recipes.load(tiny), "Ascend", 7, None)
    assert _SinkModel.calls == [(2, 14, 7)]
    assert figures["steps"] == 7
    assert figures["slowest"] == figures["fastest"] == figures["images_per_second"]
    assert np.isfinite(figures["data_wait"])
