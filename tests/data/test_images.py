import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from ms_restore.data.images import (
    Picture,
    check_output,
    from_float,
    list_pictures,
    read_picture,
    to_channels,
    to_float,
    write_picture,
)
from ms_restore.errors import InputError

SIZES = [(1, 1), (7, 5), (16, 33)]
UPRIGHT_BY_6 = -1  # EXIF orientation 6: the stored rows have to be turned by 90 degrees clockwise


def noise(*shape, dtype=np.uint8):
    rng = np.random.default_rng(sum(shape))
    return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def smooth(height, width, channels):
    rows, columns, phase = np.ogrid[:height, :width, :channels]
    return np.round(120 + 60 * np.sin(rows / 9 + phase) + 50 * np.cos(columns / 11)).astype(
        np.uint8
    )


def png_bytes(pixels, chunks=()):
    """A PNG made by hand, of (H, W, 1 to 4) pixels, so that no library vouches for itself."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width, channels = pixels.shape
    depth = 8 * pixels.dtype.itemsize
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(f">u{pixels.dtype.itemsize}").tobytes() for row in pixels)
    extra = b"".join(chunk(kind, body) for kind, body in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def assert_refused_by_name(path, *words):
    """InputError that names the file, and names it once."""
    with pytest.raises(InputError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.count(str(path)) == 1
    assert "\n" not in message
    for word in words:
        assert word in message.replace(str(path), "")  # pytest names folders after tests


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


# What files come as: palettes, 1 bit, CMYK, orientation, colour profiles


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
    cmyk_jpeg(tmp_path / "print.jpg", icc_profile=b"inks of some press")
    assert read_picture(tmp_path / "print.jpg").icc_profile is None


def test_profile_is_kept_for_8_bit(tmp_path):
    profile = b"any bytes will do"
    PIL.Image.fromarray(smooth(16, 16, 3)).save(tmp_path / "in.jpg", icc_profile=profile)
    picture = read_picture(tmp_path / "in.jpg")
    assert picture.icc_profile == profile
    for name in ("out.png", "out.jpg", "out.tif", "out.webp"):
        write_picture(tmp_path / name, picture)
        assert read_picture(tmp_path / name).icc_profile == profile


def test_no_profile_stays_none(tmp_path):
    write_picture(tmp_path / "picture.png", Picture(noise(7, 5, 3)))
    assert read_picture(tmp_path / "picture.png").icc_profile is None


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


# Files that are not whole, or no images


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("suffix", "channels", "dtype"),
    [
        (".png", 1, np.uint8),
        (".png", 3, np.uint8),
        (".png", 1, np.uint16),
        (".png", 3, np.uint16),
        (".jpg", 1, np.uint8),
        (".jpg", 3, np.uint8),
        (".webp", 3, np.uint8),
        (".bmp", 3, np.uint8),
        (".tif", 1, np.uint8),
        (".tif", 3, np.uint8),
        (".tif", 1, np.uint16),
        (".tif", 3, np.uint16),
    ],
)
def test_truncated_file_is_named(tmp_path, suffix, channels, dtype, share):
    path = tmp_path / f"cut{suffix}"
    write_picture(path, Picture(noise(40, 30, channels, dtype=dtype)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert_refused_by_name(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_truncated_tiff_with_its_header_first_is_named(tmp_path, channels, dtype, compression):
    path = tmp_path / "cut.tif"
    stored = noise(40, 30, channels, dtype=dtype)
    tifffile.imwrite(
        path,
        stored[:, :, 0] if channels == 1 else stored,
        photometric="minisblack" if channels == 1 else "rgb",
        compression=compression,
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert_refused_by_name(path, "truncated")


def test_truncated_16_bit_png_of_other_programs_is_named(tmp_path):
    whole = png_bytes(noise(40, 30, 4, dtype=np.uint16))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert_refused_by_name(tmp_path / "cut.png", "truncated")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_text_with_the_suffix_of_an_image_is_named(tmp_path, suffix):
    (tmp_path / f"notes{suffix}").write_text("no image at all\n" * 20)
    assert_refused_by_name(tmp_path / f"notes{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_empty_file_is_named(tmp_path, suffix):
    (tmp_path / f"empty{suffix}").touch()
    assert_refused_by_name(tmp_path / f"empty{suffix}")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_tiff_is_refused(tmp_path, dtype, channels):
    path = tmp_path / "float.tif"
    values = np.random.default_rng(0).random((7, 5, channels)).astype(dtype)
    tifffile.imwrite(
        path,
        values[:, :, 0] if channels == 1 else values,
        photometric="minisblack" if channels == 1 else "rgb",
    )
    assert_refused_by_name(path, "8 or 16 bit")


def test_16_bit_cmyk_is_refused(tmp_path):
    tifffile.imwrite(
        tmp_path / "print.tif", noise(7, 5, 4, dtype=np.uint16), photometric="separated"
    )
    assert_refused_by_name(tmp_path / "print.tif")


def test_missing_file_is_named(tmp_path):
    assert_refused_by_name(tmp_path / "absent.png", "no such file")


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"folder\.png"):
        read_picture(tmp_path / "folder.png")


# Writing


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".JPG"])
def test_16_bit_needs_png_or_tiff(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    picture = Picture(noise(4, 4, 3, dtype=np.uint16))
    for refuses in (check_output, write_picture):
        with pytest.raises(InputError, match=r"cannot hold 16 bit; use \.png or \.tif") as caught:
            refuses(path, picture)
        assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".bmp", ".ppm", ".BMP"])
def test_alpha_needs_a_format_that_holds_it(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    picture = Picture(noise(4, 4, 3), noise(4, 4))
    for refuses in (check_output, write_picture):
        with pytest.raises(InputError, match="cannot hold transparency") as caught:
            refuses(path, picture)
        assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.npy", "out.gif", "out.pgm"])
def test_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"is not an output format; use \.png"):
        check_output(tmp_path / name, Picture(noise(4, 4, 3)))


@pytest.mark.parametrize(
    ("name", "dtype", "alpha"),
    [
        ("a.png", np.uint8, True),
        ("a.webp", np.uint8, True),
        ("a.tif", np.uint16, True),
        ("a.TIFF", np.uint16, False),
        ("a.JPG", np.uint8, False),
        ("a.bmp", np.uint8, False),
    ],
)
def test_what_a_format_holds_is_accepted(tmp_path, name, dtype, alpha):
    picture = Picture(noise(4, 4, 3, dtype=dtype), noise(4, 4, dtype=dtype) if alpha else None)
    check_output(tmp_path / name, picture)


def test_writing_makes_folders_and_leaves_one_file(tmp_path):
    path = tmp_path / "new" / "deeper" / "picture.png"
    write_picture(path, Picture(noise(7, 5, 3)))
    write_picture(path, Picture(noise(9, 5, 3)))
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]
    assert read_picture(path).pixels.shape == (9, 5, 3)


def test_who_reads_the_old_file_is_not_disturbed(tmp_path):
    """The new file takes the old one's name; the old one is not written into."""
    path = tmp_path / "picture.png"
    path.write_bytes(b"the old file")
    with path.open("rb") as reader:
        write_picture(path, Picture(noise(7, 5, 3)))
        assert reader.read() == b"the old file"
    assert read_picture(path).pixels.shape == (7, 5, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_folder_in_place_of_the_target_stays(tmp_path, dtype):
    target = tmp_path / "out.png"
    target.mkdir()
    (target / "kept.txt").write_text("kept")
    with pytest.raises(InputError, match=r"out\.png: cannot be written"):
        write_picture(target, Picture(noise(7, 5, 3, dtype=dtype)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]
    assert (target / "kept.txt").read_text() == "kept"


def test_file_in_place_of_the_folder_stays(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        write_picture(tmp_path / "results" / "out.png", Picture(noise(7, 5, 3)))
    assert (tmp_path / "results").read_text() == "a file"


@pytest.mark.parametrize(
    ("name", "pixels", "alpha"),
    [
        ("wide.jpg", (1, 66000, 1), None),  # JPEG ends at 65535 pixels a side
        ("wide.webp", (1, 16400, 1), None),  # WebP at 16383
    ],
)
def test_old_file_is_intact_where_encoding_fails(tmp_path, name, pixels, alpha, capfd):
    path = tmp_path / name
    path.write_bytes(b"the old file")
    with pytest.raises(InputError, match=f"{name}: .*written"):
        write_picture(path, Picture(np.zeros(pixels, np.uint8), alpha))
    assert path.read_bytes() == b"the old file"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


# Folders


def test_pictures_are_listed_by_name(tmp_path):
    for name in ("b.png", "a.JPG", "c.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_pictures(tmp_path)] == ["a.JPG", "b.png", "c.tiff"]


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="absent: no such folder"):
        list_pictures(tmp_path / "absent")


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.png: not a folder; expected a folder of images"):
        list_pictures(tmp_path / "a.png")


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="it is empty"):
        list_pictures(tmp_path)


def test_folder_without_images_says_what_it_holds(tmp_path):
    for name in ("notes.txt", "weights.ckpt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"no image .*it holds notes\.txt, weights\.ckpt"):
        list_pictures(tmp_path)


def test_subfolders_with_images_are_named(tmp_path):
    for name in ("HR", "LR", "text"):
        (tmp_path / name).mkdir()
    (tmp_path / "HR" / "a.png").touch()
    (tmp_path / "LR" / "a.png").touch()
    (tmp_path / "text" / "a.txt").touch()
    with pytest.raises(InputError) as caught:
        list_pictures(tmp_path)
    assert "its subfolders HR, LR hold some: name one of them" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


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


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("profile", [None, b"any bytes will do"])
def test_large_png_is_written_without_a_copy_and_reads_the_same(
    tmp_path, monkeypatch, channels, profile
):
    monkeypatch.setattr("ms_restore.data.images._LARGE", 0)
    pixels, alpha = noise(9, 6, min(channels, 3)), noise(9, 6) if channels == 4 else None
    before = pixels.copy()
    write_picture(tmp_path / "large.png", Picture(pixels, alpha, profile))
    picture = read_picture(tmp_path / "large.png")
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(picture.pixels, before)
    assert (picture.alpha is None) == (alpha is None)
    assert picture.icc_profile == profile
    assert [path.name for path in tmp_path.iterdir()] == ["large.png"]
