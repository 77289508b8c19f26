"""Reading of MATLAB files of version 7.3, which are HDF5.

A matrix is a dataset with its axes reversed. A cell array is a dataset of references to its cells,
a struct a group of its fields, and several structs a group with a dataset of references for each
field. Attributes name MATLAB's class, and mark an empty matrix, of which the sides are stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ms_restore import hdf5_files
from ms_restore.errors import InputError
from ms_restore.limits import check_elements

_DEEPEST = 8  # cells and structs within each other
_MOST_VALUES = 100_000  # matrices, cells and structs; references can name the same one again
_MOST_DIMENSIONS = 32
_DTYPES = {"double": "f8", "single": "f4", "logical": "u1", "int8": "i1", "uint8": "u1"}
_DTYPES |= {"int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "int64": "i8"}
_DTYPES |= {"uint64": "u8"}


def read(path: Path) -> dict[str, Any]:
    """Return the variables as ``read_mat`` does."""
    with hdf5_files.open_file(path) as file:
        try:
            reader = _Reader(path, file)
            return {
                str(name): reader.value(hdf5_files.member(file, name), 0)
                for name in file
                if not name.startswith("#")  # MATLAB's own groups, such as that of the cells
            }
        except InputError as error:
            message = str(error).removeprefix(f"{path}: ")
            raise InputError(f"{path}: {message}") from None
        except Exception as error:  # h5py raises many types for a damaged file
            raise InputError(
                f"{path}: not a MATLAB file, or a damaged one ({hdf5_files.error_line(error)})"
            ) from None


class _Reader:
    """A reader of the values of an open file, which counts what it reads."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file
        self._values = self._elements = 0

    def value(self, found: Any, depth: int) -> Any:
        """Return the value of a dataset or a group."""
        import h5py

        self._values += 1
        if self._values > _MOST_VALUES:
            raise InputError(f"more than {_MOST_VALUES:,} cells and fields; save fewer in a file")
        if depth > _DEEPEST:
            raise ValueError(f"cells in each other, more than {_DEEPEST} deep")
        kind = _text_attribute(found, "MATLAB_class")
        if isinstance(found, h5py.Dataset):
            return self._dataset(found, kind, depth)
        if not isinstance(found, h5py.Group) or kind not in ("", "struct"):
            return None
        return None if "MATLAB_sparse" in found.attrs else self._struct(found, depth)

    def _dataset(self, dataset: Any, kind: str, depth: int) -> Any:
        values = self._numbers(dataset)
        if "MATLAB_empty" in dataset.attrs and int(dataset.attrs["MATLAB_empty"]):
            return _empty(values, kind)
        if values.dtype.kind == "O":
            return [self._referred(reference, depth) for reference in values.T.ravel()]
        if kind == "char":
            return values.astype("<u2").tobytes().decode("utf-16-le", "replace")
        if values.dtype.names:
            raise ValueError("a matrix is complex, expected real numbers")
        if kind not in ("", *_DTYPES) or values.dtype.kind not in "fiu":
            return None
        return values.T.astype(_DTYPES.get(kind, values.dtype.newbyteorder("=")))

    def _numbers(self, dataset: Any) -> np.ndarray:
        """Return the values of a dataset as they are stored, once it is sure that they fit."""
        import h5py

        hdf5_files.check_dataset(self._path, dataset)
        self._elements += int(dataset.size or 0)
        check_elements(self._path, (self._elements,), "matrices")
        referring = h5py.check_ref_dtype(dataset.dtype) is h5py.Reference
        if dataset.shape is None or (dataset.dtype.kind == "O" and not referring):
            raise ValueError(f"a matrix of {dataset.dtype}")
        if referring and dataset.size > _MOST_VALUES:
            raise InputError(f"a cell array of {dataset.size:,}; expected {_MOST_VALUES:,} at most")
        return np.asarray(dataset[()])

    def _referred(self, reference: Any, depth: int) -> Any:
        if not reference:
            return np.empty((0, 0))
        return self.value(self._file[reference], depth + 1)

    def _struct(self, group: Any, depth: int) -> Any:
        import h5py

        members = {str(name): hdf5_files.member(group, name) for name in group}
        if members and all(
            isinstance(found, h5py.Dataset)
            and found.dtype.kind == "O"
            and not _text_attribute(found, "MATLAB_class")
            for found in members.values()
        ):  # several structs
            columns = [self._numbers(found).ravel() for found in members.values()]
            return [
                {name: self._referred(cell, depth) for name, cell in zip(members, row)}
                for row in zip(*columns)
            ]
        return {name: self.value(found, depth + 1) for name, found in members.items()}


def _empty(sides: np.ndarray, kind: str) -> Any:
    """Return an empty value of MATLAB's class, of which the sides are given."""
    if kind in ("cell", "struct"):
        return []
    if kind == "char":
        return ""
    shape = tuple(int(side) for side in sides.ravel()[:_MOST_DIMENSIONS])
    if kind not in _DTYPES or 0 not in shape or min(shape) < 0:
        raise ValueError(f"an empty {kind or 'matrix'} of shape {shape}")
    return np.empty(shape, _DTYPES[kind])


def _text_attribute(found: Any, name: str) -> str:
    """Return an attribute that is one string of bytes; "" where there is none."""
    if name not in found.attrs:
        return ""
    attribute = found.attrs.get_id(name)
    if attribute.shape != () or attribute.dtype.kind != "S":
        return ""
    return bytes(found.attrs[name]).decode("utf-8", "replace")
