"""What is written, what a format cannot hold, and that files stay where writing fails."""

import struct
import zlib

import numpy as np
import pytest

from ms_restore.errors import InputError
from ms_restore.images.picture import Embedded, Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import check_output, write_picture
from tests.fixtures.pictures import noise, srgb_profile


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


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("width", [1, 300])
def test_large_png_is_compressed_in_strips_and_reads_the_same(
    tmp_path, monkeypatch, channels, dtype, width
):
    monkeypatch.setattr("ms_restore.images.writing._LARGE", 0)
    monkeypatch.setattr("ms_restore.images.large_png._STRIP", 4000)
    monkeypatch.setattr("ms_restore.images.large_png._GROUP", 1)
    coloured = channels > 2
    pixels = noise(99, width, 3 if coloured else 1, dtype=dtype)
    alpha = noise(99, width, dtype=dtype) if channels in (2, 4) else None
    before = pixels.copy()
    profile = srgb_profile() if coloured and width > 1 else None
    path = tmp_path / "large.png"
    write_picture(path, Picture(pixels, alpha, Embedded(profile)))
    picture = read_picture(path)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(picture.pixels, before)
    assert (picture.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(picture.alpha, alpha)
    assert picture.embedded.icc_profile == profile
    assert [entry.name for entry in tmp_path.iterdir()] == ["large.png"]
    stream = b"".join(body for kind, body in chunks(path) if kind == b"IDAT")
    assert len(zlib.decompress(stream)) == 99 * (1 + width * channels * pixels.itemsize)


def chunks(path):
    """The chunks of a PNG, each with its check."""
    data, at = path.read_bytes(), 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        yield kind, body
        at += 12 + length
