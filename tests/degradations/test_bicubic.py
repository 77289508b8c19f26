from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ms_restore.data import photos
from ms_restore.degradations.bicubic import BicubicDownsample
from ms_restore.images.resize import imresize, mirror, resize_matrix, round_to_dtype
from ms_restore.metrics.quality import luma, psnr, ssim

SET5 = Path(__file__).parents[2].parent / "shared/reference/set5"

# Keys' kernel with a = -0.5 is 1.5 t^3 - 2.5 t^2 + 1 up to t = 1 and -0.5 t^3 + 2.5 t^2 - 4 t + 2
# up to t = 2, so k(1/4) = 111/128, k(3/4) = 29/128, k(5/4) = -9/128, k(7/4) = -3/128.
#
# Halving: the centre of output i is 2 i + 1/2, half a pixel off its neighbours, and the kernel is
# stretched to twice its width: t = 1/4, 3/4, 5/4, 7/4 on each side, and the sum is 2. So the
# weights are (-3, -9, 29, 111, 111, 29, -9, -3) / 256. On 4 pixels, output 0 takes pixels
# -3 to 4, which mirror to 2, 1, 0, 0, 1, 2, 3, 3:
#   pixel 0: 29 + 111 = 140, pixel 1: -9 + 111 = 102, pixel 2: -3 + 29 = 26, pixel 3: -9 - 3 = -12
HALF = np.array([[140, 102, 26, -12], [-12, 26, 102, 140]]) / 256


