"""Reading of NumPy's .npy and .npz files, whose sizes are checked before memory is taken."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from ms_restore.errors import InputError
from ms_restore.limits import check_elements

_NUMBERS = "biufc"  # kinds of dtype
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes


def read_npy(path: Path) -> np.ndarray:
    """Return the array of numbers in a .npy file.

    Raises InputError where the file is missing, damaged or truncated, holds anything but numbers,
    or declares an array above the limit.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file, path.stat().st_size)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except Exception as error:  # NumPy's header is Python text, whose parser raises many types
        raise InputError(f"{path}: not an array file, or a damaged one ({_line(error)})") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of numbers in a .npz file, by name.

    Raises InputError as ``read_npy`` does; the limit holds for all arrays together.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.compress_type not in _COMPRESSIONS:
                    raise ValueError(f"{entry.filename!r} is compressed in a way NumPy never does")
                with archive.open(entry) as file:
                    array = _read(path, file, entry.file_size)
                arrays[entry.filename.removesuffix(".npy")] = array
                total = sum(array.size for array in arrays.values())
                check_elements(path, (total,), "arrays")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many types for a damaged file
        raise InputError(
            f"{path}: not an .npz of plain arrays, or a damaged one ({_line(error)})"
        ) from None
    return arrays


def _read(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """Return the array of an opened .npy file of ``size`` bytes."""
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    read_header = {
        (1, 0): npy_format.read_array_header_1_0,
        (2, 0): npy_format.read_array_header_2_0,
    }[version]
    shape, by_columns, dtype = read_header(file)
    if dtype.kind not in _NUMBERS:
        raise ValueError(f"it holds {dtype}, expected numbers")
    if any(length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}")
    check_elements(path, shape)
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    content = bytearray(file.read(expected) if expected <= size else b"")
    if len(content) != expected:
        raise ValueError(f"truncated: {expected} bytes of numbers are declared, not all are there")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
