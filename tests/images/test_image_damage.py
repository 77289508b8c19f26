"""Files that are not whole, or no images."""

import numpy as np
import pytest
import tifffile

from ms_restore.errors import InputError
from ms_restore.images import decoding
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from tests.fixtures.pictures import noise, png_bytes


def assert_refused_by_name(path, *words):
    """InputError that names the file, and names it once."""
    with pytest.raises(InputError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.count(str(path)) == 1
    assert "\n" not in message
    for word in words:
        assert word in message.replace(str(path), "")  # pytest names folders after tests


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
    assert_refused_by_name(path, f"{8 * dtype().nbytes} bit floating-point", "8 or 16 bit")


@pytest.mark.parametrize("options", [{"bigtiff": True}, {"byteorder": ">"}])
def test_tiff_that_pillow_does_not_open_is_named_by_its_layout(tmp_path, options):
    pixels = noise(7, 5, 5, dtype=np.uint16)
    extra = ["unassalpha", "unspecified"]
    path = tmp_path / "five.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=extra, **options)
    assert_refused_by_name(path, "16 bit unsigned, 5 samples")


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


def test_decoders_write_nothing_of_their_own(tmp_path, capfd):
    """Odd tags and data that is cut: what libtiff talks about."""
    for bits, compression in ((8, "zlib"), (16, None), (16, "zlib")):
        path = tmp_path / f"{bits}{compression}.tif"
        extra = [(65000, "H", 1, 5, True), (65001, "s", 0, "text", True)]
        stored = noise(40, 30, 3, dtype=np.uint8 if bits == 8 else np.uint16)
        tifffile.imwrite(path, stored, compression=compression, extratags=extra)
        read_picture(path)
        whole = path.read_bytes()
        for share in (0.3, 0.6, 0.97):
            path.write_bytes(whole[: int(share * len(whole))])
            assert_refused_by_name(path)
    assert capfd.readouterr().err == ""


def test_opencv_gets_a_png_with_an_end():
    """Where the last chunk is longer than the file, OpenCV waits for the rest for ever."""
    whole = png_bytes(noise(9, 7, 3, dtype=np.uint16))
    text = b"\0\0\0\3tEXta\0b1234"
    for end in (b"\0\0\5\0IDATcut", b"\xff\xff\xff\xffIEND", text, b""):
        assert decoding._plain(whole[:-12] + end) == whole
    assert decoding._plain(whole) == whole
