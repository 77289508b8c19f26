"""Opening of HDF5 files, and the checks that what is read of one lies in it and fits in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ms_restore.errors import InputError
from ms_restore.limits import check_elements


def open_file(path: Path) -> Any:
    """Return the h5py.File of a path, open for reading.

    Raises InputError where it is missing, damaged or no HDF5, and where h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(
            f"{path}: reading HDF5 needs h5py; install it with pip install ms-restore[convert]"
        ) from None
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # h5py raises many types for a damaged file
        raise InputError(
            f"{path}: truncated, damaged or not HDF5 ({error_line(error)}); copy or make it again"
        ) from None


def member(group: Any, name: str) -> Any:
    """Return what a group holds under a name; raise InputError for a link to another place."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InputError("a link to another place; copy what it leads to into the file")
    return group[name]


def check_dataset(path: Path, dataset: Any) -> None:
    """Raise InputError unless a dataset's values are in this file and its size is below the limit.

    Nothing of its values is read for that.
    """
    if dataset.external or dataset.is_virtual:
        raise InputError("its values are in another file; copy them into this one")
    for shape in (dataset.shape or (), dataset.chunks or ()):
        check_elements(path, shape)


def error_line(error: Exception) -> str:
    """Return an error of h5py as one line."""
    return " ".join(str(error).strip("'\"").split())
