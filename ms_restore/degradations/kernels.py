"""Blur kernels, from files or from a formula such as gaussian:1.6.

A kernel is an array (kh, kw) float64 with odd sides that sums to 1. Blurring is correlation: entry
(i, j) of the kernel, counted from its centre, is the weight of the pixel under it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Callable

import numpy as np
from scipy import fft

from ms_restore.array_files import read_npy
from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.images.reading import read_picture
from ms_restore.matlab_files import read_mat

_LOG = logging.getLogger(__name__)
_NAMED = "gaussian:1.6 (deviation), motion:15:30 (length, degrees) or disk:3 (radius)"
_SUBPIXELS = 9  # along a side of a pixel, over which kernels with sharp edges are averaged
_SUFFIXES = (".png", ".npy", ".mat")


def load(text: str) -> np.ndarray:
    """Return the normalised kernel that a text describes.

    Args:
        text: a file (.png, .npy or .mat), a kernel of a .mat file such as ``kernels.mat:0``, or
            gaussian:1.6 (standard deviation in pixels), motion:15:30 (length in pixels, degrees)
            or disk:3 (radius in pixels).

    Raises:
        InputError: the text describes no kernel, or several.
    """
    kernels = load_all(text)
    if len(kernels) > 1:
        raise InputError(
            f"kernel {text}: {len(kernels)} kernels in it; name one, such as {next(iter(kernels))}"
        )
    return next(iter(kernels.values()))


def load_all(text: str) -> dict[str, np.ndarray]:
    """Return all kernels that a text describes, as of ``load``, by the text for each of them."""
    file, colon, number = text.rpartition(":")
    if colon and number.isdecimal() and Path(file).suffix.lower() in _SUFFIXES:
        kernels = _read(Path(file))
        if int(number) >= len(kernels):
            raise InputError(f"kernel {text}: {file} holds {len(kernels)}, numbered from 0")
        return {text: _normalise_and_warn(kernels[int(number)], text)}
    if Path(text).suffix.lower() in _SUFFIXES:
        kernels = _read(Path(text))
        names = [text] if len(kernels) == 1 else [f"{text}:{n}" for n in range(len(kernels))]
        return {name: _normalise_and_warn(kernel, name) for name, kernel in zip(names, kernels)}
    return {text: normalise(_parametric(text), text)}


def _normalise_and_warn(kernel: np.ndarray, name: str) -> np.ndarray:
    """Return the normalised kernel, and log a warning if a side was even."""
    result = normalise(kernel, name)
    if result.shape != kernel.shape[:2]:
        before, after = (f"{shape[0]}x{shape[1]}" for shape in (kernel.shape, result.shape))
        _LOG.warning(
            "kernel %s is %s: a zero row or column makes it %s, with a centre", name, before, after
        )
    return result


def normalise(kernel: np.ndarray, name: str = "kernel") -> np.ndarray:
    """Return the kernel (kh, kw) divided by its sum, as float64 with odd sides.

    An even side gets a row of zeros below, or a column of zeros on the right. ``name`` is for
    messages. Raises InputError unless the kernel is a finite matrix with a positive sum.
    """
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim == 3 and kernel.shape[2] == 1:
        kernel = kernel[:, :, 0]
    if kernel.ndim != 2 or not kernel.size:
        raise InputError(f"kernel {name}: shape {kernel.shape}, expected a matrix (height, width)")
    if not np.isfinite(kernel).all():
        raise InputError(f"kernel {name}: NaN or infinity in it")
    with np.errstate(over="ignore", invalid="ignore"):  # values near the largest numbers
        total, size = kernel.sum(), np.abs(kernel).sum()
    if not np.isfinite(size) or total <= 1e-12 * size:
        raise InputError(
            f"kernel {name}: sums to {total:g}, expected a positive number; "
            "a blur kernel holds the weights of a mean"
        )
    return np.pad(kernel / total, [(0, 1 - side % 2) for side in kernel.shape])


def gaussian(sigma: float) -> np.ndarray:
    """Return a Gaussian kernel exp(-r^2 / (2 sigma^2)), out to three standard deviations.

    ``sigma`` is in pixels; the kernel is not normalised.
    """
    reach = int(np.ceil(3 * sigma))
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return np.outer(line, line)


def motion(length: float, degrees: float) -> np.ndarray:
    """Return a motion-blur kernel: a line ``length`` pixels long and one pixel wide.

    It is turned counter-clockwise from the horizontal by ``degrees``, and not normalised.
    """
    angle = np.deg2rad(degrees)

    def on_line(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        along = columns * np.cos(angle) - rows * np.sin(angle)
        across = columns * np.sin(angle) + rows * np.cos(angle)
        return (np.abs(along) <= length / 2) & (np.abs(across) <= 0.5)

    return _trim(_pixel_coverage(int(np.ceil(length / 2)) + 1, on_line))


def disk(radius: float) -> np.ndarray:
    """Return an out-of-focus kernel: a disk of a radius in pixels, not normalised."""
    reach = int(np.ceil(radius)) + 1
    return _trim(_pixel_coverage(reach, lambda rows, columns: rows**2 + columns**2 <= radius**2))


def _pixel_coverage(
    reach: int, inside: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the share of each pixel that a shape covers, (2 reach + 1, 2 reach + 1)."""
    side = 2 * reach + 1
    centres = (np.arange(side * _SUBPIXELS) + 0.5) / _SUBPIXELS - side / 2
    fine = inside(centres[:, None], centres[None, :]).astype(np.float64)
    return fine.reshape(side, _SUBPIXELS, side, _SUBPIXELS).mean(axis=(1, 3))


