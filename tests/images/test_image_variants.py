"""What files come as: palettes, 1 bit, CMYK, orientation, colour profiles, rare TIFF."""

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from tests.fixtures.pictures import noise, png_bytes, smooth, srgb_profile

UPRIGHT_BY_6 = -1  # EXIF orientation 6: the stored rows have to be turned by 90 degrees clockwise


def test_palette_becomes_rgb(tmp_path):
    indices = noise(7, 5) % 4
    colours = np.array([[0, 0, 0], [255, 0, 0], [10, 20, 30], [255, 255, 255]], np.uint8)
    image = PIL.Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "palette.png")
    with PIL.Image.open(tmp_path / "palette.png") as file:
        assert file.mode == "P"
    picture = read_picture(tmp_path / "palette.png")
    np.testing.assert_array_equal(picture.pixels, colours[indices])
    assert picture.alpha is None


def test_palette_with_transparency_becomes_rgb_and_alpha(tmp_path):
    indices = noise(7, 5) % 4
    colours = np.array([[0, 0, 0], [255, 0, 0], [10, 20, 30], [255, 255, 255]], np.uint8)
    opacity = np.array([255, 0, 128, 255], np.uint8)
    image = PIL.Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "palette.png", transparency=opacity.tobytes())
    picture = read_picture(tmp_path / "palette.png")
    np.testing.assert_array_equal(picture.pixels, colours[indices])
    np.testing.assert_array_equal(picture.alpha, opacity[indices])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_1_bit_becomes_black_and_white(tmp_path, suffix):
    bits = noise(7, 5) > 127
    PIL.Image.fromarray(bits).save(tmp_path / f"bits{suffix}")
    picture = read_picture(tmp_path / f"bits{suffix}")
    assert picture.pixels.dtype == np.uint8
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.where(bits, 255, 0))


def cmyk_jpeg(path, **options):
    """Cyan at the left, yellow at the right."""
    inks = np.zeros((16, 32, 4), np.uint8)
    inks[:, :16, 0] = 255
    inks[:, 16:, 2] = 255
    planes = [PIL.Image.fromarray(inks[:, :, ink]) for ink in range(4)]
    PIL.Image.merge("CMYK", planes).save(path, quality=95, **options)


def test_cmyk_becomes_rgb(tmp_path):
    cmyk_jpeg(tmp_path / "print.jpg")
    picture = read_picture(tmp_path / "print.jpg")
    assert picture.pixels.shape == (16, 32, 3)
    np.testing.assert_allclose(picture.pixels[8, 4], [0, 255, 255], atol=6)
    np.testing.assert_allclose(picture.pixels[8, 28], [255, 255, 0], atol=6)


def test_profile_of_cmyk_does_not_describe_the_rgb(tmp_path):
    inks = bytearray(srgb_profile())
    inks[16:20] = b"CMYK"
    cmyk_jpeg(tmp_path / "print.jpg", icc_profile=bytes(inks))
    assert read_picture(tmp_path / "print.jpg").embedded.icc_profile is None


def test_profile_is_kept_for_8_bit(tmp_path):
    profile = srgb_profile()
    PIL.Image.fromarray(smooth(16, 16, 3)).save(tmp_path / "in.jpg", icc_profile=profile)
    picture = read_picture(tmp_path / "in.jpg")
    assert picture.embedded.icc_profile == profile
    for name in ("out.png", "out.jpg", "out.tif", "out.webp"):
        write_picture(tmp_path / name, picture)
        assert read_picture(tmp_path / name).embedded.icc_profile == profile


def test_no_profile_stays_none(tmp_path):
    write_picture(tmp_path / "picture.png", Picture(noise(7, 5, 3)))
    assert read_picture(tmp_path / "picture.png").embedded.icc_profile is None


def exif_orientation(value):
    exif = PIL.Image.Exif()
    exif[0x0112] = value
    return exif


