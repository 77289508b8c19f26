"""Configuration of MindSpore: device, execution mode, seed and logs.

Importing this module does not load MindSpore; ``prepare_environment`` runs when ``ms_restore`` is
imported.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Optional

from ms_restore import parallel
from ms_restore.errors import InputError

DEVICE_TARGETS = ("CPU", "Ascend", "GPU")


def prepare_environment() -> None:
    """Set environment variables of MindSpore, except those that the user has set.

    On x86-64 with AVX-512, the oneDNN inside MindSpore falls back to its reference convolution,
    which is a hundred times slower; limited to AVX2 it uses a fast one. oneDNN reads the variable
    at its first operation, so this must run before any computation, in every process.
    """
    os.environ.setdefault("GLOG_v", "3")  # errors only
    if platform.machine().lower() in ("x86_64", "amd64") and "avx512f" in _cpu_flags():
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(flags.group(1).split()) if flags else set()


def start(
    device_target: Optional[str] = None, device_id: int = 0, mode: str = "graph", seed: int = 0
) -> str:
    """Set MindSpore's device, execution mode and seed, and return the device target in use.

    In a process that a launcher started, the device is the launcher's, and the other ranks are
    joined.

    Args:
        device_target: "CPU", "Ascend" or "GPU"; None is an Ascend if there is one, else the CPU.
        device_id: number of the device.
        mode: "graph" (compiled) or "pynative" (operation by operation, for debugging).
        seed: of MindSpore's random numbers.

    Raises:
        InputError: the device is unknown or cannot be used.
    """
    import mindspore as ms

    if device_target is None:
        device_target = "Ascend" if _ascend_available() else "CPU"
    if device_target not in DEVICE_TARGETS:
        raise InputError(
            f"device_target {device_target!r} is not known; choose {', '.join(DEVICE_TARGETS)}"
        )
    if parallel.launched():
        device_id = int(os.environ.get("DEVICE_ID", device_id))
    device_id = device_id if device_target != "CPU" else 0
    in_use = (ms.get_context("device_target"), ms.get_context("device_id"))
    try:
        if in_use != (device_target, device_id):  # MindSpore refuses it after any computation
            ms.set_device(device_target, device_id)
    except (RuntimeError, ValueError) as error:
        raise InputError(_no_device(device_target, device_id, str(error))) from None
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    ms.set_seed(seed)
    parallel.start()
    return device_target


def _ascend_available() -> bool:
    import mindspore as ms

    try:
        return bool(ms.hal.is_available("Ascend"))
    except (RuntimeError, ValueError):
        return False


def _no_device(target: str, device_id: int, reason: str) -> str:
    import mindspore as ms

    found = re.search(r"one of the \[([^\]]*)\]", reason)
    missing = re.search(r"\b(lib\S+\.so\S*): cannot open", reason)
    return (
        f"device_target {target} (device {device_id}) cannot be used: "
        f"MindSpore {ms.__version__} found {found.group(1) if found else 'no such device'} here"
        + (f" ({missing.group(1)} is missing)" if missing else "")
        + "; use --device_target CPU, or install the device's driver and toolkit "
        "(https://www.mindspore.cn/install) and try again"
    )
