"""Real DNG files, read by LibRaw."""

import contextlib
import os

import numpy as np
import pytest

from ms_restore import limits
from ms_restore.errors import InputError
from ms_restore.images import raw
from ms_restore.images.mosaic import BAYER, X_TRANS

rawpy = pytest.importorskip("rawpy")
tifffile = pytest.importorskip("tifffile")
threadpoolctl = pytest.importorskip("threadpoolctl")
dng = pytest.importorskip("tests.fixtures.dng")

BLACK = [[255, 257], [263, 271]]
HEIGHT, WIDTH = 62, 84


def _values(white, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(0).integers(0, white + 1, (height, width))


@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("order", dng.ORDERS)
def test_the_mosaic_of_a_file(order, bits, tmp_path):
    """Every order, packed 12 and 14 bit, a black level of its own for each colour."""
    pattern, white = dng.ORDERS[order], 2 ** min(bits, 14) - 1
    mosaic = _values(white)
    dng.write(
        tmp_path / "a.dng", mosaic, pattern, black=BLACK, white=white, bits=bits, exposure=0.1
    )
    read = raw.read(tmp_path / "a.dng", BAYER)
    tiles = [side // 2 for side in mosaic.shape]
    above = np.maximum(mosaic - np.tile(BLACK, tiles), 0)
    whole = read.frame.crop(BAYER.unpack(read.planes)[:, :, None])[:, :, 0]
    np.testing.assert_array_equal(whole, above)
    colours = np.tile(pattern, tiles)
    blacks = np.tile(BLACK, tiles)
    for colour, channels in {0: [0], 1: [1, 3], 2: [2]}.items():
        found = {white - read.ranges[channel] for channel in channels}
        assert found == set(np.unique(blacks[colours == colour]))
    assert read.exposure == pytest.approx(0.1)
    assert read.camera == "ILCE-7SM2"
    assert read.turns == 0


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (2, 4), (5, 3)])
def test_xtrans_in_any_phase(shift, tmp_path):
    pattern = np.roll(X_TRANS.pattern, shift, axis=(0, 1))
    mosaic = _values(16383, 96, 102)
    dng.write(tmp_path / "a.dng", mosaic, pattern, black=[[1022]])
    read = raw.read(tmp_path / "a.dng", X_TRANS)
    whole = read.frame.crop(X_TRANS.unpack(read.planes)[:, :, None])[:, :, 0]
    np.testing.assert_array_equal(whole, np.maximum(mosaic - 1022, 0))
    assert read.ranges == 9 * [16383 - 1022]


def test_each_colour_of_xtrans_loses_its_own_black_level(tmp_path, monkeypatch):
    """A DNG has one for all, so they are changed on the way."""
    blacks = [100, 200, 400]
    opened = raw._open_raw

    class Changed:
        black_level_per_channel = blacks

        def __init__(self, raw):
            self._raw = raw

        def __getattr__(self, name):
            return getattr(self._raw, name)

    @contextlib.contextmanager
    def changed(path):
        with opened(path) as found:
            yield Changed(found)

    monkeypatch.setattr(raw, "_open_raw", changed)
    pattern = np.roll(X_TRANS.pattern, (1, 2), axis=(0, 1))
    dng.write(tmp_path / "a.dng", np.full((96, 102), 1000), pattern)
    read = raw.read(tmp_path / "a.dng", X_TRANS)
    for planes, (colour, _) in zip(read.planes, X_TRANS.order):
        assert (planes == 1000 - blacks[colour]).all()
    assert read.ranges == [16383 - blacks[colour] for colour, _ in X_TRANS.order]


def test_amplified_to_the_exposure_and_cut_at_white():
    planes = np.array([0, 50, 100, 200], np.uint16).reshape(1, 1, 4)
    y = raw.amplify(planes, [1000], 10)
    np.testing.assert_allclose(y.ravel(), [0, 0.5, 1, 1])
    assert y.dtype == np.float32


def test_developed_as_librawpy_does_without_turning(tmp_path):
    mosaic = 600 + np.linspace(0, 9000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    dng.write(tmp_path / "a.dng", mosaic, dng.ORDERS["GRBG"], black=[[512]], orientation=6)
    picture, frame = raw.develop(tmp_path / "a.dng", BAYER)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint16
    assert frame == (0, 1, HEIGHT, WIDTH)
    with rawpy.imread(str(tmp_path / "a.dng")) as opened:
        turned = opened.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16)
    np.testing.assert_array_equal(np.rot90(picture, 3), turned)
    assert raw.read(tmp_path / "a.dng", BAYER).turns == 3


def test_header_alone(tmp_path):
    dng.write(tmp_path / "a.dng", _values(99), dng.ORDERS["RGGB"], white=99)
    assert raw.size(tmp_path / "a.dng") == (HEIGHT, WIDTH)
    assert raw.exposure(tmp_path / "a.dng") is None


def test_the_camera_of_a_raf(tmp_path):
    """28 bytes of the header before it, 32 for it."""
    header = b"FUJIFILMCCD-RAW 0201FF383501" + b"X-T2".ljust(32, b"\0") + b"0100"
    (tmp_path / "a.RAF").write_bytes(header)
    assert raw._camera(tmp_path / "a.RAF") == "X-T2"


def test_pixels_that_are_not_square(tmp_path):
    """LibRaw stretches them."""
    dng.write(tmp_path / "a.dng", _values(999), dng.ORDERS["RGGB"], scale=(2, 1))
    with pytest.raises(InputError, match=r"developed to \d+x\d+ pixels, but its raw pixels are"):
        raw.develop(tmp_path / "a.dng", BAYER)


