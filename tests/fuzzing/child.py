"""Reads damaged files, one after another, and writes a line before and after each.

    python -m tests.fuzzing.child SEEDS SEED READER,READER,... EACH FIRST [SAVE]

Of each reader EACH cases are read; case n of the second reader has the number EACH + n. The lines
go to the standard output's descriptor; what a library prints goes nowhere. With SAVE, the damaged
file of case FIRST is copied there.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from ms_restore import limits
from ms_restore.errors import InputError
from tests.fuzzing.mutations import mutate
from tests.fuzzing.readers import READERS

MEGAPIXELS = 50  # the limit, so that what is within it fits into the memory that is allowed


def make_case(seeds: Path, seed: str, reader: str, number: int, folder: Path) -> Path:
    """Write the damaged file, or folder, of a case and return its path."""
    rng = random.Random(f"{seed} {reader} {number}")
    sources = sorted((seeds / reader).iterdir())
    source, other = rng.choice(sources), rng.choice(sources)
    path = folder / f"{number}_{source.name}"
    if source.is_dir():
        shutil.copytree(source, path)
        damaged = path / rng.choice(sorted(entry.name for entry in source.iterdir()))
        if rng.random() < 0.5:
            damaged = path / "manifest.json"
        damaged.write_bytes(mutate(rng, damaged.read_bytes(), b""))
    else:
        path.write_bytes(mutate(rng, source.read_bytes(), other.read_bytes()))
    return path


def outcome(reader: str, path: Path) -> str:
    """Read a file: "read", "refused", or what went wrong."""
    try:
        READERS[reader](path)
    except InputError as error:
        lines = [problem for problem in error.problems if "\n" in problem]
        return f"FAILED message of several lines: {lines[0]!r}" if lines else "refused"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"FAILED {type(error).__name__}: {str(error)[:200]!r} {where.filename}:{where.lineno}"
        )
    return "read"


def main(seeds: str, seed: str, readers: str, each: str, first: str, save: str = "") -> None:
    """Run the cases of all readers, ``each`` of one after another, from number ``first`` on."""
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    limits.set_max_megapixels(MEGAPIXELS)
    names, count = readers.split(","), int(each)
    tried = set()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(int(first), len(names) * count):
            reader = names[number // count]
            if reader not in tried:
                tried.add(reader)
                _try_seeds(Path(seeds), reader)
            path = make_case(Path(seeds), seed, reader, number % count, Path(folder))
            if save:
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, save)
            report.write(f"begin {number}\n")
            _forget_peak()
            began = time.perf_counter()
            result = outcome(reader, path)
            seconds = time.perf_counter() - began
            report.write(f"end {number} {seconds:.4f} {_peak()} {' '.join(result.split())}\n")
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _try_seeds(seeds: Path, reader: str) -> None:
    """Check that files without damage are read; that also imports what the reader needs."""
    for path in sorted((seeds / reader).iterdir()):
        result = outcome(reader, path)
        if result != "read":
            raise RuntimeError(f"{reader}: the file without damage {path.name}: {result}")


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the most memory, in megabytes, that the process held since it was last forgotten."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


if __name__ == "__main__":
    main(*sys.argv[1:])
