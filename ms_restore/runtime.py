"""Configuration of MindSpore: device, execution mode, seed and logs.

Importing this module does not load MindSpore; ``prepare_environment`` runs when ``ms_restore`` is
imported.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ms_restore import ascend, limits, parallel
from ms_restore.errors import InputError

if TYPE_CHECKING:
    from mindspore.nn import Cell

    from ms_restore.settings import RuntimeSettings

DEVICE_TARGETS = ("CPU", "Ascend", "GPU")


def prepare_environment() -> None:
    """Set environment variables of MindSpore, except those that the user has set.

    On x86-64 with AVX-512, the oneDNN inside MindSpore falls back to its reference convolution,
    which is a hundred times slower; limited to AVX2 it uses a fast one. oneDNN reads the variable
    at its first operation, so this must run before any computation, in every process.
    """
    os.environ.setdefault("GLOG_v", "3")  # errors only
    if has_avx512():
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def has_avx512() -> bool:
    """Tell whether this is an x86-64 processor with AVX-512."""
    return platform.machine().lower() in ("x86_64", "amd64") and "avx512f" in _cpu_flags()


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(flags.group(1).split()) if flags else set()


def usable_processors() -> int:
    """Return how many of the machine's logical processors this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start(
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
    seed: int = 0,
    settings: Optional[RuntimeSettings] = None,
    device_folder: Path = ascend.DEVICE_FOLDER,
) -> str:
    """Set MindSpore's device, execution mode and seed, and return the device target in use.

    Args:
        device_target: CPU, Ascend or GPU; none: an Ascend where there is one, else the CPU. On a
            machine with an Ascend that MindSpore cannot use, InputError says why.
        device_id: which device; none: that of DEVICE_ID, else the first. In a process that a
            launcher started, the device is the launcher's, and the other ranks are joined.
        mode: "graph" (compiled) or "pynative" (operation by operation, for debugging).
        seed: of MindSpore's generators.
        settings: the recipe's section ``runtime``: how the device computes; none: MindSpore's way.
        device_folder: where the driver's devices are.
    """
    import mindspore as ms

    parallel.check_environment(ms.__version__)
    device_target = choose_target(device_target, device_folder)
    if device_target == "CPU":
        device_id = 0
    else:
        by_launcher = parallel.launched() and "DEVICE_ID" in os.environ
        device_id = ascend.device_id(None if by_launcher else device_id)
    _set_device(device_target, device_id)
    if settings is not None:
        _apply(settings, device_target)
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    ms.set_seed(seed)
    parallel.start()
    return device_target


def choose_target(device_target: Optional[str], device_folder: Path = ascend.DEVICE_FOLDER) -> str:
    """Return the device target that ``start`` sets; MindSpore is asked where an Ascend may be.

    Raises InputError for an unknown one, and where there is an Ascend that cannot be used.
    """
    if device_target is None:
        return ascend.automatic_target(device_folder)
    if device_target not in DEVICE_TARGETS:
        raise InputError(
            f"device_target {device_target!r} is not known; choose {', '.join(DEVICE_TARGETS)}"
        )
    if device_target == "Ascend":
        ascend.check(device_folder)
    return device_target


@contextlib.contextmanager
def without_mindspore_log() -> Iterator[None]:
    """Suppress MindSpore's log of an error, which is reported in one line instead."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _set_device(target: str, device_id: int) -> None:
    import mindspore as ms

    try:
        if tuple(ms.get_current_device()) != (target, device_id):  # refused once it computed
            with without_mindspore_log():
                ms.set_device(target, device_id)
    except (RuntimeError, ValueError) as error:
        raise InputError(_no_device(target, device_id, str(error))) from None


class DeviceCall(NamedTuple):
    """A function of MindSpore, by its name below ``mindspore``, and what it is called with."""

    function: str
    arguments: dict[str, Any]


def device_calls(settings: RuntimeSettings) -> list[DeviceCall]:
    """Return what is set on an Ascend, before it computes and before ranks are joined."""
    precision = "device_context.ascend.op_precision"
    calls = [
        DeviceCall(f"{precision}.precision_mode", {"mode": settings.precision_mode}),
        DeviceCall(f"{precision}.conv_allow_hf32", {"value": settings.hf32}),
        DeviceCall(f"{precision}.matmul_allow_hf32", {"value": settings.hf32}),
    ]
    if settings.deterministic:
        calls.append(DeviceCall("set_deterministic", {"deterministic": True}))
    if settings.max_device_memory:
        calls.append(DeviceCall("runtime.set_memory", {"max_size": settings.max_device_memory}))
    return calls


_applied: list[DeviceCall] = []  # MindSpore takes each once in a process
_jit_level = ""  # MindSpore's own


def _apply(settings: RuntimeSettings, target: str) -> None:
    """Set how a device computes; on a CPU the compile cache and the limit of pixels alone."""
    global _jit_level
    limits.set_max_megapixels(settings.max_megapixels)
    if settings.compile_cache:
        os.environ["MS_COMPILER_CACHE_ENABLE"] = "1"
        os.environ["MS_COMPILER_CACHE_PATH"] = settings.compile_cache
    if target != "Ascend":
        return
    import mindspore as ms

    _jit_level = settings.jit_level or ""
    for call in device_calls(settings):
        if call in _applied:
            continue
        try:
            attrgetter(call.function)(ms)(**call.arguments)
        except RuntimeError as error:
            (value,) = call.arguments.values()
            raise InputError(
                f"{call.function.rpartition('.')[2]} cannot become {value} in this process "
                f"({str(error).splitlines()[0]}); start another for other runtime settings"
            ) from None
        _applied.append(call)


def use_jit_level(cell: Cell) -> Cell:
    """Have a cell compiled at the run's jit level, where that is set; return the cell."""
    if _jit_level:
        import mindspore as ms

        cell.set_jit_config(ms.JitConfig(jit_level=_jit_level))
    return cell


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
