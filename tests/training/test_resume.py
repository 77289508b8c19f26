"""A run that was stopped, killed or cut and goes on equals one that was not, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.weights import checkpoint, run_checkpoints

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[2]
EVERYTHING = {
    "train.amp_level": "O2",
    "train.loss_scale_window": 2,
    "train.ema_decay": 0.9,
    "train.clip_norm": 0.5,
    "train.accumulate": 2,
    "train.warm_up": 3,
    "train.schedule": "cosine",
    "train.steps": 8,
    "train.validate_every": 2,
    "train.checkpoint_every": 3,
}


def _train(tiny, pictures, folder, **options):
    return api.train(tiny, data_dir=pictures, output_dir=folder, device_target="CPU", **options)


def _resume(folder, **options):
    return api.train(resume=folder, device_target="CPU", **options)


def _assert_same_run(folder, other):
    """Weights, optimizer, loss scale, averages, facts, best weights and logged figures."""
    for path, twin in (
        (run_checkpoints.newest(folder)[0], run_checkpoints.newest(other)[0]),
        (folder / "best.ckpt", other / "best.ckpt"),
    ):
        a, b = checkpoint.read(path), checkpoint.read(twin)
        assert a.facts == b.facts
        for kind in ("parameters", "training"):
            left, right = getattr(a, kind), getattr(b, kind)
            assert list(left) == list(right)
            for name in left:
                assert left[name].asnumpy().tobytes() == right[name].asnumpy().tobytes(), name
    logs = []
    for run in (folder, other):
        entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        clocks = ("images_per_second", "data_wait")
        logs.append([{k: v for k, v in e.items() if k not in clocks} for e in entries])
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="plain", marks=pytest.mark.long),
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(
            {"train.loss": "annealed_l0"},
            id="a loss that follows the run",
            marks=pytest.mark.long,
        ),
    ],
)
def test_two_halves_equal_the_whole(tiny, pictures, tmp_path, settings):
    whole = _train(tiny, pictures, tmp_path / "whole", settings=settings)
    _train(tiny, pictures, tmp_path / "halves", settings=settings, max_steps=whole.steps // 2)
    halves = _resume(tmp_path / "halves")
    assert halves.steps == whole.steps
    assert halves.psnr == whole.psnr
    _assert_same_run(tmp_path / "whole", tmp_path / "halves")


def test_a_finished_run_has_nothing_left_to_do(run, capsys):
    before = run.checkpoint.read_bytes()
    again = _resume(run.folder)
    assert "all 6 steps are done" in capsys.readouterr().out
    assert (again.steps, again.psnr) == (run.steps, run.psnr)
    assert run.checkpoint.read_bytes() == before


@pytest.fixture(scope="module")
def unbroken(tiny, pictures, tmp_path_factory):
    """60 steps without a break, and the command that makes such a run."""
    folder = tmp_path_factory.mktemp("long") / "unbroken"
    settings = {"train.steps": 60, "train.validate_every": 25, "train.checkpoint_every": 5}
    _train(tiny, pictures, folder, settings=settings)
    command = [sys.executable, "-m", "ms_restore", "train", "--model", tiny]
    command += ["--data_dir", str(pictures), "--device_target", "CPU"]
    for key, value in settings.items():
        command += [f"--{key}", str(value)]
    return folder, command


def _start_and(number, command, folder, at_step):
    """Send the signal once the log shows the step; the process's exit code and standard output."""
    process = subprocess.Popen(
        [*command, "--output_dir", str(folder)], cwd=TOP, stdout=subprocess.PIPE, text=True
    )
    log = folder / "log.jsonl"
    for _ in range(6000):
        if log.exists() and log.read_text().count("loss_scale") >= at_step:
            break
        time.sleep(0.01)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_killed_in_the_middle_of_a_step(unbroken, tmp_path):
    whole, command = unbroken
    code, _ = _start_and(signal.SIGKILL, command, tmp_path / "run", at_step=12)
    assert code == -signal.SIGKILL
    step = checkpoint.read(run_checkpoints.newest(tmp_path / "run")[0]).facts["step"]
    assert 10 <= step < 60
    _resume(tmp_path / "run")
    _assert_same_run(whole, tmp_path / "run")


