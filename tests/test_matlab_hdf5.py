"""MATLAB files of version 7.3, which are HDF5, give what those of version 5 do."""

import sys

import numpy as np
import pytest
from scipy.io import savemat

from ms_restore import limits
from ms_restore.errors import InputError
from ms_restore.matlab_files import read_mat
from tests.fixtures import matlab_hdf5

h5py = pytest.importorskip("h5py")

RNG = np.random.default_rng(0)
CONTENT = {
    "matrix": RNG.random((3, 5)),
    "filters": RNG.random((3, 4, 2, 1)).astype("f4"),
    "whole": np.array([[-7]], np.int16),
    "text": "words",
    "nothing": np.zeros((0, 2)),
    "empty": [],
    "cells": [np.eye(2), "word", [1.5, {"a": "b"}]],
    "net": {"layers": [{"type": "conv", "weights": [np.ones((3, 3)), np.ones((2, 1))]}]},
}


def _same(found, expected):
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            _same(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            _same(one, other)
    else:
        assert found == expected


def _cells(value):
    """Lists as the cell arrays 1xN that SciPy writes."""
    if isinstance(value, dict):
        return {key: _cells(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    cells = np.empty((1 if value else 0, len(value)), object)
    for number, inner in enumerate(value):
        cells[0, number] = _cells(inner)
    return cells


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "chunks": True}])
def test_both_versions_give_the_same_values(options, tmp_path):
    savemat(tmp_path / "5.mat", _cells(CONTENT))
    matlab_hdf5.write(tmp_path / "7.mat", CONTENT, **options)
    found, expected = read_mat(tmp_path / "7.mat"), read_mat(tmp_path / "5.mat")
    expected["filters"] = expected["filters"].reshape(3, 4, 2)  # MATLAB drops the last side of 1
    _same(found, expected)


def test_several_structs_and_kinds_that_are_not_read(tmp_path):
    path = matlab_hdf5.write(tmp_path / "a.mat", {"cell": ["x", "ß"], "n": np.ones((2, 2))})
    with h5py.File(path, "r+") as file:
        structs = file.create_group("structs")
        structs.attrs["MATLAB_class"] = np.bytes_("struct")
        structs.create_dataset("name", data=file["cell"][()])
        sparse = file.create_group("sparse")
        sparse.attrs["MATLAB_class"], sparse.attrs["MATLAB_sparse"] = np.bytes_("double"), 3
        file.create_group("object").attrs["MATLAB_class"] = np.bytes_("table")
        nulls = file.create_dataset("nulls", (1, 1), h5py.ref_dtype)
        nulls.attrs["MATLAB_class"] = np.bytes_("cell")
    read = read_mat(path)
    assert read["structs"] == [{"name": "x"}, {"name": "ß"}]
    assert read["sparse"] is None
    assert read["object"] is None
    assert read["nulls"][0].shape == (0, 0)


def _refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        read_mat(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


def test_what_is_not_whole_or_elsewhere_is_refused(tmp_path):
    path = matlab_hdf5.write(tmp_path / "a.mat", CONTENT)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    _refused(path, "truncated, damaged or not HDF5")
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file["other"] = h5py.ExternalLink("b.mat", "x")
    _refused(path, "a link to another place")
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.create_dataset("raw", (4,), "u1", external=[(str(tmp_path / "raw"), 0, 4)])
    _refused(path, "its values are in another file")
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.create_dataset("z", data=np.ones(2, [("real", "f8"), ("imag", "f8")]))
    _refused(path, "is complex")


def test_what_would_take_all_memory_or_time_is_refused(tmp_path, monkeypatch):
    path = matlab_hdf5.write(tmp_path / "a.mat", {"k": np.eye(3)})
    with h5py.File(path, "r+") as file:
        file.create_dataset("large", (1 << 20, 1 << 20), "f4", chunks=(1, 1 << 20))
    _refused(path, "declares an array of 1048576 x 1048576 elements, above the limit")
    path = matlab_hdf5.write(tmp_path / "b.mat", {"k": [0.5]})
    with h5py.File(path, "r+") as file:
        file["k"][0, 0] = file["k"].ref
    _refused(path, "more than 8 deep")
    path = matlab_hdf5.write(tmp_path / "c.mat", {"k": [1.0] * 20})
    with h5py.File(path, "r+") as file:
        file["k"][...] = file["k"].ref  # 20 to the 8th
    _refused(path, "more than 8 deep|more than 100,000 cells")
    path = matlab_hdf5.write(tmp_path / "d.mat", {"k": [np.ones((1000, 500))] * 1})
    with h5py.File(path, "r+") as file:
        file.create_dataset("same", data=np.full((3, 1), file["k"][0, 0]), dtype=h5py.ref_dtype)
    monkeypatch.setattr(limits, "_max_megapixels", 1)
    _refused(path, "declares matrices of 1[0-9]+ elements")


def test_without_h5py_the_way_to_it_is_said(tmp_path, monkeypatch):
    path = matlab_hdf5.write(tmp_path / "a.mat", {"k": np.eye(3)})
    monkeypatch.setitem(sys.modules, "h5py", None)
    _refused(path, r"needs h5py; install it with pip install ms-restore\[convert\]")


def test_a_file_with_any_byte_changed(tmp_path):
    path = matlab_hdf5.write(tmp_path / "a.mat", {"k": np.eye(3), "c": ["a", [np.eye(2)]]})
    whole = path.read_bytes()
    refused = 0
    for at in range(512, len(whole), 67):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_mat(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 5
