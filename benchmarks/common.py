"""Shared by the benchmarks: a command's time and memory, the machine, a table and a JSON file."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import psutil

import ms_restore
from ms_restore.report.terminal import console, say


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
            time.sleep(0.02)

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


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return {
        "cpu": model[0] if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "free_disk_gb": round(shutil.disk_usage(tempfile.gettempdir()).free / 1e9, 1),
        "platform": platform.platform(),
    }


def versions() -> dict[str, str]:
    import mindspore

    return {
        "ms_restore": ms_restore.__version__,
        "mindspore": mindspore.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def table(figures: dict[str, Any]) -> None:
    from rich.table import Table

    shown = Table("figure", show_header=False)
    shown.add_column(justify="right")
    for key, value in figures.items():
        if isinstance(value, dict):
            for name, inner in value.items():
                shown.add_row(f"{key}, {name}", f"{inner:,}")
        else:
            shown.add_row(key, f"{value:,}")
    console.print(shown, soft_wrap=False)
