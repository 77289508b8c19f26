import json
import sys

import numpy as np
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.training import loggers


def test_every_step_is_logged(run):
    entries = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in entries if "loss" in entry]
    assert len(steps) == 6
    for entry in steps:
        assert set(entry) == {
            "step", "loss", "lr", "loss_scale", "skipped", "images_per_second", "data_wait"
        }  # fmt: skip
        assert entry["lr"] == 1e-3
        assert entry["loss_scale"] == 1
        assert 0 <= entry["data_wait"] <= 1


@pytest.fixture(scope="module")
def watched(tiny, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged") / "run"
    names = "tensorboard,mindinsight"
    api.train(tiny, data_dir=pictures, output_dir=folder, device_target="CPU", logger=names)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return folder, {entry["step"]: entry["loss"] for entry in lines if "loss" in entry}


def test_mindinsight_is_called_out_of_date(tmp_path, capsys):
    loggers.MindInsight(tmp_path).close()
    (line,) = capsys.readouterr().out.splitlines()
    assert "no release since 2.3.1; --logger tensorboard" in line


@pytest.mark.slow
def test_tensorboard_files_hold_the_same_curve(watched):
    """Read back with tensorboardX's own message classes, record by record."""
    import struct

    from tensorboardX.proto.event_pb2 import Event

    folder, losses = watched
    (path,) = (folder / "tensorboard").iterdir()
    data, curve, tags = path.read_bytes(), {}, set()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            tags.add(value.tag)
            if value.tag == "loss":
                curve[event.step] = value.simple_value
    assert curve == pytest.approx(losses)
    assert {"lr", "valid_psnr", "d_16"} <= tags


def test_mindinsight_summaries_hold_the_same_curve(watched):
    import struct

    from mindspore.train.summary_pb2 import Event

    folder, losses = watched
    (path,) = (p for p in (folder / "mindinsight").iterdir() if "summary" in p.name)
    data, curve, images = path.read_bytes(), {}, 0
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            if value.tag == "loss":
                curve[event.step] = value.scalar_value
            images += value.HasField("image")
    assert curve == pytest.approx(losses)
    assert images == 2


def test_a_loss_that_is_no_number_is_still_json(tmp_path):
    logger = loggers.JsonLines(tmp_path)
    logger.scalars(1, {"loss": float("nan"), "lr": 0.5})
    logger.picture(1, "photo", np.zeros((2, 2, 3)))
    logger.close()
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 1, "loss": "nan", "lr": 0.5}


@pytest.mark.parametrize(
    ("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("mlflow", "mlflow")]
)
def test_a_logger_without_its_package(name, package, tmp_path, monkeypatch):
    """Also where a folder has the package's name, as wandb/ has; nothing is begun then."""
    (tmp_path / package).mkdir()
    for known in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    said = rf"--logger {name} needs the {package} package: pip install 'ms-restore\[{name}\]'"
    with pytest.raises(InputError, match=said):
        loggers.check_names(f"jsonl,{name}")


def test_unknown_logger(tiny, tmp_path):
    with pytest.raises(InputError, match="unknown logger 'tensorbord' .did you mean 'tensorboard'"):
        api.train(tiny, output_dir=tmp_path / "run", logger="tensorbord", device_target="CPU")
    assert not (tmp_path / "run").exists()
