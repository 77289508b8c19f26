"""Shared by the benchmarks: a command's time and memory, the machine, a table and a JSON file."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from ms_restore.report.machine import machine, versions
from ms_restore.report.tables import console
from ms_restore.report.terminal import say


def watched(command: list[str]) -> tuple[float, int]:
    """Seconds of a whole command, and the most memory of it and its children in bytes."""
    began = time.perf_counter()
    child = subprocess.Popen(command)
    peak = 0
    process = psutil.Process(child.pid)

    def watch() -> None:
        nonlocal peak
        while child.poll() is None:
            try:
                family = [process, *process.children(recursive=True)]
                peak = max(peak, sum(member.memory_info().rss for member in family))
            except psutil.Error:
                pass
            short = time.perf_counter() - began < 10
            time.sleep(0.02 if short else 0.2)  # looking often takes 5 % of a processor

    watcher = threading.Thread(target=watch)
    watcher.start()
    if child.wait():
        raise SystemExit(f"failed: {' '.join(command)}")
    seconds = time.perf_counter() - began
    watcher.join()
    return seconds, peak


def publish(figures: dict[str, Any], path: Path) -> None:
    """Print the figures as a table and write them with the machine and the versions."""
    result = {"figures": figures, "machine": machine(), "versions": versions()}
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    table(figures)
    say(f"written to {path}")


def table(figures: dict[str, Any]) -> None:
    from rich.table import Table

    shown = Table("figure", show_header=False)
    shown.add_column(justify="right")
    for key, value in flat(figures).items():
        shown.add_row(key, value if isinstance(value, str) else f"{value:,}")
    console.print(shown, soft_wrap=False)


def flat(figures: dict[str, Any], under: str = "") -> dict[str, Any]:
    """Nested figures by their keys, joined with commas."""
    found: dict[str, Any] = {}
    for key, value in figures.items():
        name = f"{under}, {key}" if under else key
        found |= flat(value, name) if isinstance(value, dict) else {name: value}
    return found