@pytest.mark.parametrize(
    ("number", "codes"),
    [
        (signal.SIGINT, (130, 143)),
        pytest.param(signal.SIGTERM, (143,), marks=pytest.mark.long),
    ],
)
def test_a_signal_saves_first(unbroken, tmp_path, number, codes):
    """MindSpore turns a SIGINT that comes while a graph runs into a SIGTERM to itself."""
    whole, command = unbroken
    returned, output = _start_and(number, command, tmp_path / "run", at_step=26)
    assert returned in codes
    assert f"go on with: train --resume {tmp_path / 'run'}" in " ".join(output.split())
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    last = max(entry["step"] for entry in steps)
    assert checkpoint.read(run_checkpoints.newest(tmp_path / "run")[0]).facts["step"] == last < 60
    _resume(tmp_path / "run")
    for kind in ("parameters", "training"):
        ends = [checkpoint.read(run_checkpoints.newest(f)[0]) for f in (whole, tmp_path / "run")]
        left, right = (getattr(end, kind) for end in ends)
        assert all((left[name].asnumpy() == right[name].asnumpy()).all() for name in left)


def test_a_checkpoint_cut_short_is_passed_over(unbroken, tiny, pictures, tmp_path, capsys):
    whole, _ = unbroken
    settings = {"train.steps": 60, "train.validate_every": 25, "train.checkpoint_every": 5}
    folder = tmp_path / "run"
    _train(tiny, pictures, folder, settings=settings, max_steps=20)
    newest = run_checkpoints.newest(folder)[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    _resume(folder)
    assert "passed over" in capsys.readouterr().out
    _assert_same_run(whole, folder)


def test_only_the_last_checkpoints_are_kept(unbroken):
    names = [path.name for path in run_checkpoints.newest(unbroken[0])]
    assert names == ["step_00000060.ckpt", "step_00000055.ckpt", "step_00000050.ckpt"]


def test_a_changed_recipe_is_listed_and_refused(tiny, pictures, tmp_path, capsys):
    folder = tmp_path / "run"
    _train(tiny, pictures, folder, max_steps=2)
    changes = {"train.lr": 0.5, "network.blocks": 1}
    with pytest.raises(
        InputError, match=r"another recipe \(train.lr: 0.001 -> 0.5\);.*--allow_changes"
    ):
        _resume(folder, settings=changes)
    _resume(folder, settings={"train.lr": 0.5}, allow_changes=True, max_steps=3)
    assert "resumed with changes: train.lr: 0.001 -> 0.5" in capsys.readouterr().out
    last = json.loads((folder / "log.jsonl").read_text().splitlines()[-2])
    assert (last["step"], last["lr"]) == (3, 0.5)


def test_resume_of_what_is_no_run(tiny, tmp_path, run):
    with pytest.raises(InputError, match="no run to resume here"):
        _resume(tmp_path)
    with pytest.raises(InputError, match="--pretrained exclude each other"):
        _resume(run.folder, pretrained=run.checkpoint)


def test_another_network_cannot_take_over_the_state(tiny, pictures, tmp_path):
    folder = tmp_path / "run"
    _train(tiny, pictures, folder, max_steps=2)
    with pytest.raises(InputError, match="do not fit the network"):
        _resume(folder, settings={"network.filters": 6}, allow_changes=True)
    with pytest.raises(InputError, match="state of training does not fit"):
        _resume(folder, settings={"train.ema_decay": 0.5}, allow_changes=True)
    assert checkpoint.read(run_checkpoints.newest(folder)[0]).facts["step"] == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"train.lr": 1e30},
        pytest.param(
            {"train.lr": 1e30, "train.amp_level": "O2", "train.loss_scale": "fixed"},
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_loss_that_is_no_number_stops_and_loses_nothing(tiny, pictures, tmp_path, settings):
    folder = tmp_path / "run"
    _train(tiny, pictures, folder, settings={**settings, "train.lr": 1e-3}, max_steps=1)
    before = run_checkpoints.newest(folder)[0].read_bytes()
    expected = r"step \d+: the loss or a gradient is not finite .* its last checkpoint is as it was"
    with pytest.raises(InputError, match=expected):
        _resume(folder, settings={"train.lr": settings["train.lr"]}, allow_changes=True)
    (kept,) = run_checkpoints.newest(folder)
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"train.lr": 1e10, "train.amp_level": "O2"}, "step [1-3]: .*(weight of|not finite)"),
        ({"train.lr": 1e7, "train.checkpoint_every": 1}, "step 1: .* has a weight of 1e"),
        ({"train.lr": 3, "train.checkpoint_every": 1}, r"step [2-6]: the loss is .* over 1000"),
    ],
)
def test_a_run_that_diverges_is_stopped_and_keeps_no_such_weights(
    tiny, pictures, tmp_path, settings, expected
):
    settings = {"network.blocks": 4, **settings}
    with pytest.raises(InputError, match=f"{expected}.*diverged.*smaller train.lr .now") as caught:
        _train(tiny, pictures, tmp_path / "run", settings=settings)
    assert len(caught.value.problems) == 1
    kept = run_checkpoints.newest(tmp_path / "run")
    assert ("written no checkpoint" in str(caught.value)) == (not kept)
    for path in kept:
        for parameter in checkpoint.read(path).parameters.values():
            assert np.abs(parameter.asnumpy()).max() < 100


