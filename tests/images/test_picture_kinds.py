"""Depth, transparency, profile, frames and embedded data: one answer for every format."""

import struct
import zlib

import numpy as np
import PIL.Image
import PIL.TiffImagePlugin
import pytest
import tifffile
from PIL.ExifTags import IFD, Base

from ms_restore import limits
from ms_restore.errors import InputError
from ms_restore.images.picture import Embedded, Picture, PictureSequence
from ms_restore.images.reading import is_document, read_picture, read_pictures
from ms_restore.images.transparency import bleed_colours
from ms_restore.images.writing import fitting, write_picture, write_pictures
from tests.fixtures.pictures import noise, png_bytes, smooth, srgb_profile

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


def exif_block():
    """Orientation 6, a maker, an exposure, the size of the stored pixels, and a place."""
    exif = PIL.Image.Exif()
    exif[Base.Make] = "Maker"
    exif[Base.Orientation] = 6
    exif[IFD.Exif] = {
        Base.ExposureTime: PIL.TiffImagePlugin.IFDRational(1, 50),
        Base.ExifImageWidth: 40,
    }
    exif[IFD.GPSInfo] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return exif.tobytes()


def tags_of(block):
    exif = PIL.Image.Exif()
    exif.load(block)
    own = {tag: value for tag, value in exif.items() if tag not in (IFD.Exif, IFD.GPSInfo)}
    return own, dict(exif.get_ifd(IFD.Exif)), dict(exif.get_ifd(IFD.GPSInfo))


@pytest.fixture
def photo(tmp_path):
    """A photograph's file of a turned camera, with everything that a camera embeds."""
    path = tmp_path / "photo.jpg"
    options = {"exif": exif_block(), "icc_profile": srgb_profile(), "dpi": (300, 300), "xmp": XMP}
    PIL.Image.fromarray(smooth(24, 40, 3)).save(path, quality=95, **options)
    return read_picture(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_what_is_embedded_goes_through_every_format(photo, tmp_path, suffix, dtype):
    if dtype == np.uint16 and suffix not in (".png", ".tif"):
        pytest.skip("of 8 bit alone")
    pixels = photo.pixels.astype(dtype) * (257 if dtype == np.uint16 else 1)
    write_picture(tmp_path / f"out{suffix}", Picture(pixels, embedded=photo.embedded))
    read = read_picture(tmp_path / f"out{suffix}").embedded
    assert read.icc_profile == srgb_profile()
    own, camera, place = tags_of(read.exif)
    assert own == {Base.Make: "Maker"}
    assert camera == {Base.ExposureTime: pytest.approx(0.02)}
    assert place == {1: "N", 2: (1.0, 2.0, 3.0)}
    assert read.xmp == XMP.replace(b'"6"', b'"1"')
    if suffix != ".webp":
        assert read.dpi == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_text_of_exif_keeps_its_bytes(tmp_path, suffix):
    """UTF-8, which cameras and programs write, and Latin-1: neither becomes question marks."""
    names = {Base.Artist: "Jürgen 李".encode(), Base.Copyright: "© Zoë".encode("latin-1")}
    exif = PIL.Image.Exif()
    exif.update({tag: "#" * len(name) + f"{tag}" for tag, name in names.items()})
    exif[IFD.Exif] = {Base.CameraOwnerName: "Ren~"}
    block = exif.tobytes().replace(b"Ren~", b"Ren\xe9")
    for tag, name in names.items():
        block = block.replace(b"#" * len(name) + b"%d" % tag, name + b"%d" % tag)
    PIL.Image.fromarray(smooth(24, 40, 3)).save(tmp_path / "a.jpg", exif=block)
    write_picture(tmp_path / f"b{suffix}", read_picture(tmp_path / "a.jpg"))
    own, inner, _ = tags_of(read_picture(tmp_path / f"b{suffix}").embedded.exif)
    for tag, name in names.items():
        assert own[tag].encode("latin-1") == name + b"%d" % tag
    assert inner[Base.CameraOwnerName] == "René"


def test_orientation_is_reset_where_the_pixels_are_turned(photo, tmp_path):
    assert photo.pixels.shape == (40, 24, 3)
    write_picture(tmp_path / "out.jpg", photo)
    with PIL.Image.open(tmp_path / "out.jpg") as file:
        assert file.size == (24, 40)
        assert file.getexif().get(Base.Orientation, 1) == 1


def test_profile_of_other_pixels_is_not_attached(tmp_path):
    lab = bytearray(srgb_profile())
    lab[16:20] = b"Lab "
    PIL.Image.fromarray(smooth(9, 9, 3)).save(tmp_path / "a.png", icc_profile=bytes(lab))
    assert read_picture(tmp_path / "a.png").embedded.icc_profile is None
    PIL.Image.fromarray(noise(9, 9)).save(tmp_path / "gray.png", icc_profile=srgb_profile())
    assert read_picture(tmp_path / "gray.png").embedded.icc_profile is None


def test_damaged_exif_is_dropped_and_the_picture_read(tmp_path):
    body = b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 20
    (tmp_path / "a.png").write_bytes(png_bytes(noise(7, 5, 3), [(b"eXIf", body)]))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, noise(7, 5, 3))


