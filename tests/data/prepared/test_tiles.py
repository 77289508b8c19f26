"""Overlapping tiles of large images."""

import numpy as np
import pytest

from ms_restore.data.image_source import Tile
from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.images.resize import mirror
from tests.fixtures.pictures import noise


@pytest.mark.parametrize("grid", [TileGrid(24, 4, 48), TileGrid(24, 6, 24), TileGrid(12, 30, 12)])
def test_every_patch_with_its_margin_lies_in_one_tile(grid):
    """Exhaustive: every length, every start, the margin mirrored at the ends."""
    for length in range(grid.patch, 6 * grid.stride):
        assert grid.count(length) >= 1
        for start in range(length - grid.patch + 1):
            first, end = grid.span(length, grid.tile_of(length, start))
            needed = np.arange(start - grid.margin, start + grid.patch + grid.margin)
            needed = mirror(needed, length)
            assert first <= needed.min()
            assert needed.max() < end
            assert end - first <= grid.largest_side()


@pytest.mark.parametrize("length", [1, 23, 24, 71, 72, 73, 119, 120, 121, 500])
def test_tiles_cover_the_side(length):
    spans = TileGrid(24, 4, 48).spans(length)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(later[0] <= earlier[1] for earlier, later in zip(spans, spans[1:]))


def test_cut_is_the_patch_of_the_mirrored_image():
    image = noise(20, 31, 3)
    padded = np.pad(image, ((5, 5), (5, 5), (0, 0)), mode="symmetric")
    for top, left in [(0, 0), (12, 23), (4, 9)]:
        expected = padded[top : top + 18, left : left + 18]
        np.testing.assert_array_equal(Tile(image).cut(top, left, 8, 5, (20, 31)), expected)
    part = Tile(image[3:, 7:], 3, 7)
    expected = padded[12 : 12 + 14, 20 : 20 + 14]
    np.testing.assert_array_equal(part.cut(10, 18, 8, 3, (20, 31)), expected[0:14, 0:14])
