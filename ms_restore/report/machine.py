"""The machine and the package versions, on which measured times depend."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import psutil

from ms_restore.version import __version__


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.exists() else ""
    model = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return model[0] if model else platform.processor()


def machine() -> dict[str, Any]:
    """Return the processor, the number of cores, memory and free disk in GB, and the platform."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "free_disk_gb": round(shutil.disk_usage(tempfile.gettempdir()).free / 1e9, 1),
        "platform": platform.platform(),
    }


def engine_versions(engine: str) -> dict[str, str]:
    """Return the versions of this package, of Python, NumPy and the library that an engine is of.

    MindSpore is not loaded for it.
    """
    library = next((name for name in ("mindspore", "onnxruntime", "ncnn") if name in engine), "")
    loaded = sys.modules.get(library)
    computing = {library: str(vars(loaded)["__version__"])} if loaded is not None else {}
    python = platform.python_version()
    return {"ms_restore": __version__, **computing, "python": python, "numpy": np.__version__}


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python, and of the main dependencies."""
    import mindspore

    return {
        "ms_restore": __version__,
        "mindspore": mindspore.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
