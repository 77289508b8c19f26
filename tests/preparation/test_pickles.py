"""Pickled slices and spectra: what becomes of them, and that nothing in a pickle is run."""

import collections
import contextlib
import json
import os
import pickle
import pickletools
import resource

import numpy as np
import pytest

from ms_restore.cli import main
from ms_restore.errors import InputError
from ms_restore.preparation.pickles import read_arrays
from ms_restore.preparation.selection import prepare
from tests.fixtures.opening import open_training

SIDE = 31
SETTINGS = {
    "model": "tiny",
    "scale": 1,
    "margin": 0,
    "patch_size": SIDE,
    "channels": 1,
    "side": SIDE,
}


def pair(count=12, side=SIDE):
    images = np.random.default_rng(count).integers(0, 256, (count, side + 1, side + 1))
    images = images.astype(np.uint8)
    spectra = np.fft.fftshift(np.fft.fft2(images[:, :-1, :-1] / 255 - 0.5), axes=(1, 2))
    return images, spectra.astype(np.complex64)


def dump(path, content, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def test_one_pickle(tmp_path, capsys):
    images, spectra = pair()
    source = dump(tmp_path / "data.pkl", (images, spectra))
    assert prepare(source, tmp_path / "set", **SETTINGS) == [tmp_path / "set"]
    train, valid = open_training(str(tmp_path / "set"), None, 1, SIDE, 11)
    assert valid.names == ["data_00009"]  # every tenth
    assert train.names[:2] == ["data_00000", "data_00001"]
    np.testing.assert_array_equal(train[2][:, :, 0], images[2, :-1, :-1])
    prepare(source, tmp_path / "set", **SETTINGS)
    assert "already prepared, 12 images" in capsys.readouterr().out


@pytest.mark.parametrize("names", [("train", "valid"), ("ixi_train", "ixi_valid")])
def test_both_parts(tmp_path, names):
    for name, count in zip(names, (12, 3)):
        dump(tmp_path / "pickles" / f"{name}.pkl", list(pair(count)))
    prepare(tmp_path / "pickles", tmp_path / "set", **SETTINGS)
    train, valid = open_training(str(tmp_path / "set"), None, 1, SIDE, 11)
    assert (len(train), len(valid)) == (12, 3)
    np.testing.assert_array_equal(valid[1][:, :, 0], pair(3)[0][1, :-1, :-1])


def test_several_of_a_part(tmp_path):
    for name in ("a_train", "b_train", "valid"):
        dump(tmp_path / f"{name}.pkl", pair(2))
    with pytest.raises(InputError, match="a_train.pkl, b_train.pkl all look like the train part"):
        prepare(tmp_path, tmp_path / "set", **SETTINGS)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("numpy", [1, 2])
def test_every_protocol_and_numpy(tmp_path, protocol, numpy):
    """NumPy 2 writes numpy._core where NumPy 1 wrote numpy.core."""
    content = (*pair(), np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)))
    data = pickle.dumps(content, protocol=protocol)
    if numpy == 2 and protocol >= 4:  # a short string: its length stands before it
        for name in (b"numpy.core.multiarray", b"numpy.core.numeric"):
            new = name.replace(b"core", b"_core")
            data = data.replace(bytes([len(name)]) + name, bytes([len(new)]) + new)
        data = data[:2] + unframed(data[2:])
    elif numpy == 2:
        data = data.replace(b"cnumpy.core.", b"cnumpy._core.")
    (tmp_path / "a.pkl").write_bytes(data)
    found = read_arrays(tmp_path / "a.pkl")
    for one, other in zip(found, content):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def unframed(data):
    """Without the frames of protocol 4 and 5, whose lengths are no longer true."""
    kept, at = [], 0
    for opcode, _, position in pickletools.genops(pickle.PROTO + bytes([4]) + data):
        if opcode.name == "FRAME":
            kept.append(data[at : position - 2])
            at = position - 2 + 9
    return b"".join(kept) + data[at:]