def test_two_processes_cannot_share_a_folder(unbroken, tmp_path):
    _, command = unbroken
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [*command, "--output_dir", str(folder), "--train.steps", "5000"],
        cwd=TOP,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(6000):
            if run_checkpoints.newest(folder):
                break
            time.sleep(0.01)
        with pytest.raises(InputError, match="another process is training into it"):
            _resume(folder)
        with pytest.raises(InputError, match="holds another run"):
            _train(command[5], None, folder)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_full_disk_leaves_the_last_good_checkpoint(tiny, pictures, tmp_path):
    """A file system of its own, as large as a few checkpoints."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        settings = {"train.steps": 40, "train.checkpoint_every": 1, "train.keep": 40}
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
            _train(tiny, pictures, disk / "run", settings=settings)
        last = checkpoint.read(run_checkpoints.newest(disk / "run")[0])
        assert last.facts["step"] >= 1
        assert not [p for p in (disk / "run" / "checkpoints").iterdir() if p.name.startswith(".")]
        assert checkpoint.read(disk / "run" / "best.ckpt").parameters
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.long
def test_memory_stays_flat_over_2000_steps(tiny, tmp_path):
    """Resident memory at step 2000 against step 500."""
    import psutil
    from mindspore.train import Callback

    from ms_restore.training import callbacks

    memory = {}

    class Watched(callbacks.Stop):
        def on_train_step_end(self, run_context):
            memory[self._steps.now(run_context)] = psutil.Process().memory_info().rss
            super().on_train_step_end(run_context)

    assert issubclass(Watched, Callback)
    original, callbacks.Stop = callbacks.Stop, Watched
    try:
        settings = {"train.steps": 2000, "train.validate_every": 250}
        api.train(tiny, output_dir=tmp_path / "run", device_target="CPU", settings=settings)
    finally:
        callbacks.Stop = original
    print(f"step 500: {memory[500] / 1e6:.0f} MB, step 2000: {memory[2000] / 1e6:.0f} MB")
    assert memory[2000] - memory[500] < 16e6