def test_jpeg_comes_out_upright(tmp_path):
    stored = smooth(24, 40, 3)
    PIL.Image.fromarray(stored).save(tmp_path / "plain.jpg")
    PIL.Image.fromarray(stored).save(tmp_path / "turned.jpg", exif=exif_orientation(6))
    plain, turned = (read_picture(tmp_path / f"{name}.jpg").pixels for name in ("plain", "turned"))
    assert turned.shape == (40, 24, 3)
    np.testing.assert_array_equal(turned, np.rot90(plain, UPRIGHT_BY_6))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_comes_out_upright(tmp_path, channels, dtype, compression):
    stored = noise(7, 5, channels, dtype=dtype)
    tifffile.imwrite(
        tmp_path / "turned.tif",
        stored[:, :, 0] if channels == 1 else stored,
        photometric="minisblack" if channels == 1 else "rgb",
        compression=compression,
        extratags=[(274, "H", 1, 6, True)],
    )
    turned = read_picture(tmp_path / "turned.tif").pixels
    np.testing.assert_array_equal(turned, np.rot90(stored, UPRIGHT_BY_6))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_png_comes_out_upright(tmp_path, samples, dtype):
    stored = noise(7, 5, samples, dtype=dtype)
    body = exif_orientation(6).tobytes().removeprefix(b"Exif\0\0")
    (tmp_path / "turned.png").write_bytes(png_bytes(stored, [(b"eXIf", body)]))
    turned = read_picture(tmp_path / "turned.png")
    colours = np.rot90(stored[:, :, : 3 if samples > 2 else 1], UPRIGHT_BY_6)
    assert turned.pixels.shape[:2] == (5, 7)
    np.testing.assert_array_equal(turned.pixels, np.broadcast_to(colours, turned.pixels.shape))
    if samples in (2, 4):
        np.testing.assert_array_equal(turned.alpha, np.rot90(stored[:, :, -1], UPRIGHT_BY_6))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_by_hand(tmp_path, orientation, dtype):
    """EXIF 2.3: at which sides of the upright picture the stored row 0 and column 0 lie."""
    row_0, column_0 = [
        ("top", "left"),
        ("top", "right"),
        ("bottom", "right"),
        ("bottom", "left"),
        ("left", "top"),
        ("right", "top"),
        ("right", "bottom"),
        ("left", "bottom"),
    ][orientation - 1]
    stored = noise(7, 5, 3, dtype=dtype)
    body = exif_orientation(orientation).tobytes().removeprefix(b"Exif\0\0")
    (tmp_path / "turned.png").write_bytes(png_bytes(stored, [(b"eXIf", body)]))
    upright = read_picture(tmp_path / "turned.png").pixels
    sides = {
        "top": upright[0],
        "bottom": upright[-1],
        "left": upright[:, 0],
        "right": upright[:, -1],
    }
    row, column = sides[row_0], sides[column_0]
    # a side is read from top or from left, so against the stored order where the other is far
    row = row[::-1] if column_0 in ("right", "bottom") else row
    column = column[::-1] if row_0 in ("right", "bottom") else column
    np.testing.assert_array_equal(row, stored[0])
    np.testing.assert_array_equal(column, stored[:, 0])


@pytest.mark.parametrize("white", [1023, 65535])
@pytest.mark.parametrize("text", [False, True])
def test_deep_ppm_keeps_its_depth(tmp_path, white, text):
    pixels = (noise(6, 8, 3, dtype=np.uint16) % (white + 1)).astype(np.uint16)
    words = b" # a note\n".join(b"%d" % value for value in pixels.ravel())
    head = b"P%d\n# made by hand\n8 6 %d\n" % (3 if text else 6, white)
    (tmp_path / "a.ppm").write_bytes(head + (words if text else pixels.astype(">u2").tobytes()))
    read = read_picture(tmp_path / "a.ppm").pixels
    np.testing.assert_array_equal(read, np.round(pixels.astype(float) / white * 65535))
    assert read.dtype == np.uint16


@pytest.mark.parametrize("channels", [3, 4])
def test_deep_jpeg_2000_keeps_its_depth(tmp_path, channels):
    pixels = np.kron(noise(4, 5, channels, dtype=np.uint16), np.ones((16, 16, 1), np.uint16))
    order = [2, 1, 0, 3][:channels]
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    cv2.imwrite(str(tmp_path / "a.jp2"), pixels[:, :, order], lossless)
    picture = read_picture(tmp_path / "a.jp2")
    np.testing.assert_array_equal(picture.samples(), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fourth_sample_of_a_tiff_that_is_not_alpha_is_left(tmp_path, dtype):
    pixels = noise(7, 5, 4, dtype=dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unspecified"])
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, pixels[:, :, :3])
    assert picture.alpha is None


def rare_tiff(kind, path):
    """(pixels, alpha) that the file means, or (None, None) where 16 bit cannot say it."""
    if kind == "gray with alpha, 16 bit":
        stored = noise(7, 5, 2, dtype=np.uint16)
        tifffile.imwrite(
            path,
            stored,
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
        )
        return stored[:, :, :1], stored[:, :, 1]
    if kind == "planar, 16 bit":
        stored = noise(3, 7, 5, dtype=np.uint16)
        tifffile.imwrite(path, stored, photometric="rgb", planarconfig="separate")
        return stored.transpose(1, 2, 0), None
    if kind == "white is zero, 16 bit":
        stored = noise(7, 5, dtype=np.uint16)
        tifffile.imwrite(path, stored, photometric="miniswhite")
        return 65535 - stored[:, :, None], None
    dtype = {"32 bit": np.uint32, "signed 16 bit": np.int16, "signed 8 bit": np.int8}[kind]
    tifffile.imwrite(path, (noise(7, 5, dtype=np.uint16) * 65537).astype(dtype))
    return None, None


@pytest.mark.parametrize(
    "kind",
    [
        "gray with alpha, 16 bit",
        "planar, 16 bit",
        "white is zero, 16 bit",
        "32 bit",
        "signed 16 bit",
        "signed 8 bit",
    ],
)
def test_rare_tiff_is_read_right_or_refused(tmp_path, kind):
    path = tmp_path / "rare.tif"
    pixels, alpha = rare_tiff(kind, path)
    try:
        picture = read_picture(path)
    except InputError as error:
        assert str(path) in str(error)
        return
    assert pixels is not None, "pixels that do not fit were passed off as 8 or 16 bit"
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(pixels, picture.pixels.shape))
    assert (picture.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(picture.alpha, alpha)
