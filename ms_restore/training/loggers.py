"""Where a run's figures and sample pictures go: JSON lines, TensorBoard and others."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Protocol

import numpy as np

from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.files import to_json
from ms_restore.report.progress_bars import TrainingProgress
from ms_restore.report.terminal import say
from ms_restore.training import trackers
from ms_restore.training.run_files import LOG


class Logger(Protocol):
    """What a logger takes; ``step`` counts from 1."""

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a step."""
        ...

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a picture (H, W, 1 or 3) in [0, 1]."""

    def close(self) -> None:
        """Finish the files."""
        ...


class JsonLines:
    """Writes log.jsonl: one JSON object on a line for each step and for each validation."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        self._file = self._path.open("a", encoding="utf-8", buffering=1)

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a step."""
        try:
            self._file.write(to_json({"step": step, **figures}) + "\n")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from None

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a picture (H, W, 1 or 3) in [0, 1]."""
        pass

    def close(self) -> None:
        """Finish the files."""
        with contextlib.suppress(OSError):  # of what a full disk did not take, which was said
            self._file.close()


class TensorBoard:
    """Writes event files into tensorboard/, by the tensorboardX package."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a step."""
        for key, value in figures.items():
            self._writer.add_scalar(key, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a picture (H, W, 1 or 3) in [0, 1]."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Finish the files."""
        self._writer.close()


class MindInsight:
    """Writes MindSpore summaries into mindinsight/; scripts/start_mindinsight.sh shows them.

    MindInsight has had no release since 2.3.1; this stays while MindSpore has SummaryRecord.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from mindspore import SummaryRecord
        except ImportError:
            raise InputError(
                "--logger mindinsight: this MindSpore writes no summaries any more; "
                "use --logger tensorboard"
            ) from None
        say("note: MindInsight has had no release since 2.3.1; --logger tensorboard shows the same")
        self._record = SummaryRecord(str(folder / "mindinsight"))

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a step."""
        from mindspore import Tensor

        for key, value in figures.items():
            self._record.add_value("scalar", key, Tensor(np.float32(value)))
        self._record.record(step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a picture (H, W, 1 or 3) in [0, 1]."""
        from mindspore import Tensor

        batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        self._record.add_value("image", name, Tensor(batch))
        self._record.record(step)

    def close(self) -> None:
        """Finish the files."""
        self._record.close()


LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "jsonl": JsonLines,
    "tensorboard": TensorBoard,
    "mindinsight": MindInsight,
    "wandb": trackers.WeightsAndBiases,
    "mlflow": trackers.MLflow,
}
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}


def open_all(names: list[str], folder: Path) -> list[Logger]:
    """Open the loggers of these names for a run folder."""
    return [LOGGERS[name](folder) for name in names]


class Reporter:
    """Hands the figures of a run to its loggers and to the terminal's progress."""

    def __init__(self, outlets: Sequence[Logger], progress: TrainingProgress) -> None:
        self.progress = progress
        self._outlets = outlets

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a step."""
        for outlet in self._outlets:
            outlet.scalars(step, figures)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a picture (H, W, 1 or 3) in [0, 1]."""
        for outlet in self._outlets:
            outlet.picture(step, name, image)

    def close(self) -> None:
        """Close the loggers and end the progress."""
        self.progress.close()
        for outlet in self._outlets:
            outlet.close()


def check_names(names: str) -> list[str]:
    """Return the names in a comma-separated list of loggers; log.jsonl is always written.

    Raises InputError for an unknown one, and for one whose package is not installed.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    for name in asked:
        if name not in LOGGERS:
            hint = did_you_mean(name, LOGGERS) or f"; known: {comma_list(LOGGERS)}"
            raise InputError(f"unknown logger {name!r}{hint}")
        if name in _PACKAGES and not _is_installed(_PACKAGES[name]):
            raise InputError(
                f"--logger {name} needs the {_PACKAGES[name]} package: "
                f"pip install 'ms-restore[{name}]'"
            )
    return list(dict.fromkeys(["jsonl", *asked]))


def _is_installed(package: str) -> bool:
    """Tell whether a package can be imported; a folder wandb/ of earlier runs is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None
