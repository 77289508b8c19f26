"""What a run folder keeps, and what of it a kill, a change of images or a step back leaves."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.training import callbacks, run_folder, run_images
from ms_restore.training.divergence import Divergence, kept_nothing
from ms_restore.training.run_files import check_free
from ms_restore.weights import checkpoint, run_checkpoints

FIGURES = {"images_per_second", "data_wait"}


def _fill(folder, names):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        PIL.Image.fromarray(rng.integers(0, 255, (24, 30, 3), np.uint8)).save(folder / name)
    return folder


def _files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _listed(folder, part):
    return [name for name, *_ in json.loads((folder / "data.json").read_text())[part]["images"]]


@pytest.mark.slow
def test_held_out_images_stay_held_out(tiny, tmp_path, capsys):
    """Every tenth of the names is j.png before, and another one once a name comes before it."""
    images = _fill(tmp_path / "images", [f"{letter}.png" for letter in "abcdefghijk"])
    folder = tmp_path / "run"
    api.train(tiny, data_dir=images, output_dir=folder, max_steps=1, device_target="CPU")
    assert _listed(folder, "validation") == ["j.png"]

    _fill(images, ["aa.png"])
    (images / "b.png").unlink()
    _fill(images, ["bb.png", "bc.png"])
    with pytest.raises(InputError) as caught:
        api.train(resume=folder, max_steps=2, device_target="CPU")
    (line,) = caught.value.problems
    assert "training: 3 added: aa.png, bb.png, bc.png; training: 1 gone: b.png" in line
    assert "--allow_changes" in line

    options = {"max_steps": 2, "device_target": "CPU", "allow_changes": True}
    api.train(resume=folder, **options)
    assert "resumed with other images: training: 3 added" in capsys.readouterr().out
    assert _listed(folder, "validation") == ["j.png"]
    assert _listed(folder, "training")[:4] == ["a.png", "aa.png", "bb.png", "bc.png"]

    (images / "j.png").unlink()
    with pytest.raises(InputError, match="none of the images that the run held out is left .j.png"):
        api.train(resume=folder, **{**options, "max_steps": 3})


@pytest.mark.slow
def test_a_run_of_an_older_version_has_no_list_of_images(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    (folder / "data.json").unlink()
    again = api.train(
        resume=folder, device_target="CPU", settings={"train.steps": 7}, allow_changes=True
    )
    assert again.steps == 7
    assert _listed(folder, "validation") == _listed(run.folder, "validation")


def test_a_damaged_list_of_images_is_said(run, tmp_path):
    text = (run.folder / "data.json").read_text()
    (tmp_path / "data.json").write_text(text.replace("a_rgb", "b_rgb"))
    with pytest.raises(InputError, match=r"data.json: damaged; remove it"):
        run_images.read(tmp_path)
    assert run_images.read(tmp_path / "elsewhere") is None


def test_the_log_is_cut_to_whole_lines(tmp_path):
    lines = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}, {"step": 3, "loss": 0.3}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "log.jsonl").write_text(text[:-9] + "\n\xff[\n" + '{"loss": 1}\n')
    run_folder.cut_log(tmp_path, 3)
    kept = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == lines[:2]
    run_folder.cut_log(tmp_path, 1)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


def test_a_resumption_whose_files_cannot_be_written_leaves_the_old_ones(run, tmp_path, monkeypatch):
    """As after a kill in between: the recipe, the log and the list are old or new, never half."""
    folder = shutil.copytree(run.folder, tmp_path / "run")
    before = _files(folder)

    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ms_restore.files.flush_to_disk", fail)
    recipe = run_folder.saved_recipe(folder)
    recipe.train.lr = 1.0
    full = pytest.raises(InputError, match=r"recipe.yaml: cannot be written \(No space")
    with full, run_folder.in_use(folder, recipe, resumed=True):
        pass
    with pytest.raises(InputError, match="log.jsonl: cannot be written"):
        run_folder.cut_log(folder, 1)
    assert _files(folder) == before


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_can_be_started_again(tiny, run, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("recipe.yaml", "lock", "environment.jsonl", "log.jsonl", "data.json"):
        shutil.copy(run.folder / name, folder / name)
    litter = folder / "checkpoints" / ".step_00000001.ckpt.writing" / "tmpabc"
    litter.mkdir(parents=True)
    (litter / "step_00000001.ckpt").write_bytes(b"half")
    with pytest.raises(InputError, match="ended before its first checkpoint, .* its first command"):
        api.train(resume=folder, device_target="CPU")
    api.train(tiny, output_dir=folder, max_steps=1, device_target="CPU")
    assert "held a run that ended before its first checkpoint" in capsys.readouterr().out
    assert len((folder / "environment.jsonl").read_text().splitlines()) == 1
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step_00000001.ckpt"]


def test_only_what_a_run_writes_counts_as_left_over(run, tmp_path):
    for name in ("recipe.yaml", "lock"):
        shutil.copy(run.folder / name, tmp_path / name)
    check_free(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds another run"):
        check_free(tmp_path)
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step_00000001.ckpt").write_bytes(b"damaged")
    with pytest.raises(InputError, match="holds another run"):
        check_free(tmp_path)


def test_litter_of_killed_processes_is_removed_at_a_resumption(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    for parent in (folder, folder / "checkpoints"):
        (parent / ".x.ckpt.writing" / "tmp1").mkdir(parents=True)
        (parent / ".x.ckpt.writing" / "tmp1" / "x.ckpt").write_text("half")
    with run_folder.in_use(folder, run_folder.saved_recipe(folder), resumed=True):
        assert not list(folder.rglob("*.writing"))


def test_another_number_of_processors_is_said(run, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    recipe = run_folder.saved_recipe(folder)
    with run_folder.in_use(folder, recipe, resumed=True):
        pass
    assert "processors" not in capsys.readouterr().out
    before = json.loads((folder / "environment.jsonl").read_text().splitlines()[-1])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(97)))
    with run_folder.in_use(folder, recipe, resumed=True):
        pass
    said = capsys.readouterr().out
    assert f"used {before['processors_used']} processors and goes on with 97" in said
    assert "bit for bit" in said


@pytest.mark.slow
def test_going_back_to_an_earlier_step(tiny, pictures, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    settings = {"train.checkpoint_every": 2, "train.validate_every": 3}
    options = {"data_dir": pictures, "device_target": "CPU"}
    api.train(tiny, output_dir=folder, settings=settings, **options)
    before, ends = _files(folder), checkpoint.read(run_checkpoints.newest(folder)[0])
    for name in ("best.ckpt", "checkpoints/step_9.ckpt"):
        with pytest.raises(InputError, match=f"--resume .*{name}: "):
            api.train(resume=folder / name, device_target="CPU")

    named = folder / "checkpoints" / "step_2.ckpt"
    with monkeypatch.context() as patched:
        patched.setattr(callbacks.Checkpoints, "save", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            api.train(resume=named, device_target="CPU")
    changed = {"environment.jsonl"}
    after = _files(folder)
    assert {name for name in before if before[name] != after.get(name)} <= changed
    assert set(after) == set(before)

    capsys.readouterr()
    api.train(resume=named, device_target="CPU", max_steps=4)
    said = " ".join(capsys.readouterr().out.split())
    assert "back to step 2: what is later (step_00000006, step_00000004) is set aside" in said
    names = [path.name for path in run_checkpoints.newest(folder)]
    assert names == ["step_00000004.ckpt", "step_00000002.ckpt"]
    assert not (folder / "set_aside").exists()
    assert checkpoint.read(folder / "best.ckpt").facts["step"] <= 4
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert max(steps) == 4

    api.train(resume=folder, device_target="CPU")
    again = checkpoint.read(run_checkpoints.newest(folder)[0])
    for name, parameter in ends.parameters.items():
        assert parameter.asnumpy().tobytes() == again.parameters[name].asnumpy().tobytes()


def _interrupt(*_):
    raise KeyboardInterrupt


def _watch(losses, dynamic=False, scale=1024.0):
    watched = Divergence(dynamic, kept_nothing)
    for step, loss in enumerate(losses, 1):
        watched.check(step, loss, 1e-4, False, scale)


def test_which_losses_count_as_diverged():
    _watch([0.3, 0.1, 0.02, 5.0, 0.02])  # a bad batch
    _watch([0.0, 0.0, 9e-5])  # patches without any detail
    _watch([1e-3] * 100 + [0.099])  # a loss that grows by its schedule
    _watch([-20.0, -25.0, 3.0, -24.0])  # decibels
    _watch([0.3, float("inf"), 0.3, float("nan"), 0.3], dynamic=True)
    for losses in ([0.3, 301.0], [0.3, float("nan")], [0.3] * 200 + [1e12]):
        with pytest.raises(InputError, match=f"step {len(losses)}: the loss"):
            _watch(losses)
    with pytest.raises(InputError, match="step 3: the loss or a gradient is not finite"):
        _watch([0.3, float("inf"), float("inf")], dynamic=True)
