"""Runs in Weights & Biases (kept offline) and MLflow (its own database), where these are."""

import importlib.util
import json
import sqlite3
import struct

import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.training import trackers


def _has(package):
    found = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not found, reason=f"needs the package {package}")


@pytest.fixture
def trained(tiny, pictures, tmp_path):
    """A run that was stopped after 4 of 6 steps and resumed, and what its log says."""

    def train(logger):
        folder = tmp_path / "run"
        common = {"device_target": "CPU", "logger": logger}
        api.train(tiny, data_dir=pictures, output_dir=folder, max_steps=4, **common)
        api.train(resume=folder, **common)
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        curves = {
            key: {line["step"]: line[key] for line in lines if key in line}
            for key in ("loss", "lr", "valid_psnr")
        }
        assert sorted(curves["loss"]) == [1, 2, 3, 4, 5, 6]
        return folder, curves

    return train


@_has("mlflow")
def test_mlflow_has_the_same_curves(trained, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    folder, curves = trained("mlflow")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ms_restore")
    (run,) = client.search_runs([experiment.experiment_id])  # one, also after it was resumed
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    for key, curve in curves.items():
        kept = {m.step: m.value for m in client.get_metric_history(run.info.run_id, key)}
        assert kept == pytest.approx(curve)
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert "recipe.yaml" in files
    (pictures,) = files - {"recipe.yaml"}
    steps = {file.path for file in client.list_artifacts(run.info.run_id, pictures)}
    assert f"{pictures}/step_00000006.png" in steps


@_has("mlflow")
def test_a_server_of_mlflow_that_is_away_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"--logger mlflow: .*127\.0\.0\.1") as caught:
        trackers.MLflow(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


@_has("mlflow")
def test_training_goes_on_without_mlflow(tmp_path, capsys, monkeypatch):
    """A store that is lost on the way is said once."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "recipe.yaml").write_text("model: net")
    logger = trackers.MLflow(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow" / trackers.DATABASE) as database:
        database.execute("DROP TABLE metrics")
    for _ in range(2):
        logger.scalars(1, {"loss": 1.0})
        logger.close()
    assert capsys.readouterr().out.count("nothing is logged to MLflow any more") == 1


def _records(data):
    """The records of a .wandb file: in blocks of 32 KB, as LevelDB's logs."""
    from wandb.proto.wandb_internal_pb2 import Record

    place, parts = 7, b""  # behind the file's header
    while place + 7 <= len(data):
        if (left := -place % 2**15) and left < 7:  # too little for a header: padding
            place += left
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


@_has("wandb")
def test_wandb_has_the_same_curves(trained, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder, curves = trained("wandb")
    found, runs, files = {key: {} for key in curves}, set(), set()
    for path in folder.glob("wandb/offline-run-*/run-*.wandb"):
        for record in _records(path.read_bytes()):
            if record.HasField("run"):
                runs.add((record.run.run_id, record.run.display_name, record.run.project))
                config = {item.key: item.value_json for item in record.run.config.update}
            items = {(item.key or item.nested_key[0]): item for item in record.history.item}
            for key in set(items) & set(curves):
                found[key][record.history.step.num] = json.loads(items[key].value_json)
            files |= {file.path for file in record.files.files}
    assert {key: pytest.approx(curve) for key, curve in curves.items()} == found
    assert len(runs) == 1 and {run[1:] for run in runs} == {("run", "ms_restore")}
    assert json.loads(config["train"])["lr"] == 1e-3
    assert any(file.endswith(".png") for file in files)


@_has("wandb")
def test_wandb_without_a_login_is_one_line(tmp_path, monkeypatch):
    import wandb

    wandb.teardown()  # it keeps the environment that it began with
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    (tmp_path / "recipe.yaml").write_text("model: net")
    with pytest.raises(InputError, match=r"--logger wandb: .*WANDB_MODE=offline") as caught:
        trackers.WeightsAndBiases(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
