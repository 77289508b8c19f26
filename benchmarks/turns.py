"""Processes that take turns: while one works, the others are stopped, so that none disturbs it.

Two frameworks in one process share its threads, of which the idle one's may spin. A worker is a
command whose program calls ``serve``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # the tests' networks in PyTorch are measured too


def as_started() -> dict[str, str]:
    """The environment that this process was given, without what was set since.

    This package limits oneDNN's instruction set, MindSpore the threads of OpenMP, each for itself:
    PyTorch, which reads the same variables, must not be slowed by it.
    """
    entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    pairs = (entry.decode(errors="surrogateescape").partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def undo_environment() -> None:
    """Make the environment what it was at the start; before PyTorch is imported."""
    os.environ.clear()
    os.environ.update(as_started())


class Worker:
    """The command, stopped but when it is its turn."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=as_started()
        )
        self._answer()  # ready
        os.kill(self._process.pid, signal.SIGSTOP)

    def turn(self, count: int) -> tuple[list[float], list[float]]:
        """Seconds of each of so many steps, and of processors' time of all threads."""
        os.kill(self._process.pid, signal.SIGCONT)
        self._send(count)
        answer = self._answer()
        os.kill(self._process.pid, signal.SIGSTOP)
        return answer["seconds"], answer["spent"]

    def close(self) -> int:
        """End it; the most memory that it had, in bytes."""
        os.kill(self._process.pid, signal.SIGCONT)
        self._send(0)
        peak = self._answer()["peak"]
        self._process.wait()
        return peak

    def _send(self, count: int) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):  # whatever else the frameworks print
                return json.loads(line)
        raise SystemExit(f"failed: {' '.join(map(str, self._process.args))}")  # type: ignore[arg-type]


def serve(step: Callable[[], Any], warm_up: int = 2) -> None:
    """In a worker: take steps when asked for them."""
    for _ in range(warm_up):
        step()
    _print({})
    for line in sys.stdin:
        count = int(line)
        if not count:
            break
        seconds, spent = [], []
        for _ in range(count):
            began, before = time.perf_counter(), time.process_time()
            step()
            seconds.append(time.perf_counter() - began)
            spent.append(time.process_time() - before)
        _print({"seconds": seconds, "spent": spent})
    _print({"peak": _peak()})


def _peak() -> int:
    """Bytes; not getrusage's, which begin with those of the process that started this one."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _print(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


@dataclasses.dataclass
class Measured:
    """Of a worker: seconds of each step, processors' seconds of each, peak of memory in bytes."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    spent: list[float] = dataclasses.field(default_factory=list)
    peak: int = 0


def alternate(commands: dict[str, Sequence[str]], rounds: int, count: int) -> dict[str, Measured]:
    """Each worker's figures, in so many rounds of ``count`` steps each."""
    workers = {name: Worker(command) for name, command in commands.items()}
    measured = {name: Measured() for name in workers}
    for number in range(rounds):
        names = list(workers)
        for name in names if number % 2 else names[::-1]:
            seconds, spent = workers[name].turn(count)
            measured[name].seconds += seconds
            measured[name].spent += spent
    for name, worker in workers.items():
        measured[name].peak = worker.close()
    return measured


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, least and most."""
    median = float(np.median(seconds))
    return {
        "median": round(median, 4),
        "min": round(min(seconds), 4),
        "max": round(max(seconds), 4),
    }