def _trim(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel without its empty border, the same on opposite sides."""
    while kernel.shape[0] > 1 and not (kernel[[0, -1]].any()):
        kernel = kernel[1:-1]
    while kernel.shape[1] > 1 and not (kernel[:, [0, -1]].any()):
        kernel = kernel[:, 1:-1]
    return kernel


_SHAPES: dict[str, tuple[Callable[..., np.ndarray], int]] = {
    "gaussian": (gaussian, 1),
    "motion": (motion, 2),
    "disk": (disk, 1),
}


def _parametric(text: str) -> np.ndarray:
    """Return the kernel of a formula, such as gaussian:1.6."""
    name, *words = text.split(":")
    if name not in _SHAPES:
        hint = did_you_mean(name, _SHAPES)
        raise InputError(
            f"kernel {text!r} is not known{hint}; expected {_NAMED}, or a file "
            f"({comma_list(_SUFFIXES)})"
        )
    shape, count = _SHAPES[name]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all() or not 0 < numbers[0] <= 200:
        raise InputError(f"kernel {text!r}: expected {_NAMED}, sizes above 0 and up to 200 pixels")
    return shape(*numbers)


def _read(path: Path) -> list[np.ndarray]:
    if not path.is_file():
        raise InputError(f"kernel {path}: no such file")
    if path.suffix.lower() == ".png":
        return [read_picture(path).pixels.astype(np.float64).mean(axis=2)]
    try:
        if path.suffix.lower() == ".npy":
            return [read_npy(path)]
        content = read_mat(path)
    except InputError as error:
        raise InputError(f"kernel {error}") from None
    found: list[Any] = []
    for value in content.values():  # variables, or the cells of a cell array
        found += value if isinstance(value, list) else [value]
    kernels = [kernel for kernel in found if isinstance(kernel, np.ndarray) and kernel.ndim == 2]
    if not kernels:
        raise InputError(f"kernel {path}: no matrix in it")
    return kernels


def fft_size(height: int, width: int) -> tuple[int, int]:
    """Return sides (height, even width) of a fast Fourier transform, at least those given."""
    rows, columns = fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True)
    while columns % 2:
        columns = fft.next_fast_len(columns + 1, real=True)
    return rows, columns
