"""Convolutions by oneDNN's own kernels, for training in float32 on a CPU.

MindSpore fixes the layouts of a convolution's operands; oneDNN then makes matrices of them, or
takes its reference. The custom operators of ``onednn.cc`` leave the layouts to oneDNN. They are
compiled once, and call a second copy of the oneDNN that MindSpore brings, for MindSpore's own calls
are limited to AVX2 (``ms_restore.runtime``).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

_SOURCE = Path(__file__).with_suffix(".cc")
_FLAGS = ("-std=c++17", "-O2", "-shared", "-fPIC", "-pthread")
_COMPILERS = ("g++", "clang++", "c++")


class Unavailable(Exception):
    """Why this machine cannot use them."""


def replace_convolutions(network: nn.Cell) -> int:
    """Let oneDNN compute the network's convolutions, in place; how many they are.

    Weights, their names and order stay. Convolutions in groups, dilated or with a stride stay
    MindSpore's. Unavailable without a compiler, or on other machines.
    """
    operators = _operators()
    count = 0
    for _, cell in list(network.cells_and_names()):
        for name, primitive in list(vars(cell).items()):
            windows = _windows(primitive)
            if windows is not None:
                kind = _Transposed if isinstance(primitive, ops.Conv2DTranspose) else _Convolution
                setattr(cell, name, kind(operators, *windows))
                count += 1
    return count


def _windows(primitive: object) -> Optional[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Stride (rows, columns) and padding (top, bottom, left, right) of a convolution."""
    if not isinstance(primitive, (ops.Conv2D, ops.Conv2DTranspose)):
        return None
    if primitive.group != 1 or set(primitive.dilation) != {1} or primitive.data_format != "NCHW":
        return None
    stride, mode = tuple(primitive.stride[-2:]), primitive.pad_mode.lower()
    rows, columns = (k - s for k, s in zip(primitive.kernel_size, stride))
    transposed = isinstance(primitive, ops.Conv2DTranspose)
    if min(rows, columns) < 0 if transposed else set(stride) != {1}:
        return None  # one side's size would not tell the other's
    if mode == "pad":
        return stride, tuple(primitive.pad)
    if mode == "valid":
        return stride, (0, 0, 0, 0)
    return stride, (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)


class _Operators(nn.Cell):
    """A convolution from (N, C, H, W) to (N, O, h, w) by weights (O, C, k, l), and its gradients.

    All are float32. Stride is (rows, columns), padding (top, bottom, left, right).
    """

    def __init__(self, operators: Path, stride: Sequence[int], padding: Sequence[int]) -> None:
        super().__init__(auto_prefix=False)
        top, bottom, left, right = padding
        down, across = stride

        def result(x: list[int], w: list[int], _: list[int]) -> list[int]:
            height = (x[2] + top + bottom - w[2]) // down + 1
            return [x[0], w[0], height, (x[3] + left + right - w[3]) // across + 1]

        def source(dy: list[int], w: list[int], _: list[int]) -> list[int]:
            height = (dy[2] - 1) * down + w[2] - top - bottom
            return [dy[0], w[1], height, (dy[3] - 1) * across + w[3] - left - right]

        def weights(x: list[int], dy: list[int], _: list[int], w: list[int]) -> list[int]:
            return w

        self.windows = Tensor(np.array([*stride, *padding], np.int64))
        self.forward = ops.Custom(f"{operators}:Forward", result, ms.float32, "aot")
        self.backward_data = ops.Custom(f"{operators}:BackwardData", source, ms.float32, "aot")
        self.backward_weights = ops.Custom(
            f"{operators}:BackwardWeights", weights, ms.float32, "aot"
        )


class _Convolution(_Operators):
    """x and weights to y."""

    def construct(self, x: Tensor, w: Tensor) -> Tensor:
        return self.forward(x, w, self.windows)

    def bprop(self, x: Tensor, w: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        return (
            self.backward_data(dy, w, self.windows),
            self.backward_weights(x, dy, self.windows, w),
        )


class _Transposed(_Operators):
    """y and weights to x, whose shape is ``shape``: the gradient of a convolution."""

    def construct(self, y: Tensor, w: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self.backward_data(y, w, self.windows)

    def bprop(
        self, y: Tensor, w: Tensor, shape: tuple[int, ...], x: Tensor, dx: Tensor
    ) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        return (
            self.forward(dx, w, self.windows),
            self.backward_weights(dx, y, self.windows, w),
            shape,
        )


@functools.lru_cache(maxsize=1)
def _operators() -> Path:
    """The compiled operators, ready for use in this process."""
    library = Path(ms.__file__).parent / "lib" / "libdnnl.so.3"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable("only for Linux on x86-64")
    if not library.is_file():
        raise Unavailable(f"MindSpore {ms.__version__} brings no oneDNN 3")
    operators = _compiled()
    try:
        copy = os.memfd_create(library.name)  # one file opened twice would be one library
        with library.open("rb") as file:
            while os.sendfile(copy, file.fileno(), None, 1 << 30):
                pass
        name = f"/proc/self/fd/{copy}".encode()
        failed = ctypes.CDLL(str(operators)).Open(name, _threads())
        os.close(copy)
    except OSError as error:
        raise Unavailable(str(error)) from None
    if failed:
        raise Unavailable(f"{library} is not as expected")
    return operators


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _compiled() -> Path:
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ms_restore"
    path = cache / f"onednn-{digest}.so"
    if path.is_file():
        return path
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise Unavailable("no C++ compiler found, install g++")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / path.name
            command = [compiler, *_FLAGS, str(_SOURCE), "-o", str(made), "-ldl"]
            subprocess.run(command, check=True, capture_output=True, text=True)
            made.replace(path)
    except subprocess.CalledProcessError as error:
        first = error.stderr.strip().partition("\n")[0]
        raise Unavailable(f"{compiler} failed: {first}") from None
    except OSError as error:
        raise Unavailable(f"{cache} cannot be written ({error.strerror})") from None
    return path