def noise(*shape, dtype=np.uint8):
    rng = np.random.default_rng(sum(shape))
    if np.issubdtype(dtype, np.floating):
        return rng.random(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def half_up(values):
    return np.clip(np.floor(values + 0.5), 0, 255)


# Against published figures


@pytest.mark.skipif(not SET5.is_dir(), reason=f"the reference images of Set5 are not at {SET5}")
@pytest.mark.parametrize(
    ("scale", "published_psnr", "published_ssim"),
    [(2, "33.66", "0.9299"), (3, "30.39", "0.8682"), (4, "28.42", "0.8104")],
)
def test_set5_scores_as_published(scale, published_psnr, published_ssim):
    """Bicubic on Set5 as printed in the tables of SRCNN (Dong et al.) and all that followed."""
    figures = []
    for path in sorted(SET5.glob("*.bmp")):
        rgb = np.asarray(PIL.Image.open(path).convert("RGB"))
        x = np.round(luma(rgb))
        height, width = (side - side % scale for side in x.shape)
        x = x[:height, :width]
        y = imresize(x, height // scale, width // scale)
        x_hat = half_up(imresize(y, height, width))
        inside = (slice(scale, -scale), slice(scale, -scale))
        figures.append((psnr(x_hat[inside], x[inside]), ssim(x_hat[inside], x[inside])))
    assert len(figures) == 5
    mean_psnr, mean_ssim = np.mean(figures, axis=0)
    assert f"{mean_psnr:.2f}" == published_psnr
    assert f"{mean_ssim:.4f}" == published_ssim


# By hand


def test_halving_by_hand():
    np.testing.assert_allclose(resize_matrix(4, 2).toarray(), HALF, atol=1e-15)
    middle = resize_matrix(16, 8).toarray()[4]  # centre 8.5, pixels 5 to 12
    expected = np.zeros(16)
    expected[5:13] = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    np.testing.assert_allclose(middle, expected, atol=1e-15)


def test_halving_a_line_by_hand():
    # (140 * 10 + 102 * 20 + 26 * 30 - 12 * 40) / 256 = 3740 / 256 = 14.609375, and
    # (-12 * 10 + 26 * 20 + 102 * 30 + 140 * 40) / 256 = 9060 / 256 = 35.390625
    line = np.array([[10.0, 20.0, 30.0, 40.0]])
    np.testing.assert_allclose(imresize(line, 1, 2), [[14.609375, 35.390625]], atol=1e-12)
    assert imresize(line.astype(np.uint8), 1, 2).tolist() == [[15, 35]]


def test_doubling_by_hand():
    # The centre of output 2 is 2.5 / 2 - 0.5 = 0.75: t = 7/4, 3/4, 1/4, 5/4 from pixels -1 to 2,
    # and pixel -1 is pixel 0. Output 0 at -0.25: pixels -2 to 1, t = 7/4, 3/4, 1/4, 5/4.
    matrix = resize_matrix(4, 8).toarray() * 128
    np.testing.assert_allclose(matrix[2], [-3 + 29, 111, -9, 0], atol=1e-12)
    np.testing.assert_allclose(matrix[0], [29 + 111, -3 - 9, 0, 0], atol=1e-12)
    np.testing.assert_allclose(matrix[3], [-9, 111, 29, -3], atol=1e-12)


@pytest.mark.parametrize("new_length", [1, 2, 3, 5, 7, 12, 24, 25, 100])
@pytest.mark.parametrize("length", [1, 2, 5, 24, 49])
def test_weights_sum_to_one(length, new_length):
    matrix = resize_matrix(length, new_length)
    assert matrix.shape == (new_length, length)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-14)


def test_scale_of_a_rounded_length_is_kept():
    """MATLAB's imresize(x, 0.4) of 24 pixels gives 10, 2.5 pixels apart and not 2.4."""
    line = np.arange(24.0)
    assert (resize_matrix(24, 10, 0.4) @ line)[5] == pytest.approx(5.5 * 2.5 - 0.5, abs=0.1)
    assert (resize_matrix(24, 10) @ line)[5] == pytest.approx(5.5 * 2.4 - 0.5, abs=0.1)


def test_mirror_repeats_the_edge():
    expected = [3, 3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0, 1]
    assert mirror(np.arange(-5, 10), 4).tolist() == expected
    assert mirror(np.arange(-2, 3), 1).tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("size", [(12, 8), (5, 7), (1, 1)])
def test_resizing_mirrors_beyond_the_border(size):
    """Equals the inside of the image that is extended by its mirror image."""
    image = noise(*size, dtype=np.float64)
    rows, columns = (mirror(np.arange(-2 * side, 3 * side), side) for side in size)
    extended = image[rows[:, None], columns]
    height, width = 2 * size[0], 2 * size[1]
    whole = imresize(extended, 5 * height, 5 * width)
    inside = whole[2 * height : 3 * height, 2 * width : 3 * width]
    np.testing.assert_allclose(imresize(image, height, width), inside, atol=1e-12)


# Laws


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("size", [(5, 3), (30, 26), (11, 13), (1, 1)])
def test_constant_stays_constant(size, dtype):
    image = np.full((11, 13, 3), 201, dtype)
    np.testing.assert_allclose(imresize(image, *size), np.full((*size, 3), 201), rtol=1e-6)


@pytest.mark.parametrize("shape", [(12, 8), (12, 8, 1), (12, 8, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_dtype_and_dimensions_are_kept(dtype, shape):
    small = imresize(noise(*shape, dtype=dtype), 6, 5)
    assert small.dtype == dtype
    assert small.shape == (6, 5, *shape[2:])
    assert small.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_own_size_is_untouched(dtype):
    image = noise(7, 5, 3, dtype=dtype)
    np.testing.assert_array_equal(imresize(image, 7, 5), image)


@pytest.mark.parametrize("size", [(6, 4), (4, 2), (3, 4), (24, 16), (7, 16)])
def test_channels_are_independent(size):
    image = noise(12, 8, 3)
    together = imresize(image, *size)
    for channel in range(3):
        np.testing.assert_array_equal(
            together[:, :, channel], imresize(image[:, :, channel], *size)
        )


@pytest.mark.parametrize("factor", [(1, 2), (1, 3), (2, 1), (3, 2)])
def test_transposing_transposes(factor):
    image = noise(18, 12, dtype=np.float64)
    height, width = 18 * factor[0] // factor[1], 12 * factor[0] // factor[1]
    turned = imresize(image.T, width, height)
    np.testing.assert_allclose(turned.T, imresize(image, height, width), atol=1e-12)


@pytest.mark.parametrize("size", [(6, 12), (12, 6), (12, 40), (40, 12), (24, 40), (40, 24)])
def test_direction_that_shrinks_more_comes_first(size):
    image = noise(16, 16)
    rows, columns = (resize_matrix(16, side).toarray() for side in size)
    rows_first = half_up(half_up(rows @ image) @ columns.T)
    columns_first = half_up(rows @ half_up(image @ columns.T))
    assert (rows_first != columns_first).any()  # by the rounding in between
    expected = rows_first if size[0] < size[1] else columns_first
    np.testing.assert_array_equal(imresize(image, *size), expected)


# Rounding


def test_integers_are_rounded_after_each_pass():
    # The rows give (40066, 17182, 34654, 31546; 33150, 25314, 18466, 27974) / 256, rounded
    # (157, 67, 135, 123; 129, 99, 72, 109), and the columns (30848, 30848; 28722, 23630) / 256,
    # of which the upper two are 120.5
    image = np.array(
        [[110, 50, 165, 121], [187, 98, 74, 156], [234, 63, 161, 25], [41, 121, 15, 163]], np.uint8
    )
    np.testing.assert_array_equal(half_up(HALF @ image), [[157, 67, 135, 123], [129, 99, 72, 109]])
    assert imresize(image, 2, 2).tolist() == [[121, 121], [112, 92]]
    assert half_up(HALF @ image @ HALF.T).tolist() == [[120, 121], [112, 92]]  # rounded once
    columns_first = half_up(HALF @ half_up(image @ HALF.T))
    assert columns_first.tolist() == [[120, 121], [113, 92]]


def test_halves_are_rounded_up_and_overshoot_is_clipped():
    # 140 * 96 / 256 = 52.5, and -12 * 96 / 256 is negative
    assert imresize(np.array([[96, 0, 0, 0]], np.uint8), 1, 2).tolist() == [[53, 0]]
    # (140 + 102 + 26) * 255 / 256 is above 255
    assert imresize(np.array([[255, 255, 255, 0]], np.uint8), 1, 2)[0, 0] == 255
    full = np.array([[65535, 65535, 65535, 0]], np.uint16)
    assert imresize(full, 1, 2)[0, 0] == 65535
    overshoot = imresize(full.astype(np.float32), 1, 2)[0]
    assert overshoot[0] == pytest.approx(268 * 65535 / 256)  # floating images are not clipped


def test_as_dtype():
    values = np.array([-3.0, 0.49, 0.5, 1.5, 2.5, 254.5, 300.0])
    assert round_to_dtype(values, np.dtype(np.uint8)).tolist() == [0, 0, 1, 2, 3, 255, 255]
    assert round_to_dtype(values, np.dtype(np.uint8)).dtype == np.uint8
    np.testing.assert_array_equal(round_to_dtype(values, np.dtype(np.float64)), values)


# The degradation


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_degradation_is_imresize(scale):
    degradation = BicubicDownsample(scale=scale)
    assert degradation.scale == scale
    x = noise(12 * scale, 7 * scale, 3)
    y = degradation(x, None)
    np.testing.assert_array_equal(y, imresize(x, 12, 7))
    np.testing.assert_array_equal(degradation.baseline(y), imresize(y, *x.shape[:2]))


def patch_with_margin(image, row, column, size, margin):
    rows = mirror(np.arange(row - margin, row + size + margin), image.shape[0])
    columns = mirror(np.arange(column - margin, column + size + margin), image.shape[1])
    return image[rows[:, None], columns]


@pytest.mark.parametrize("content", ["photo", "noise"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_patches_equal_the_degraded_whole(scale, dtype, content):
    """At every corner, at the sides and inside; exact where the weights are binary fractions."""
    height, width, size = 30 * scale, 40 * scale, 8 * scale
    image = noise(height, width, 3, dtype=dtype)
    if content == "photo":
        levels = np.iinfo(dtype).max // 255
        image = photos.load("chelsea")[100 : 100 + height, 100 : 100 + width].astype(dtype) * levels
    degradation = BicubicDownsample(scale=scale)
    whole = degradation(image, None).astype(int)
    places = [
        (row, column)
        for row in (0, scale, 9 * scale, height - size)
        for column in (0, 2 * scale, 17 * scale, width - size)
    ]
    patches = np.stack([patch_with_margin(image, *p, size, degradation.margin) for p in places])
    y = degradation.patches(np.ascontiguousarray(patches.transpose(0, 3, 1, 2)), [])
    assert y.dtype == dtype
    assert y.shape == (len(places), 3, 8, 8)
    crops = [whole[r // scale :, c // scale :][:8, :8].transpose(2, 0, 1) for r, c in places]
    error = np.abs(y.astype(int) - np.stack(crops))
    if scale == 3:
        assert error.max() <= 1
        assert np.mean(error == 0) > 0.999
    else:
        assert error.max() == 0


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_of_floating_images(scale):
    image = noise(30 * scale, 40 * scale, 1, dtype=np.float32)
    degradation = BicubicDownsample(scale=scale)
    patch = patch_with_margin(image, 9 * scale, 0, 8 * scale, degradation.margin)
    y = degradation.patches(patch.transpose(2, 0, 1)[None], [])
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[0, 0], degradation(image, None)[9:17, :8, 0], atol=1e-6)
