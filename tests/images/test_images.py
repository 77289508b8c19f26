"""Formats that come back as they were written; channels and ranges."""

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from ms_restore.images.arrays import from_float, to_channels, to_float
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from tests.fixtures.pictures import noise, png_bytes, smooth

SIZES = [(1, 1), (7, 5), (16, 33)]


# Round trips


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_8_bit_comes_back(tmp_path, suffix, channels, alpha, size):
    path = tmp_path / f"picture{suffix}"
    picture = Picture(noise(*size, channels), noise(*size) if alpha else None)
    write_picture(path, picture)
    back = read_picture(path)
    assert back.pixels.dtype == np.uint8
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    assert (back.alpha is not None) == alpha
    if alpha:
        np.testing.assert_array_equal(back.alpha, picture.alpha)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_16_bit_comes_back(tmp_path, suffix, channels, alpha, size):
    path = tmp_path / f"picture{suffix}"
    pixels = noise(*size, channels, dtype=np.uint16)
    picture = Picture(pixels, noise(*size, dtype=np.uint16) if alpha else None)
    write_picture(path, picture)
    back = read_picture(path)
    assert back.pixels.dtype == np.uint16
    if channels == 1 and alpha:  # written as RGBA: OpenCV knows no gray with alpha
        pixels = np.repeat(pixels, 3, axis=2)
    np.testing.assert_array_equal(back.pixels, pixels)
    assert (back.alpha is not None) == alpha
    if alpha:
        assert back.alpha.dtype == np.uint16
        np.testing.assert_array_equal(back.alpha, picture.alpha)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".BMP", ".PNG"])
def test_other_lossless_formats_come_back(tmp_path, suffix, channels):
    path = tmp_path / f"picture{suffix}"
    picture = Picture(noise(7, 5, channels))
    write_picture(path, picture)
    back = read_picture(path)
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    assert back.alpha is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_come_back_nearly(tmp_path, suffix, channels):
    path = tmp_path / f"picture{suffix}"
    picture = Picture(smooth(33, 47, channels))
    write_picture(path, picture)
    back = read_picture(path)
    assert back.alpha is None
    error = to_channels(back.pixels, channels).astype(int) - picture.pixels
    assert np.abs(error).mean() < 2  # Pillow's own quality of 75 or 80 is worse on these
    if suffix != ".webp":
        assert back.pixels.shape == picture.pixels.shape


def test_webp_keeps_alpha(tmp_path):
    alpha = np.repeat(np.array([[0, 255]], np.uint8), 16, axis=0).repeat(8, axis=1)
    write_picture(tmp_path / "a.webp", Picture(smooth(16, 16, 3), alpha))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.webp").alpha, alpha)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_reads_png_of_other_programs(tmp_path, samples, dtype):
    stored = noise(7, 5, samples, dtype=dtype)
    path = tmp_path / "picture.png"
    path.write_bytes(png_bytes(stored))
    picture = read_picture(path)
    colours = stored[:, :, : 3 if samples > 2 else 1]
    assert picture.pixels.dtype == dtype
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(colours, picture.pixels.shape))
    if samples in (2, 4):
        np.testing.assert_array_equal(picture.alpha, stored[:, :, -1])
    else:
        assert picture.alpha is None


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3, 4])
def test_reads_tiff_of_other_programs(tmp_path, samples, dtype, compression, byteorder):
    stored = noise(7, 5, samples, dtype=dtype)
    path = tmp_path / "picture.tif"
    if samples == 1:
        options = {"photometric": "minisblack"}
    else:
        options = {"photometric": "rgb", "extrasamples": ["unassalpha"] * (samples - 3)}
    tifffile.imwrite(
        path,
        np.squeeze(stored, 2) if samples == 1 else stored,
        compression=compression,
        byteorder=byteorder,
        **options,
    )
    picture = read_picture(path)
    assert picture.pixels.dtype == dtype
    np.testing.assert_array_equal(picture.pixels, stored[:, :, :3])
    if samples == 4:
        np.testing.assert_array_equal(picture.alpha, stored[:, :, 3])
    else:
        assert picture.alpha is None


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_programs_read_our_colours_in_order(tmp_path, dtype, alpha):
    picture = Picture(noise(7, 5, 3, dtype=dtype), noise(7, 5, dtype=dtype) if alpha else None)
    expected = np.dstack([picture.pixels, picture.alpha]) if alpha else picture.pixels
    write_picture(tmp_path / "picture.tif", picture)
    with PIL.Image.open(tmp_path / "picture.tif") as file:  # cuts 16 bit colours to 8
        high_bytes = expected >> (8 * (expected.dtype.itemsize - 1))
        np.testing.assert_array_equal(np.asarray(file), high_bytes)
    write_picture(tmp_path / "picture.png", picture)
    decoded = cv2.imread(str(tmp_path / "picture.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[:, :, [2, 1, 0, 3][: decoded.shape[2]]], expected)


# Channels and ranges


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_is_replicated(dtype):
    gray = noise(7, 5, 1, dtype=dtype)
    rgb = to_channels(gray, 3)
    assert rgb.dtype == dtype
    np.testing.assert_array_equal(rgb, np.dstack([gray] * 3))


def test_luma_by_hand():
    unit = 255 * np.eye(3, dtype=np.uint8)[None]  # red, green, blue
    # 0.299 * 255 = 76.245, 0.587 * 255 = 149.685, 0.114 * 255 = 29.07
    np.testing.assert_array_equal(to_channels(unit, 1)[0, :, 0], [76, 150, 29])
    unit16 = 65535 * np.eye(3, dtype=np.uint16)[None]
    # 19594.965, 38469.045, 7470.99
    np.testing.assert_array_equal(to_channels(unit16, 1)[0, :, 0], [19595, 38469, 7471])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_luma_of_gray_is_the_gray(dtype):
    gray = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 1, 1)
    back = to_channels(to_channels(gray, 3), 1)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, gray)


@pytest.mark.parametrize("channels", [1, 3])
def test_matching_channels_are_untouched(channels):
    pixels = noise(7, 5, channels)
    np.testing.assert_array_equal(to_channels(pixels, channels), pixels)


def test_float_values():
    assert to_float(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert to_float(np.array([0, 13107, 65535], np.uint16)).tolist() == pytest.approx([0, 0.2, 1])
    assert to_float(np.array([1], np.uint16)).dtype == np.float32
    double = to_float(np.array([0.25, 1.5]))
    assert double.dtype == np.float32
    assert double.tolist() == [0.25, 1.5]


def test_integers_are_rounded_and_clipped():
    values = np.array([-0.3, 0.0, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, 0.2, 1.0, 1.7], np.float32)
    np.testing.assert_array_equal(from_float(values, np.uint8), [0, 0, 0, 1, 51, 255, 255])
    values = np.array([-1.0, 1.4 / 65535, 1.6 / 65535, 0.2, 1.0, 2.0], np.float32)
    np.testing.assert_array_equal(from_float(values, np.uint16), [0, 1, 2, 13107, 65535, 65535])
    assert from_float(values, np.uint16).dtype == np.uint16


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_survives_floats(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    np.testing.assert_array_equal(from_float(to_float(levels), dtype), levels)
