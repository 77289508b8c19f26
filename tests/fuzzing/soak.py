"""Reads many damaged files in child processes, and prints what became of them.

    python -m tests.fuzzing.soak --cases 100000 --seed 1 [--readers png,ckpt] [--workers 2]

A case fails where anything but a result or an InputError of whole lines comes of it: another
exception, a signal, more than ``SECONDS``, or more than ``MEGABYTES`` of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from tests.fuzzing import seeds as seed_files
from tests.fuzzing.readers import READERS

TOP = Path(__file__).parents[2]
CHILD = ["-m", "tests.fuzzing.child"]
SECONDS, MEGABYTES = 10, 2048
_POLL = 0.05


@dataclasses.dataclass
class Figures:
    """What became of the cases of a reader.

    Attributes:
        reader: its name.
        cases: how many files were given to it.
        refused: of these, with an InputError.
        read: of these, with a result.
        slowest: seconds of the slowest case.
        peak: of a process, in megabytes.
        failures: a line for each case that failed, with its number.
        lines: that libraries wrote to the standard error.
    """

    reader: str
    cases: int = 0
    refused: int = 0
    read: int = 0
    slowest: float = 0.0
    peak: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    lines: list[str] = dataclasses.field(default_factory=list)

    def end(self, number: int, seconds: float, peak: int, result: str) -> None:
        """Count a case that has ended."""
        self.cases += 1
        self.read += result == "read"
        self.refused += result == "refused"
        self.slowest = max(self.slowest, seconds)
        if peak > MEGABYTES:
            self.failures.append(f"{number}: {peak} MB of memory")
        self.peak = max(self.peak, peak)
        if result.startswith("FAILED"):
            self.failures.append(f"{number}: {result.removeprefix('FAILED ')}")


def run(seeds: Path, readers: list[str], each: int, seed: str) -> list[Figures]:
    """Give every reader ``each`` damaged files; a process that dies is followed by another."""
    found = [Figures(reader) for reader in readers]
    first = 0
    while first < each * len(readers):
        first = _run_process(seeds, found, each, first, seed)
    return found


def _run_process(seeds: Path, found: list[Figures], each: int, first: int, seed: str) -> int:
    """Run cases in a process until it ends; return the number of the next case."""
    readers = ",".join(figures.reader for figures in found)
    words = [str(seeds), seed, readers, str(each), str(first)]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, *CHILD, *words],
            cwd=TOP,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        current, ended, killed = _follow(child, found, each, first)
        errors.seek(0)
        lines = errors.read().decode("utf-8", "replace").splitlines()
    if ended == each * len(found) and child.returncode == 0:
        found[0].lines += lines
        return ended
    if current is None:  # between two cases: the harness itself
        raise RuntimeError(f"{readers}, after case {ended}: {lines[-5:]}")
    name = signal.Signals(-child.returncode).name if child.returncode < 0 else child.returncode
    figures = found[current // each]
    figures.cases += 1
    figures.failures.append(f"{current % each}: {killed or f'ended by {name}'} {lines[-1:]}")
    return current + 1


def _follow(child: subprocess.Popen, found: list[Figures], each: int, first: int):
    """Count the child's cases; return the one it is in, the next one, and why it was killed."""
    assert child.stdout is not None
    process = psutil.Process(child.pid)
    current, ended, killed, began, rest = None, first, "", time.monotonic(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            part = None
            if selector.select(_POLL):
                part = os.read(child.stdout.fileno(), 1 << 16)
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    word, number, *others = line.decode().split(" ", 4)
                    began = time.monotonic()
                    current = int(number)
                    if word == "end":
                        seconds, peak, result = others
                        figures = found[current // each]
                        figures.end(current % each, float(seconds), int(peak), result)
                        ended, current = current + 1, None
            if part == b"":
                child.wait()
                return current, ended, killed
            if current is not None and not killed:
                killed = _excess(process, time.monotonic() - began)
                if killed:
                    child.kill()


def _excess(process: psutil.Process, seconds: float) -> str:
    try:
        megabytes = process.memory_info().rss >> 20
    except psutil.Error:
        return ""
    if megabytes > MEGABYTES:
        return f"over {MEGABYTES} MB of memory"
    return f"over {SECONDS} s" if seconds > SECONDS else ""


def main() -> None:
    """Run the cases, shared evenly among the readers, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000, help="in all (default 100000)")
    parser.add_argument("--seed", default="1", help="the same seed makes the same files")
    parser.add_argument("--readers", default=",".join(READERS), help="which (default: all)")
    parser.add_argument("--workers", type=int, default=1, help="readers at a time (default 1)")
    options = parser.parse_args()
    names = options.readers.split(",")
    each = -(-options.cases // len(names))
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            seed_files.make(Path(folder))
        with ThreadPoolExecutor(options.workers) as pool:
            jobs = [pool.submit(run, Path(folder), [name], each, options.seed) for name in names]
            found = []
            print(f"{'reader':12} {'cases':>7} {'refused':>7} {'read':>7} {'slowest s':>9} peak MB")
            for job in jobs:
                (figures,) = job.result()
                found.append(figures)
                _print(figures)
    total = Figures(
        "all",
        *(sum(getattr(f, key) for f in found) for key in ("cases", "refused", "read")),
        slowest=max(figures.slowest for figures in found),
        peak=max(figures.peak for figures in found),
        failures=[line for figures in found for line in figures.failures],
    )
    _print(total, listed=False)
    raise SystemExit(1 if total.failures else 0)


def _print(figures: Figures, listed: bool = True) -> None:
    print(
        f"{figures.reader:12} {figures.cases:7,} {figures.refused:7,} {figures.read:7,} "
        f"{figures.slowest:9.2f} {figures.peak:7,} {len(figures.failures)} failed",
        flush=True,
    )
    for line in figures.failures if listed else ():
        print(f"    case {line}")
    for line in sorted(set(figures.lines))[:5] if listed else ():
        print(f"    stderr: {line[:150]}")


if __name__ == "__main__":
    main()
