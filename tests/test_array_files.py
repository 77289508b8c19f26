"""Files of arrays: what NumPy and SciPy write is read alike, and sizes are checked first."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ms_restore import limits
from ms_restore.array_files import read_npy, read_npz
from ms_restore.errors import InputError
from ms_restore.matlab_files import read_mat

RNG = np.random.default_rng(0)


def _header(shape, dtype="<f4"):
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "f2", "f8", "?"])
@pytest.mark.parametrize("shape", [(), (0, 3), (4, 5), (2, 3, 4)])
def test_arrays_come_back(dtype, shape, tmp_path):
    array = np.asfortranarray(RNG.integers(0, 2, shape).astype(dtype))
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", one=array, two=array + array)
    read = read_npy(tmp_path / "a.npy")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    both = read_npz(tmp_path / "a.npz")
    assert list(both) == ["one", "two"]
    np.testing.assert_array_equal(both["two"], array + array)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (_header((2_000_000, 2_000_000)), "2000000 x 2000000 elements, above the limit of 512 mil"),
        (_header((1000, 1000)) + b"none", "truncated: 4000000 bytes"),
        (_header((-3, 2)), r"its shape is \(-3, 2\)"),
        (_header((3,), "|O"), "it holds object, expected numbers"),
        (b"\x93NUMPY\x03\x00", "version 3.0"),
        (b"\x93NUMPY\x01\x00\x08\x00{'a': ((", "not an array file"),
        (b"", "not an array file"),
    ],
)
def test_arrays_that_are_refused(content, match, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=match) as caught:
        read_npy(path)
    assert "\n" not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(InputError, match=match.replace("array file", ".npz")):
        read_npz(tmp_path / "a.npz")


def test_an_archive_that_unpacks_to_much_more(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((1000, 700)), b=np.zeros((1000, 700)))
    monkeypatch.setattr(limits, "_max_megapixels", 1)
    with pytest.raises(InputError, match="declares arrays of 1400000 elements, above the limit"):
        read_npz(tmp_path / "a.npz")


def test_a_damaged_member(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=RNG.random((40, 40)))
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: not an \.npz of plain arrays, or a damaged one"):
        read_npz(path)


def _cells():
    cells = np.empty((2, 3), object)
    for number in range(6):
        cells[number // 3, number % 3] = np.full((2, 3), number, float)
    return cells


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_files_are_read_as_scipy_reads_them(compressed, tmp_path):
    matrix = RNG.random((3, 5))
    layer = {"type": "conv", "weights": [matrix, matrix.T], "leak": 0.0}
    content = {"k": matrix, "small": np.array([[7]], np.uint8), "cells": _cells(), "layer": layer}
    content |= {
        "cube": RNG.random((2, 3, 4)).astype("f4"),
        "text": "words",
        "none": np.zeros((0, 2)),
    }
    savemat(tmp_path / "a.mat", content, do_compression=compressed)
    read, expected = read_mat(tmp_path / "a.mat"), loadmat(tmp_path / "a.mat")
    for name in ("k", "small", "cube", "none"):
        assert read[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(read[name], expected[name])
    for found, cell in zip(read["cells"], expected["cells"].ravel(), strict=True):
        np.testing.assert_array_equal(found, cell)
    assert read["text"] == "words"
    assert read["layer"]["type"] == "conv"
    np.testing.assert_array_equal(read["layer"]["weights"][0], matrix)


def test_matlab_files_of_version_4(tmp_path):
    matrix = RNG.random((3, 5))
    savemat(tmp_path / "a.mat", {"k": matrix, "text": "words"}, format="4")
    read = read_mat(tmp_path / "a.mat")
    assert list(read) == ["k"]
    np.testing.assert_array_equal(read["k"], matrix)


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_files_with_any_byte_changed(compressed, tmp_path):
    """Lengths and types that are false are refused, whatever else the byte may mean."""
    path = tmp_path / "a.mat"
    savemat(path, {"k": np.eye(3), "c": _cells()[:1, :2]}, do_compression=compressed)
    whole = path.read_bytes()
    refused = 0
    for at in range(124, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_mat(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 40


def test_a_matlab_matrix_without_its_class(tmp_path):
    matrix = struct.pack("<IIII", 14, 8, 6, 0)
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + matrix)
    with pytest.raises(InputError, match=r"a\.mat: not a MATLAB file, or a damaged one"):
        read_mat(tmp_path / "a.mat")


def test_a_matlab_variable_that_unpacks_to_much_more(tmp_path):
    header = b"MATLAB 5.0".ljust(124) + b"\0\1IM"
    packed = zlib.compress(b"\x0e\0\0\0" + (0xFFFFFFF8).to_bytes(4, "little") + bytes(1000))
    body = b"\x0f\0\0\0" + len(packed).to_bytes(4, "little") + packed
    (tmp_path / "a.mat").write_bytes(header + body)
    with pytest.raises(InputError, match="declares a variable of 536870911 elements"):
        read_mat(tmp_path / "a.mat")
