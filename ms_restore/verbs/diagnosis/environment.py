"""The examination of Python, MindSpore, the device, and the packages beside them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ms_restore import ascend, runtime
from ms_restore.errors import InputError
from ms_restore.files import cache_folder
from ms_restore.verbs.diagnosis.finding import Finding
from ms_restore.version import __version__

_PYTHON = ((3, 9), (3, 12))
_MINDSPORE = ((2, 9), (2, 10))
_INSTALL = "pip install 'mindspore>=2.9,<2.11'"
_COMPILERS = ("g++", "clang++", "c++")
_EXTRAS = {  # a package, which extra brings it, and what for
    "onnxruntime": ("onnx", "pictures are restored faster on CPUs, and without MindSpore"),
    "onnx": ("onnx", "export to ONNX"),
    "rawpy": ("raw", "raw files"),
    "h5py": ("convert", "weights and sets in HDF5 and MATLAB 7.3"),
    "safetensors": ("convert", "weights in .safetensors"),
    "nibabel": ("mri", "MRI volumes"),
    "colour-demosaicing": ("demosaic", "a better start of demosaicing"),
    "starlette": ("demo", "a page on which pictures are restored in a browser"),
    "uvicorn": ("demo", "the server of that page"),
    "tensorboardX": ("tensorboard", "curves for TensorBoard"),
}
_LEAST_DISK = 5e9  # bytes, for a run's checkpoints


def examine() -> Iterator[Finding]:
    """Examine this machine and installation."""
    python = sys.version_info[:2]
    fits = _PYTHON[0] <= python <= _PYTHON[1]
    text = f"ms-restore {__version__}, Python {platform.python_version()}, {platform.platform()}"
    remedy = None if fits else "use Python 3.9 to 3.12: python3.11 -m venv .venv"
    yield Finding("ok" if fits else "problem", text, remedy)
    yield from _mindspore()
    yield from _processor()
    yield from _packages()
    yield from _disk()


def _version(package: str) -> str:
    """The version of an installed package, or an empty text."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _mindspore() -> Iterator[Finding]:
    numpy, found = _version("numpy"), _version("mindspore")
    if _numbers(numpy) >= (2, 0):
        text = f"NumPy {numpy}: MindSpore's operation by operation mode is compiled for NumPy 1"
        yield Finding("problem", text, "pip install 'numpy<2'")
    if not found:
        text = "MindSpore is not installed: exported .onnx files can be restored, nothing else"
        yield Finding("problem", text, _INSTALL)
        return
    if not _MINDSPORE[0] <= _numbers(found) <= _MINDSPORE[1]:
        text = f"MindSpore {found}: this version of ms-restore is tested with 2.9 and 2.10"
        yield Finding("problem", text, _INSTALL)
    try:
        import mindspore  # noqa: F401 - whether it loads
    except Exception as error:  # its libraries raise many types
        reason = " ".join(str(error).split())[:200]
        yield Finding("problem", f"MindSpore {found} does not load: {reason}", _INSTALL)
        return
    yield Finding("ok", f"MindSpore {found} loads, NumPy {numpy}")
    yield _device()


def _device() -> Finding:
    try:
        target = runtime.choose_target(None)
    except InputError as error:
        return Finding("problem", str(error), ascend.source_line())
    if target == "Ascend":
        return Finding("ok", f"device: Ascend {', '.join(map(str, ascend.devices()))}")
    return Finding("ok", "device: the CPU; there is no Ascend here")


def _processor() -> Iterator[Finding]:
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    slow = limit not in (None, "AVX2", "AVX", "SSE41") and runtime.has_avx512()
    if slow:
        text = (
            f"ONEDNN_MAX_CPU_ISA={limit}: with AVX-512, MindSpore's convolutions are a hundred "
            "times slower than with AVX2"
        )
        yield Finding("problem", text, "unset ONEDNN_MAX_CPU_ISA")
    yield Finding("ok", f"{len(os.sched_getaffinity(0))} processors, {platform.machine()}")
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        text = "no C++ compiler: training on a CPU is slower with MindSpore's own operators"
        yield Finding("note", text, "apt-get install g++")
    else:
        yield Finding("ok", f"C++ compiler for faster training on a CPU: {compiler}")


def _packages() -> Iterator[Finding]:
    for package, (extra, use) in _EXTRAS.items():
        version = _version(package)
        if version:
            yield Finding("ok", f"{package} {version}: {use}")
        else:
            remedy = f"pip install 'ms-restore[{extra}]'"
            yield Finding("note", f"{package} is not installed: {use}", remedy)


def _disk() -> Iterator[Finding]:
    for name, folder in (("working folder", Path.cwd()), ("cache folder", cache_folder())):
        there = next(path for path in (folder, *folder.parents) if path.is_dir())
        free = shutil.disk_usage(there).free
        text = f"{name} {folder}: {free / 1e9:.1f} GB free"
        if not os.access(there, os.W_OK):
            remedy = "choose another by MS_RESTORE_HOME" if name == "cache folder" else None
            yield Finding("problem", f"{text}, cannot be written", remedy)
        elif free < _LEAST_DISK:
            yield Finding("note", f"{text}; a run of a large network writes more", "make room")
        else:
            yield Finding("ok", text)
