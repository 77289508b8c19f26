"""Measure how long commands take to answer: --help, one picture, and the first training steps.

    python benchmarks/startup.py [--only help picture train] [--rounds 7] [--output FILE.json]

Seconds from the start of the command: ``--help`` of every verb to its end; ``infer`` of a photo of
256x256 to the file, by the weights that come along and the export that an earlier command kept,
with the most memory that it takes, in turns with a process that only loads ONNX Runtime, OpenCV and
NumPy; ``train`` of each quickstart to the first line of its log, which is written after the first
training step.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import publish

from ms_restore import recipe
from ms_restore.cli import _parser
from ms_restore.data import photos
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture

_COMMAND = [sys.executable, "-m", "ms_restore"]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = {"help": _helps, "picture": _picture, "train": _first_steps}
    parser.add_argument("--only", nargs="+", choices=kinds, default=list(kinds))
    parser.add_argument("--rounds", type=int, default=7, help="of --help and infer (default 7)")
    parser.add_argument("--output", type=Path, default=Path("startup.json"))
    options = parser.parse_args()
    publish({kind: kinds[kind](options.rounds) for kind in options.only}, options.output)


def _helps(rounds: int) -> dict[str, float]:
    verbs = [[], *([verb] for verb in _parser()[1])]
    return {" ".join((*v, "--help")): _median([_help(v) for _ in range(rounds)]) for v in verbs}


def _first_steps(rounds: int) -> dict[str, float]:
    models = [name for name in recipe.files() if name.endswith("_quickstart")]
    return {model: _first_step(model) for model in models}


def _picture(rounds: int) -> dict[str, float]:
    libraries = [sys.executable, "-c", "import onnxruntime, cv2, numpy"]
    with tempfile.TemporaryDirectory() as folder:
        photo, larger = Path(folder) / "photo.png", Path(folder) / "larger.png"
        write_picture(photo, Picture(photos.load("chelsea")[:256, :256]))
        words = ["infer", "--model", "edsr_small_x2", "--input", str(photo), "--output"]
        command = [*_COMMAND, *words, str(larger)]
        _run(command)  # keeps the export
        turns = [(_run(libraries), _run(command)) for _ in range(rounds)]
    loading, whole = (_median([seconds for seconds, _ in runs]) for runs in zip(*turns))
    return {
        "seconds": whole,
        "seconds to load the libraries": loading,
        "ratio of the two": round(loading / whole, 3),
        "megabytes": max(round(most) for _, (_, most) in turns),
    }


def _run(command: list[str]) -> tuple[float, float]:
    """The seconds and the most megabytes that a command takes."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


def _median(times: list[float]) -> float:
    return round(float(np.median(times)), 3)


def _help(verb: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([*_COMMAND, *verb, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _first_step(model: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "run" / "log.jsonl"
        began = time.perf_counter()
        words = ["train", "--model", model, "--output_dir", str(log.parent), "--max_steps", "1"]
        child = subprocess.Popen([*_COMMAND, *words], stdout=subprocess.DEVNULL)
        while not (log.is_file() and log.stat().st_size):
            if child.poll() not in (None, 0):
                raise SystemExit(f"failed: {' '.join(words)}")
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        child.wait()
    return round(seconds, 2)


if __name__ == "__main__":
    main()
