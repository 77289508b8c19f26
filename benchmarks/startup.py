"""Measure how long a command takes to say something: --help of every verb, and the first steps.

    python benchmarks/startup.py [--rounds 7] [--output FILE.json]

Seconds from the start of the command: ``--help`` to its end, ``train`` of each quickstart to the
first line of its log, which is written after the first training step.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import publish

from ms_restore import recipe
from ms_restore.cli import _parser

_COMMAND = [sys.executable, "-m", "ms_restore"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="of --help (default 7)")
    parser.add_argument("--output", type=Path, default=Path("startup.json"))
    options = parser.parse_args()
    verbs = [[], *([verb] for verb in _parser()[1])]
    seconds = {tuple(verb): [_help(verb) for _ in range(options.rounds)] for verb in verbs}
    helps = {" ".join((*verb, "--help")): _median(times) for verb, times in seconds.items()}
    models = [name for name in recipe.files() if name.endswith("_quickstart")]
    figures = {
        "seconds": helps,
        "seconds to the first step": {model: _first_step(model) for model in models},
    }
    publish(figures, options.output)


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