def test_not_a_raw_file(tmp_path):
    (tmp_path / "a.ARW").write_bytes(b"nothing of the kind" * 99)
    with pytest.raises(InputError, match=r"a.ARW: not a raw file that LibRaw [\d.]+ can read"):
        raw.read(tmp_path / "a.ARW", BAYER)
    with pytest.raises(InputError, match=r"b.ARW: no such file"):
        raw.read(tmp_path / "b.ARW", BAYER)


def test_truncated(tmp_path):
    path = tmp_path / "a.dng"
    dng.write(path, _values(16383), dng.ORDERS["RGGB"])
    path.write_bytes(path.read_bytes()[:-3000])
    for read in (raw.read, raw.develop):
        with pytest.raises(InputError, match=r"a.dng: truncated raw file"):
            read(path, BAYER)


def _with_tags(path, **values):
    with tifffile.TiffFile(path, mode="r+") as file:
        for name, value in values.items():
            file.pages[0].tags[name].overwrite(value)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"StripOffsets": 9_000_000}, "its pixels end at byte 9,"),
        ({"StripByteCounts": 22}, "22 bytes for 5,208 pixels"),
        ({"StripByteCounts": 3, "Compression": 7}, "3 bytes for 5,208 pixels"),
    ],
)
def test_a_header_that_declares_more_than_the_file_holds(tags, said, tmp_path):
    """LibRaw alone would give black or noise for it."""
    dng.write(tmp_path / "a.dng", _values(16383), dng.ORDERS["RGGB"])
    _with_tags(tmp_path / "a.dng", **tags)
    with pytest.raises(InputError, match=rf"a\.dng: truncated raw file \({said}"):
        raw.read(tmp_path / "a.dng", BAYER)


def test_a_size_above_the_limit(tmp_path, monkeypatch):
    dng.write(tmp_path / "a.dng", _values(99, 2000, 1000), dng.ORDERS["RGGB"])
    monkeypatch.setattr(limits, "_max_megapixels", 1)
    with pytest.raises(InputError, match="declares 1000x2000 pixels, which is above the limit"):
        raw.size(tmp_path / "a.dng")


def test_what_libraw_says_is_said_in_one_line(tmp_path, monkeypatch, capfd):
    """Of data that it finds damaged and goes on with; what others write at the time is kept."""
    path = tmp_path / "a.dng"
    dng.write(path, _values(16383), dng.ORDERS["RGGB"])
    said = r"damaged or truncated raw file \(data corrupted at 77\)"
    with pytest.raises(InputError, match=said), raw._open_raw(path):
        os.write(2, f"{path}: data corrupted at 77\nanother line\n".encode())
    assert capfd.readouterr().err == "another line\n"
    with raw._open_raw(path):
        os.write(2, b"/another.dng: Unexpected end of file\n")
    assert capfd.readouterr().err == ""


def test_colours_that_have_no_name(tmp_path):
    """A damaged colour pattern, for which LibRaw gives numbers above those of its names."""
    dng.write(tmp_path / "a.dng", _values(99), dng.ORDERS["RGGB"])
    with rawpy.imread(str(tmp_path / "a.dng")) as opened:

        class Changed:
            raw_pattern, color_desc = opened.raw_pattern, opened.color_desc
            raw_colors_visible = opened.raw_colors_visible + 6

        with pytest.raises(InputError, match=r"a\.dng: its colours are unknown, expected those of"):
            raw._colours(tmp_path / "a.dng", Changed(), BAYER)


@pytest.mark.parametrize("reason", ["some text", b"some text"])
def test_every_error_of_rawpy_is_said(reason, tmp_path, monkeypatch):
    """Some carry text, others bytes."""
    dng.write(tmp_path / "a.dng", _values(99), dng.ORDERS["RGGB"])

    def fail(path):
        raise rawpy.LibRawDataError(reason)

    monkeypatch.setattr(rawpy, "imread", fail)
    with pytest.raises(InputError, match=r"a\.dng: damaged or truncated raw file \(some text\)"):
        raw.read(tmp_path / "a.dng", BAYER)


def test_another_pattern(tmp_path):
    dng.write(tmp_path / "a.dng", _values(999), [[0, 1], [2, 1]], white=999)
    with pytest.raises(InputError, match=r"a.dng: its colours R.* are not a pattern of Bayer"):
        raw.read(tmp_path / "a.dng", BAYER)
    dng.write(tmp_path / "b.dng", _values(999), dng.ORDERS["RGGB"], white=999)
    with pytest.raises(InputError, match="of a sensor with Bayer, but the model takes X-Trans"):
        raw.read(tmp_path / "b.dng", X_TRANS)


@pytest.mark.parametrize("white", [500, 512])
def test_no_range_between_black_and_white(white, tmp_path):
    dng.write(tmp_path / "a.dng", _values(999), dng.ORDERS["RGGB"], white=white, black=[[512]])
    with pytest.raises(InputError, match=f"white level {white} is not above the black level"):
        raw.read(tmp_path / "a.dng", BAYER)


@pytest.mark.slow
def test_xtrans_is_developed_alike_every_time(tmp_path):
    dng.write(tmp_path / "a.dng", _values(9000, 600, 540), X_TRANS.pattern, black=[[512]])
    first, _ = raw.develop(tmp_path / "a.dng", X_TRANS)
    with threadpoolctl.threadpool_limits(4, user_api="openmp"):
        for _ in range(12):
            np.testing.assert_array_equal(raw.develop(tmp_path / "a.dng", X_TRANS)[0], first)


def test_without_rawpy(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    with pytest.raises(InputError, match=r"reading raw files needs rawpy; pip install"):
        raw.read(tmp_path / "a.dng", BAYER)
