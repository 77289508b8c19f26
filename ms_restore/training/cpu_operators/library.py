"""The compiled operators: one library, made once by the C++ compiler that is found."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import ops

from ms_restore.errors import InputError
from ms_restore.files import atomic_write, cache_folder, sha256

_FOLDER = Path(__file__).parent
_FLAGS = ("-std=c++17", "-O3", "-fno-trapping-math", "-shared", "-fPIC", "-pthread")
_COMPILERS = ("g++", "clang++", "c++")


class Unavailable(Exception):
    """Says why this machine cannot use the compiled operators."""


@functools.lru_cache(maxsize=1)
def operators() -> Path:
    """Return the library of compiled operators, ready for use in this process."""
    library = Path(ms.__file__).parent / "lib" / "libdnnl.so.3"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable("only for Linux on x86-64")
    if not library.is_file():
        raise Unavailable(f"MindSpore {ms.__version__} brings no oneDNN 3")
    compiled = _compiled()
    try:
        copy = os.memfd_create(library.name)  # one file opened twice would be one library
        with library.open("rb") as file:
            while os.sendfile(copy, file.fileno(), None, 1 << 30):
                pass
        name = f"/proc/self/fd/{copy}".encode()
        failed = ctypes.CDLL(str(compiled)).Open(name, _threads())
        os.close(copy)
    except OSError as error:
        raise Unavailable(str(error)) from None
    if failed:
        raise Unavailable(f"{library} is not as expected")
    return compiled


def operator(name: str, shapes: Callable[..., Any], outputs: int = 1) -> ops.Custom:
    """Return a compiled operator; ``shapes`` gives the shape of its output, or those of several.

    Raises Unavailable as ``operators`` does.
    """
    kinds = ms.float32 if outputs == 1 else (ms.float32,) * outputs
    return ops.Custom(f"{operators()}:{name}", shapes, kinds, "aot")


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _compiled() -> Path:
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for source in sorted(_FOLDER.glob("*.[ch]*")):
        digest.update(source.read_bytes())
    cache = cache_folder()
    name = f"cpu_operators-{digest.hexdigest()[:16]}"
    for path in cache.glob(f"{name}-*.so"):
        if path.stem == f"{name}-{sha256(path)}":  # a library cut short would end the process
            return path
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise Unavailable("no C++ compiler found, install g++")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / f"{name}.so"
            sources = map(str, sorted(_FOLDER.glob("*.cc")))
            command = [compiler, *_FLAGS, *sources, "-o", str(made), "-ldl"]
            subprocess.run(command, check=True, capture_output=True, text=True)
            path = cache / f"{name}-{sha256(made)}.so"
            with atomic_write(path) as temporary:
                shutil.move(made, temporary)
    except subprocess.CalledProcessError as error:
        first = error.stderr.strip().partition("\n")[0]
        raise Unavailable(f"{compiler} failed: {first}") from None
    except InputError as error:
        raise Unavailable(str(error)) from None
    except OSError as error:
        raise Unavailable(f"{cache} cannot be written ({error.strerror})") from None
    return path
