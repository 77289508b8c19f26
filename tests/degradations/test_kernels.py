import numpy as np
import PIL.Image
import pytest
from scipy.io import savemat

from ms_restore.degradations import kernels
from ms_restore.errors import InputError
from ms_restore.report import terminal  # noqa: F401 - prints what is logged


@pytest.mark.parametrize("name", ["gaussian:1.6", "gaussian:0.4", "motion:15:30", "disk:3"])
def test_named_kernels_are_centred_odd_and_sum_to_one(name):
    kernel = kernels.load(name)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() >= 0
    assert all(side % 2 for side in kernel.shape)
    assert np.abs(kernel - kernel[::-1, ::-1]).max() < 1e-12


def test_named_kernels_are_what_they_say():
    gaussian = kernels.load("gaussian:1.6")
    offsets = np.arange(gaussian.shape[0]) - gaussian.shape[0] // 2
    spread = (gaussian.sum(axis=0) * offsets**2).sum() ** 0.5
    assert spread == pytest.approx(1.6, rel=0.02)
    assert kernels.load("motion:15:0").shape == (1, 15)
    assert np.allclose(kernels.load("motion:15:0"), 1 / 15)
    assert kernels.load("motion:9:90").shape == (9, 1)
    up = kernels.load("motion:15:45")  # counter-clockwise: right end above the left one
    rows, columns = np.indices(up.shape) - np.array(up.shape)[:, None, None] // 2
    assert (up * rows * columns).sum() < 0
    disk = kernels.load("disk:3")
    assert disk.shape == (7, 7)
    assert disk[3, 3] == pytest.approx(1 / (np.pi * 9), rel=0.02)
    assert disk[0, 0] == 0


def test_files(tmp_path, capsys):
    taps = np.array([[0, 1, 0], [2, 4, 2], [0, 1, 0]], np.uint8)
    expected = taps / 10
    PIL.Image.fromarray(taps).save(tmp_path / "k.png")
    np.save(tmp_path / "k.npy", taps.astype(np.float32))
    savemat(tmp_path / "one.mat", {"kernel": taps.astype(float)})
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = taps.astype(float), np.ones((5, 3))
    savemat(tmp_path / "two.mat", {"kernels": cells})
    for name in ("k.png", "k.npy", "one.mat", "two.mat:0"):
        assert np.allclose(kernels.load(str(tmp_path / name)), expected), name
    assert list(kernels.load_all(str(tmp_path / "two.mat"))) == [
        f"{tmp_path / 'two.mat'}:{n}" for n in (0, 1)
    ]
    with pytest.raises(InputError, match=r"2 kernels in it; name one, such as .*two.mat:0"):
        kernels.load(str(tmp_path / "two.mat"))
    with pytest.raises(InputError, match="holds 2, numbered from 0"):
        kernels.load(str(tmp_path / "two.mat:2"))
    assert capsys.readouterr().out == ""


def test_even_sides_get_a_zero_line_and_say_so(tmp_path, capsys):
    np.save(tmp_path / "k.npy", np.ones((4, 3)))
    kernel = kernels.load(str(tmp_path / "k.npy"))
    assert kernel.shape == (5, 3)
    assert not kernel[-1].any()
    assert np.allclose(kernel[:4], 1 / 12)
    said = capsys.readouterr().out
    assert "is 4x3: a zero row or column makes it 5x3" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((3, 3)), "sums to 0, expected a positive number"),
        (-np.ones((3, 3)), "sums to -9"),
        (np.array([[1.0, -1.0, 0.0]]), "sums to 0"),
        (np.full((3, 3), 1e308), "sums to inf, expected a positive number"),
        (np.full((3, 3), np.nan), "NaN or infinity"),
        (np.ones(3), r"shape \(3,\), expected a matrix"),
        (np.ones((3, 3, 3)), r"shape \(3, 3, 3\), expected a matrix"),
    ],
)
def test_arrays_that_are_no_kernel(array, expected, tmp_path):
    np.save(tmp_path / "k.npy", array)
    with pytest.raises(InputError, match=expected):
        kernels.load(str(tmp_path / "k.npy"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gausian:2", "is not known .did you mean 'gaussian'..; expected gaussian:1.6"),
        ("gaussian", "expected gaussian:1.6"),
        ("gaussian:wide", "expected gaussian:1.6"),
        ("gaussian:-1", "sizes above 0"),
        ("disk:1000", "up to 200 pixels"),
        ("motion:15", "motion:15:30"),
        ("none.npy", "no such file"),
        ("notes.txt", "is not known"),
    ],
)
def test_names_that_are_no_kernel(text, expected):
    with pytest.raises(InputError, match=expected):
        kernels.load(text)


def test_damaged_files(tmp_path):
    for name in ("k.npy", "k.mat", "k.png"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match=name):
            kernels.load(str(tmp_path / name))
    savemat(tmp_path / "text.mat", {"note": np.zeros((0,), object)})
    with pytest.raises(InputError, match="no matrix in it"):
        kernels.load(str(tmp_path / "text.mat"))
