import numpy as np
import pytest

from ms_restore.errors import InputError
from ms_restore.images.mosaic import BAYER, KINDS, X_TRANS, VisibleArea

MOSAICS = list(KINDS.values())


def _named(mosaic):
    return mosaic.name


def test_bayer_is_packed_red_green_blue_green():
    planes = BAYER.pack(np.arange(16).reshape(4, 4))
    assert planes[:, 0, 0].tolist() == [0, 1, 5, 4]
    assert planes[:, 1, 1].tolist() == [10, 11, 15, 14]


def test_xtrans_is_packed_as_chen_et_al_do():
    """Red, green, blue, red, blue, and four greens of every 3x3; places in the 6x6 period."""
    planes = X_TRANS.pack(
        np.array([[10 * row + column for column in range(6)] for row in range(6)])
    )
    assert planes[0].tolist() == [[0, 4], [31, 33]]
    assert planes[1].tolist() == [[2, 5], [32, 35]]
    assert planes[2].tolist() == [[1, 3], [30, 34]]
    assert planes[3].tolist() == [[12, 25], [52, 45]]
    assert planes[4].tolist() == [[22, 15], [42, 55]]
    greens = [
        [[10 * (3 * i + r) + 3 * j + c for j in range(2)] for i in range(2)]
        for r in (1, 2)
        for c in (0, 1)
    ]
    assert planes[5:].tolist() == greens


@pytest.mark.parametrize("mosaic", MOSAICS, ids=_named)
def test_packing_is_undone(mosaic):
    pixels = np.random.default_rng(0).integers(0, 9999, (24, 36), np.uint16)
    planes = mosaic.pack(pixels)
    assert planes.shape == (mosaic.channels, 24 // mosaic.block, 36 // mosaic.block)
    np.testing.assert_array_equal(mosaic.unpack(planes), pixels)


@pytest.mark.parametrize("mosaic", MOSAICS, ids=_named)
def test_every_channel_has_one_colour(mosaic):
    planes = mosaic.pack(np.tile(mosaic.pattern, (2, 2)))
    colours = planes.reshape(mosaic.channels, -1)
    assert (colours == colours[:, :1]).all()
    assert colours[:, 0].tolist() == [colour for colour, _ in mosaic.order]


@pytest.mark.parametrize("mosaic", MOSAICS, ids=_named)
def test_every_phase_is_brought_to_the_same(mosaic):
    whole = np.tile(mosaic.pattern, (4, 4))
    for top, left in np.ndindex(mosaic.period, mosaic.period):
        colours = whole[top : top + 13, left : left + 11]
        frame = VisibleArea.of(mosaic, colours, *colours.shape)
        filled = frame.extend(colours, mosaic.period)
        assert not any(side % mosaic.period for side in filled.shape)
        np.testing.assert_array_equal(filled, whole[: filled.shape[0], : filled.shape[1]])
        np.testing.assert_array_equal(frame.crop(filled[:, :, None])[:, :, 0], colours)


def test_another_pattern_is_refused():
    with pytest.raises(InputError, match="its colours RG/GR are not a pattern of Bayer"):
        BAYER.offset(np.array([[0, 1], [1, 0]]))
    assert not X_TRANS.matches(np.tile(BAYER.pattern, (3, 3)))
    assert BAYER.matches(np.array([[1, 2, 1], [0, 1, 0]]))


@pytest.mark.parametrize("mosaic", MOSAICS, ids=_named)
@pytest.mark.parametrize("blocks", [(4, 6), (5, 3)])
def test_demosaicing_gives_flat_colours_back(mosaic, blocks):
    planes = np.array([[0.2, 0.5, 0.9][colour] for colour, _ in mosaic.order], np.float32)
    rgb = mosaic.demosaic(np.broadcast_to(planes[:, None, None], (len(planes), *blocks)))
    assert rgb.shape == (mosaic.block * blocks[0], mosaic.block * blocks[1], 3)
    np.testing.assert_allclose(rgb, np.broadcast_to([0.2, 0.5, 0.9], rgb.shape), atol=1e-6)


def test_demosaicing_weighs_by_a_tent():
    """One green pixel is lit: 1 of 1 + 4/4 at its place, 1/2 of 4/2 at its red neighbour's."""
    mosaic = np.zeros((8, 8), np.float32)
    mosaic[4, 5] = 1
    rgb = BAYER.demosaic(BAYER.pack(mosaic))
    assert rgb[4, 5].tolist() == [0, 0.5, 0]
    assert rgb[4, 4].tolist() == [0, 0.25, 0]
    assert rgb[4, 3].tolist() == [0, 0, 0]
