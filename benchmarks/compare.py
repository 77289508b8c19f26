"""Compare a benchmark's file with a stored one: only ratios, which depend on the machine least.

    python benchmarks/compare.py NEW.json STORED.json [--tolerance 0.1]

Every figure whose name has the word ratio in it is larger the better we are. Prints them side by
side; the exit code is 1 where one has fallen by more than the tolerance, or is missing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Optional

from common import flat
from rich.table import Table

from ms_restore.report.tables import console


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("new", type=Path)
    parser.add_argument("stored", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.1, help="share (default 0.1)")
    options = parser.parse_args()
    new, stored = (ratios(path) for path in (options.new, options.stored))
    if not stored:
        raise SystemExit(f"{options.stored}: no ratio in it")
    shown = Table("ratio", "stored", "new", "")
    worse = 0
    for name, before in stored.items():
        now = new.get(name)
        verdict = judge(now, before, options.tolerance)
        worse += verdict != "ok"
        shown.add_row(name, f"{before:.3f}", "-" if now is None else f"{now:.3f}", verdict)
    console.print(shown)
    raise SystemExit(1 if worse else 0)


def ratios(path: Path) -> dict[str, float]:
    figures = flat(json.loads(path.read_text(encoding="utf-8"))["figures"])
    return {name: value for name, value in figures.items() if "ratio" in name}


def judge(now: Optional[float], before: float, tolerance: float) -> str:
    if now is None:
        return "missing"
    return "ok" if now >= before * (1 - tolerance) else "worse"


if __name__ == "__main__":
    main()
