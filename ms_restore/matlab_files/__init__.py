"""Reading of MATLAB files, of every version, with every length in them checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ms_restore.errors import InputError
from ms_restore.matlab_files import version5, version7_3

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # bytes of text before the HDF5 of a MATLAB file


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file by name.

    A matrix of numbers is an array, text a string, a cell array a list (of its rows), a struct a
    dict and several of them a list; any other kind is None.

    Raises InputError where the file is missing, damaged or truncated, or declares an array above
    the limit; of MATLAB 7.3, which is HDF5, also where h5py is not installed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_USER_BLOCK + len(_SIGNATURE))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if head.startswith((_SIGNATURE, b"MATLAB 7.3")) or head[_USER_BLOCK:] == _SIGNATURE:
        return version7_3.read(path)
    return version5.read(path)
