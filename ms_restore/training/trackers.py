"""Runs in Weights & Biases and in MLflow, by the packages of these.

Where the figures go is theirs to say, by their environment variables: ``WANDB_MODE=offline`` or
``WANDB_PROJECT``, ``MLFLOW_TRACKING_URI`` or ``MLFLOW_EXPERIMENT_NAME``. A training run that is
resumed goes on in the same run there.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.errors import InputError
from ms_restore.files import write_text
from ms_restore.report.terminal import say
from ms_restore.texts import parse_yaml, read_text
from ms_restore.training.run_files import RECIPE

_PROJECT = "ms_restore"  # where nothing else is said
_RUN_ID = "run_id.txt"  # in the folder of a tracker: its run
DATABASE = "mlflow.db"  # in mlflow/, where no server is named
_WAIT = 5.0  # seconds, for which figures are gathered before they are sent to MLflow
_MOST = 1000  # figures that MLflow takes at once


class WeightsAndBiases:
    """Logs a run to Weights & Biases; its own files are in the run folder's wandb/."""

    def __init__(self, folder: Path) -> None:
        import wandb

        path = folder / "wandb" / _RUN_ID
        known = path.is_file()
        name = read_text(path).strip() if known else secrets.token_hex(4)
        write_text(path, name)
        recipe = folder / RECIPE
        try:
            self._run = wandb.init(
                dir=str(folder),
                project=os.environ.get("WANDB_PROJECT") or _PROJECT,
                name=folder.name,
                id=name,
                resume="allow" if known else None,
                config=parse_yaml(read_text(recipe), str(recipe)),
                settings=wandb.Settings(console="off", quiet=True),
            )
        except wandb.errors.Error as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"--logger wandb: {reason}; log in by `wandb login`, or keep the figures here by "
                "WANDB_MODE=offline"
            ) from None
        self._image = wandb.Image

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a step."""
        self._run.log(figures, step=step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a picture (H, W, 1 or 3) in [0, 1]."""
        self._run.log({name: self._image(_pixels(image))}, step=step)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class MLflow:
    """Logs a run to MLflow: to the server of ``MLFLOW_TRACKING_URI``, else into the run folder.

    There, mlflow/ has a database and the pictures. Where the server does not answer any more, a
    line says so, and training goes on without it.
    """

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        own = folder / "mlflow"
        self._error = MlflowException
        self._waiting: list[Any] = []
        self._sent, self._broken = time.monotonic(), False
        try:
            server = os.environ.get("MLFLOW_TRACKING_URI")
            own.mkdir(exist_ok=True)
            self._client = MlflowClient(server or f"sqlite:///{(own / DATABASE).absolute()}")
            pictures = None if server else (own / "artifacts").absolute().as_uri()
            self._id = self._opened(own / _RUN_ID, folder.name, pictures)
            self._client.log_artifact(self._id, str(folder / RECIPE))
        except MlflowException as error:
            raise InputError(f"--logger mlflow: {str(error).splitlines()[0]}") from None

    def _opened(self, path: Path, name: str, pictures: Optional[str]) -> str:
        """Return the id of the run that was begun before, or else of a new one."""
        if path.is_file():
            run = read_text(path).strip()
            self._client.update_run(run, status="RUNNING")
            return run
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _PROJECT
        found = self._client.get_experiment_by_name(wanted)
        create = self._client.create_experiment
        experiment = found.experiment_id if found else create(wanted, pictures)
        run = str(self._client.create_run(experiment, run_name=name).info.run_id)
        write_text(path, run)
        return run

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(key, float(value), now, step) for key, value in figures.items()]
        full = len(self._waiting) + len(figures) > _MOST
        if full or time.monotonic() - self._sent > _WAIT:
            self._send()

    def _send(self) -> None:
        waiting, self._waiting, self._sent = self._waiting, [], time.monotonic()
        self._tried(lambda: self._client.log_batch(self._id, metrics=waiting))

    def _tried(self, send: Any) -> None:
        if self._broken:
            return
        try:
            send()
        except self._error as error:
            self._broken = True
            reason = str(error).splitlines()[0]
            say(f"note: nothing is logged to MLflow any more ({reason}); log.jsonl has all figures")

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a picture (H, W, 1 or 3) in [0, 1]."""
        file = f"{name}/step_{step:08}.png"
        self._tried(lambda: self._client.log_image(self._id, _pixels(image), file))

    def close(self) -> None:
        """Send what is left."""
        self._send()
        self._tried(lambda: self._client.set_terminated(self._id))


def _pixels(image: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
