import numpy as np
import pytest

from ms_restore.data import phantoms
from ms_restore.data.sources import PhantomSource
from tests.fixtures.opening import open_evaluation, open_training


def test_a_phantom_is_a_function_of_its_name():
    first = phantoms.load("phantom_0003", 63)
    np.testing.assert_array_equal(first, phantoms.load("phantom_0003", 63))
    assert (first != phantoms.load("phantom_0004", 63)).any()


@pytest.mark.parametrize("side", [31, 127])
def test_size_and_range(side):
    x = phantoms.load("phantom_0000", side)
    assert (x.shape, x.dtype) == ((side, side, 1), np.uint8)
    assert x[0, 0] == x[-1, -1] == 5  # the background, 0.02
    assert x.max() > 150
    inside = x[side // 4 : -side // 4, side // 4 : -side // 4]
    assert len(np.unique(inside)) > 8


def test_splits_share_no_phantom():
    train, held_out = phantoms.names("train"), phantoms.names("held_out")
    assert (len(train), len(held_out)) == (200, 20)
    assert len({*train, *held_out}) == 220
    images = {phantoms.load(name, 31).tobytes() for name in (*train, *held_out)}
    assert len(images) == 220


def test_they_take_the_place_of_photos():
    train, valid = open_training(None, None, 1, 31, 11, embedded="phantoms")
    assert isinstance(train, PhantomSource)
    assert train.sizes == [(31, 31)] * 200
    np.testing.assert_array_equal(valid[1], phantoms.load("phantom_1001", 31))
    scored = open_evaluation(None, 1, 11, "phantoms", 31)
    assert scored.names == valid.names == phantoms.names("held_out")
