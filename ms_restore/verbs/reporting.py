"""report: a page of a training run, or of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ms_restore.errors import InputError
from ms_restore.report.page import REPORT, write_page
from ms_restore.report.run_sections import RunHistory, run_sections
from ms_restore.report.score_folder import METRICS
from ms_restore.report.score_page import checked_scores, score_sections, write_score_page
from ms_restore.report.terminal import say
from ms_restore.texts import parse_json, read_text
from ms_restore.training.run_files import RECIPE
from ms_restore.training.run_history import read_history
from ms_restore.verbs.loading import PathLike

_MOST_BYTES = 1 << 28  # of metrics.json
_EVAL = "eval"  # folder of a run's evaluation


def write_report(folder: PathLike) -> Path:
    """Write report.html into the folder of a training run or of an evaluation; return the file.

    A run's has its curves and, where ``eval`` was run on it, the evaluation below; it may be
    written while the run goes on. Raises InputError where the folder is neither, and where the file
    cannot be written.
    """
    folder = Path(folder)
    if (folder / RECIPE).is_file():
        history = read_history(folder)
        page = folder / REPORT
        write_page(page, f"{history.model}: training run", _sections(folder, history))
    elif (folder / METRICS).is_file():
        page = write_score_page(folder, read_metrics(folder))
    else:
        what = f"has neither {RECIPE} nor {METRICS}" if folder.is_dir() else "no such folder"
        raise InputError(f"{folder}: {what}; name the folder of a training run or of an eval")
    say(f"report in {page}")
    return page


def _sections(folder: Path, history: RunHistory) -> Iterator[str]:
    yield from run_sections(history)
    scored = folder / _EVAL
    if (scored / METRICS).is_file():
        scores = checked_scores(read_metrics(scored), str(scored / METRICS))
        yield '<h2 class="part">Evaluation</h2>\n'
        yield from score_sections(scored, scores)


def read_metrics(folder: Path) -> Any:
    """Return what an evaluation's metrics.json holds; raise InputError where it is no JSON."""
    path = folder / METRICS
    return parse_json(read_text(path, _MOST_BYTES), str(path))
