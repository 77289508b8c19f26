"""A dark raw file by a network that passes the colours on: ratios, limits, memory."""

import numpy as np
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.inference.raw_development import RawDeveloper

pytest.importorskip("rawpy")
dng = pytest.importorskip("tests.fixtures.dng")


@pytest.fixture(scope="module")
def restorer(passing):
    return api.load_model(passing("sid_sony"), device_target="CPU")


def _frame(path, level=600):
    dng.write(path, np.full((64, 96), level), dng.ORDERS["RGGB"], black=[[512]])
    return path


@pytest.mark.parametrize(("seconds", "ratio"), [("0.1", 100), ("0.001", 300), ("30", 1)])
def test_the_ratio_is_that_to_10_s_within_limits(seconds, ratio, restorer, tmp_path, capsys):
    path = _frame(tmp_path / f"10003_00_{seconds}s.dng")
    develop = RawDeveloper(restorer, None, 16)
    picture = develop(path, develop.read(path))
    assert f"ratio {ratio} " in capsys.readouterr().out
    expected = min(ratio * (600 - 512) / (16383 - 512), 1)
    np.testing.assert_allclose(picture.pixels / 65535, expected, atol=1e-4)


@pytest.mark.parametrize("ratio", [0, 0.9, 10_001])
def test_ratios_that_are_refused(ratio, restorer):
    with pytest.raises(InputError, match="expected a number from 1 to 10000"):
        RawDeveloper(restorer, ratio, 8)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_weight_and_the_kind_of_the_picture(bits, restorer, tmp_path):
    """At least the packed frame, 2 bytes, amplified, 4, and the picture's three channels."""
    develop = RawDeveloper(restorer, 100, bits)
    path = _frame(tmp_path / "a.dng")
    picture = develop(path, develop.read(path))
    assert develop.empty_picture.pixels.dtype == picture.pixels.dtype == np.dtype(f"uint{bits}")
    assert develop.picture_bytes(path) == 64 * 96 * 6 + picture.pixels.nbytes


def test_a_damaged_file_weighs_nothing_until_it_is_read(restorer, tmp_path):
    path = tmp_path / "a.dng"
    path.write_bytes(b"no raw file")
    develop = RawDeveloper(restorer, 100, 8)
    assert develop.picture_bytes(path) == 0
    with pytest.raises(InputError, match="raw file"):
        develop.read(path)