def deep_apng(pixels, chunks):
    """An animated PNG of 16 bit: the chunks of an animation around the one of the pixels."""
    control = struct.pack(">IIIIIHHBB", 0, pixels.shape[1], pixels.shape[0], 0, 0, 1, 10, 0, 0)
    frame = struct.pack(">I", 2) + zlib.compress(
        b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    )
    second = struct.pack(">I", 1) + control[4:]
    data = png_bytes(pixels, [(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", control)])
    end = data.rindex(b"\0\0\0\0IEND")
    extra = b""
    for kind, body in ((b"fcTL", second), (b"fdAT", frame), *chunks):
        extra += struct.pack(">I", len(body)) + kind + body
        extra += struct.pack(">I", zlib.crc32(kind + body))
    return data[:end] + extra + data[end:]


def test_animated_png_of_16_bit_is_read_in_the_right_byte_order(tmp_path):
    pixels = noise(8, 6, 3, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(deep_apng(pixels, []))
    sequence = read_pictures(tmp_path / "a.png")
    np.testing.assert_array_equal(sequence.pictures[0].pixels, pixels)
    assert sequence.left_out == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_multiplied_by_alpha_is_divided(tmp_path, dtype):
    most = np.iinfo(dtype).max
    colours = np.full((6, 6, 3), 0, dtype)
    colours[:] = np.array([0.8, 0.4, 0.1]) * most
    alpha = np.linspace(most // 4, most, 36).reshape(6, 6).astype(dtype)
    stored = np.round(colours.astype(float) * alpha[:, :, None] / most).astype(dtype)
    stored = np.dstack([stored, alpha])
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.alpha, alpha)
    np.testing.assert_allclose(picture.pixels / most, colours / most, atol=4 / 255)
    assert picture.pixels.dtype == dtype


def test_gray_png_of_16_bit_with_a_transparent_level(tmp_path):
    pixels = noise(8, 6, 1, dtype=np.uint16)
    pixels[2:4] = 777
    data = png_bytes(pixels, [(b"tRNS", struct.pack(">H", 777))])
    (tmp_path / "a.png").write_bytes(data)
    picture = read_picture(tmp_path / "a.png")
    assert picture.pixels.shape == (8, 6, 1)
    np.testing.assert_array_equal(picture.alpha, np.where(pixels[:, :, 0] == 777, 0, 65535))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_png_of_few_bits_with_a_transparent_level(tmp_path, bits):
    levels = np.arange(16) % (1 << bits)
    packed = np.packbits((levels[:, None] >> np.arange(bits)[::-1]) & 1).reshape(1, -1, 1)
    data = bytearray(png_bytes(packed.astype(np.uint8), [(b"tRNS", struct.pack(">H", 1))]))
    data[16:25] = struct.pack(">IIB", 16, 1, bits)  # width, height, bits of the header
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels[0, :, 0], levels * (255 // ((1 << bits) - 1)))
    np.testing.assert_array_equal(picture.alpha[0], np.where(levels == 1, 0, 255))


def test_raw_file_is_not_taken_for_its_thumbnail(tmp_path):
    PIL.Image.fromarray(smooth(12, 16, 3)).save(tmp_path / "a.dng", "TIFF")
    with pytest.raises(InputError, match=r"a\.dng: a raw file of a camera; develop it"):
        read_picture(tmp_path / "a.dng")


def test_gray_png_of_16_bit_with_alpha_stays_gray(tmp_path):
    pixels = noise(8, 6, 2, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png_bytes(pixels))
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, pixels[:, :, :1])
    np.testing.assert_array_equal(picture.alpha, pixels[:, :, 1])


def pack_12_bit(values):
    """Two samples in three bytes, as TIFF 6.0 orders bits."""
    even, odd = values.reshape(-1, 2).T.astype(np.uint32)
    return np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=1).astype(np.uint8)


def test_gray_tiff_of_12_bit_is_scaled_to_its_own_white(tmp_path):
    values = (np.arange(48) * 87).reshape(6, 8)  # up to 4089 of 4095
    stored = pack_12_bit(values).tobytes()
    entries = {256: 8, 257: 6, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 6, 279: len(stored)}
    start = 8 + len(stored)
    directory = struct.pack("<H", len(entries))
    for tag, value in entries.items():
        directory += struct.pack("<HHII", tag, 4, 1, value)
    head = b"II*\0" + struct.pack("<I", start)
    (tmp_path / "a.tif").write_bytes(head + stored + directory + b"\0" * 4)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_allclose(picture.pixels[:, :, 0] / 65535, values / 4095, atol=1e-5)


def test_tiff_with_fewer_strips_than_it_declares_is_truncated(tmp_path):
    """Decoders leave black where a strip is missing."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(40, 30, 3), photometric="rgb", rowsperstrip=10)
    data = path.read_bytes()
    height = struct.pack("<HHII", 257, 4, 1, 40)
    if height not in data:
        height = struct.pack("<HHIHH", 257, 3, 1, 40, 0)
    assert data.count(height) == 1
    path.write_bytes(data.replace(height, struct.pack("<HHII", 257, 4, 1, 4000)))
    with pytest.raises(InputError, match="damaged or truncated image .4 parts of 400"):
        read_picture(path)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_animation_is_read_and_written_frame_by_frame(tmp_path, suffix):
    frames = [np.full((8, 10, 3), level, np.uint8) for level in (0, 90, 250)]
    first, *others = map(PIL.Image.fromarray, frames)
    options = {"lossless": True} if suffix == ".webp" else {}
    first.save(
        tmp_path / f"a{suffix}", save_all=True, append_images=others, duration=70, loop=0, **options
    )
    sequence = read_pictures(tmp_path / f"a{suffix}")
    assert [picture.pixels[0, 0, 0] for picture in sequence.pictures] == [0, 90, 250]
    assert sequence.durations == [70, 70, 70]
    assert read_picture(tmp_path / f"a{suffix}").other_frames == 2
    write_pictures(tmp_path / "out.png", fitting(tmp_path / "out.png", sequence))
    again = read_pictures(tmp_path / "out.png")
    assert [picture.pixels[0, 0, 0] for picture in again.pictures] == [0, 90, 250]
    assert (again.durations, again.loop) == ([70, 70, 70], 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pages_are_read_and_written_page_by_page(tmp_path, dtype):
    pages = [noise(8, 10, 3, dtype=dtype), noise(5, 7, 3, dtype=dtype)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            writer.write(page, photometric="rgb")
    assert is_document(tmp_path / "a.tif")
    sequence = read_pictures(tmp_path / "a.tif")
    for name in ("a.tif", "b.tif"):
        for picture, page in zip(read_pictures(tmp_path / name).pictures, pages):
            np.testing.assert_array_equal(picture.pixels, page)
        write_pictures(tmp_path / "b.tif", fitting(tmp_path / "b.tif", sequence))
    left = fitting(tmp_path / "b.png", sequence)
    assert (len(left.pictures), left.left_out) == (1, 1)


def test_animation_that_a_format_cannot_hold_is_its_first_frame(tmp_path):
    sequence = PictureSequence([Picture(noise(4, 4, 3)), Picture(noise(4, 4, 3))], [50, 50])
    left = fitting(tmp_path / "a.jpg", sequence)
    assert (len(left.pictures), left.left_out) == (1, 1)


def test_hidden_colour_does_not_reach_the_edge_of_what_is_seen():
    rows, columns = np.mgrid[:64, :64]
    seen = (rows - 32) ** 2 + (columns - 32) ** 2 < 20**2
    pixels = np.where(seen[:, :, None], np.uint8([200, 120, 40]), np.uint8(0))
    bled = bleed_colours(pixels, np.where(seen, 255, 0).astype(np.uint8))
    assert np.abs(bled.astype(int) - [200, 120, 40]).max() <= 1
    np.testing.assert_array_equal(bled[seen], pixels[seen])


def test_bleeding_keeps_colours_apart():
    pixels = np.zeros((40, 41, 3), np.uint16)
    alpha = np.zeros((40, 41), np.uint16)
    pixels[:, 0], pixels[:, -1] = [60000, 0, 0], [0, 0, 60000]
    alpha[:, [0, -1]] = 65535
    bled = bleed_colours(pixels, alpha)
    assert (bled[:, :12, 0] > bled[:, :12, 2]).all()
    assert (bled[:, -12:, 2] > bled[:, -12:, 0]).all()


@pytest.fixture
def one_megapixel():
    limits.set_max_megapixels(1)
    yield
    limits.set_max_megapixels(512)


@pytest.mark.usefixtures("one_megapixel")
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif", ".webp", ".jpg", ".ppm"])
def test_declared_size_above_the_limit_is_refused(tmp_path, suffix):
    PIL.Image.new("L", (1200, 1000)).save(tmp_path / f"a{suffix}")
    with pytest.raises(InputError, match=r"declares 1200x1000 pixels.*max_megapixels 2") as caught:
        read_picture(tmp_path / f"a{suffix}")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("one_megapixel")
def test_frames_count_together_to_the_limit(tmp_path):
    first, second = (PIL.Image.new("L", (800, 800), level) for level in (0, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    read_picture(tmp_path / "a.gif")
    with pytest.raises(InputError, match="800x800 pixels, 2 times"):
        read_pictures(tmp_path / "a.gif")


def test_valid_picture_of_an_unsupported_kind_is_not_called_damaged(tmp_path):
    header = struct.pack("<IiiHHIIiiII", 108, 2, 2, 1, 32, 3, 16, 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0x3FF, 0xFFC00, 0x3FF00000, 0) + bytes(52)
    size = 14 + 108 + 16
    data = b"BM" + struct.pack("<IHHI", size, 0, 0, 122) + header + masks + bytes(16)
    (tmp_path / "a.bmp").write_bytes(data)
    with pytest.raises(InputError, match="this kind of image is not supported") as caught:
        read_picture(tmp_path / "a.bmp")
    assert "damaged" not in str(caught.value)


def test_postscript_is_not_run(tmp_path):
    PIL.Image.fromarray(smooth(12, 16, 3)).save(tmp_path / "a.png", "EPS")
    with pytest.raises(InputError, match="this kind of image is not supported"):
        read_picture(tmp_path / "a.png")


def test_embedded_data_of_a_picture_that_was_made_is_none():
    assert Picture(noise(2, 2, 3)).embedded == Embedded()