class Harm:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_runs_no_code(tmp_path):
    mark = tmp_path / "harmed"
    for number, content in enumerate(
        [
            Harm(mark),
            (*pair(), Harm(mark)),
            np.array([Harm(mark)], dtype=object),
            {"images": [Harm(mark)]},
        ]
    ):
        path = dump(tmp_path / f"{number}.pkl", content)
        with pytest.raises(
            InputError, match="(posix.system, but only NumPy arrays are read|an array of 'O8')"
        ):
            prepare(path, tmp_path / "set", **SETTINGS)
    assert not mark.exists()
    pickle.loads((tmp_path / "0.pkl").read_bytes())
    assert mark.exists()  # it would have


GADGETS = [
    b"cbuiltins\neval\n(S'1'\ntR.",
    b"cnumpy\nload\n(S'a'\ntR.",
    b"cnumpy.core.multiarray\nscalar\n.",
    b"cnumpy.testing._private.utils\nrunstring\n.",
    b"cnumpy\nndarray.__class__\n.",
    b"(S'1'\nios\nsystem\n.",
    b"P1\n.",
]


@pytest.mark.parametrize("data", GADGETS)
def test_other_names_are_refused(tmp_path, data):
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(InputError, match="but only NumPy arrays are read .*nothing of it was run"):
        read_arrays(tmp_path / "a.pkl")


def test_named_objects_are_refused(tmp_path):
    dump(tmp_path / "a.pkl", collections.OrderedDict(a=1))
    with pytest.raises(InputError, match="a.pkl: holds collections.OrderedDict"):
        read_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pair()[0], "holds a ndarray; expected images uint8"),
        (pair()[:1], r"holds a tuple of 1 \(ndarray\)"),
        ({"a": 1}, "holds a dict"),
        ((pair()[0], "spectra"), r"holds a tuple of 2 \(ndarray, str\)"),
        ((pair()[0].astype(float), pair()[1]), r"holds float64 \(12, 32, 32\) and complex64"),
        ((pair()[0], pair()[1][:5]), r"and complex64 \(5, 31, 31\); expected images uint8 \(n, 32"),
        ((pair()[0], pair()[1].real), r"and float32 \(12, 31, 31\)"),
        (pair(2, 63), r"uint8 \(2, 64, 64\) .*; expected images uint8 \(n, 32, 32\)"),
        ((pair()[0][:0], pair()[1][:0]), r"uint8 \(0, 32, 32\)"),
        ((pair()[0][0], pair()[1]), r"uint8 \(32, 32\)"),
    ],
)
def test_other_contents(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        prepare(dump(tmp_path / "a.pkl", content), tmp_path / "set", **SETTINGS)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("data", [b"", b"no pickle", b"\x80\x04\x95", b"\x80\xff."])
def test_damaged(tmp_path, data):
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(InputError, match="a.pkl: not a pickle, or a damaged one"):
        read_arrays(tmp_path / "a.pkl")
    whole = pickle.dumps(pair())
    (tmp_path / "a.pkl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="a.pkl: not a pickle, or a damaged one"):
        read_arrays(tmp_path / "a.pkl")


def test_numbers_that_would_take_all_memory(tmp_path):
    """A place in the memo, a length, an array without bytes: each of a few bytes."""
    state = pickle.dumps((1, (2_000_000, 2_000_000), None, False, None))
    for data in (
        b"\x80\x04Kar\xff\xff\xff\x7f.",
        b"\x80\x04\x8e\xff\xff\xff\xff\x0f\0\0\0abc.",
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n)R" + state[2:-1] + b"b.",
    ):
        (tmp_path / "a.pkl").write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(InputError):
            read_arrays(tmp_path / "a.pkl")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (64 << 10)  # KB


def test_at_the_command_line(tmp_path, capsys):
    source = dump(tmp_path / "data.pkl", Harm(tmp_path / "harmed"))
    words = ["prepare", "--source", str(source), "--output", str(tmp_path / "set"), "--model"]
    for model, message in (("noise2noise_mri", "posix.system, but only"), ("edsr", "not a folder")):
        with pytest.raises(SystemExit) as ended:
            main([*words, model])
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    dump(source, pair(2, 255))
    main([*words, "noise2noise_mri"])
    assert json.loads((tmp_path / "set" / "manifest.json").read_text())["count"] == 2
