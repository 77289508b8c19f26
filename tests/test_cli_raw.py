"""Raw files on the command line: real DNG files, a network that passes the colours on."""

import cv2
import numpy as np
import pytest

from ms_restore.images.mosaic import BAYER, X_TRANS
from ms_restore.images.reading import read_picture

pytest.importorskip("rawpy")
dng = pytest.importorskip("tests.fixtures.dng")

BLACK, WHITE, RATIO = 512, 16383, 100
TOLERANCE = 0.03  # of a smooth picture: pixels of a block share its colours


def _scene(height=150, width=204):
    """A smooth picture (H, W, 3) in [0, 1] that looks different whichever way it is turned."""
    rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
    planes = [0.1 + 0.8 * rows + 0 * columns, 0.9 - 0.8 * columns + 0 * rows, rows * columns]
    return np.stack(planes, axis=2)


def _write(path, pattern, scene=None, ratio=RATIO, **options):
    """The scene as it is seen in 1 / ratio of the time."""
    scene = _scene() if scene is None else scene
    height, width = scene.shape[:2]
    pattern = np.array(pattern)
    colours = np.tile(pattern, (height // len(pattern) + 1, width // len(pattern) + 1))
    seen = np.take_along_axis(scene, colours[:height, :width, None], axis=2)[:, :, 0]
    mosaic = np.round(BLACK + seen / ratio * (WHITE - BLACK))
    dng.write(path, mosaic, pattern, black=[[BLACK]], white=WHITE, **options)


def _pixels(path):
    pixels = read_picture(path).pixels
    return pixels / np.iinfo(pixels.dtype).max


@pytest.mark.parametrize(
    ("model", "pattern", "camera"),
    [
        *(("sid_sony", pattern, "ILCE-7SM2") for pattern in dng.ORDERS.values()),
        *(("sid_fuji", np.roll(X_TRANS.pattern, by, (0, 1)), "X-T2") for by in ((0, 0), (3, 2))),
    ],
    ids=[*dng.ORDERS, "X-Trans", "X-Trans shifted"],
)
def test_a_file_comes_back_with_its_colours(model, pattern, camera, passing, tmp_path, in_process):
    _write(tmp_path / "dark.dng", pattern, camera=camera)
    target = tmp_path / "out.png"
    done = in_process(
        "infer", "--checkpoint", passing(model), "--input", tmp_path / "dark.dng",
        "--output", target, "--ratio", RATIO,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout
    np.testing.assert_allclose(_pixels(target), _scene(), atol=TOLERANCE)


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_upright_in_16_bit_and_another_camera(orientation, turns, passing, tmp_path, in_process):
    """The ratio by the exposure, a picture that is turned, and a warning."""
    path, target = tmp_path / "dark.dng", tmp_path / "out.png"
    _write(path, BAYER.pattern, orientation=orientation, exposure=0.1, camera="D850")
    done = in_process(
        "infer", "--checkpoint", passing("sid_sony"), "--input", path,
        "--output", target, "--bits", 16,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "exposed 0.1 s, ratio 100 (--ratio changes it)" in done.stdout
    assert "warning" in done.stdout
    assert "is of D850, sid_sony is for the sensor of ILCE-7SM2" in done.stdout
    assert cv2.imread(str(target), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    np.testing.assert_allclose(_pixels(target), np.rot90(_scene(), turns), atol=TOLERANCE)


def test_tiled_as_in_one_piece(passing, tmp_path, in_process):
    _write(tmp_path / "dark.dng", BAYER.pattern, _scene(720, 600))
    for name, tile in (("tiled.png", 240), ("whole.png", 0)):
        done = in_process(
            "infer", "--checkpoint", passing("sid_sony"), "--input", tmp_path / "dark.dng",
            "--output", tmp_path / name, "--ratio", RATIO, "--tile", tile,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(_pixels(tmp_path / "tiled.png"), _pixels(tmp_path / "whole.png"))


def test_a_folder_of_raw_files(passing, tmp_path, command_line):
    """The exposure is in the names; what is no raw file is passed over."""
    folder = tmp_path / "short"
    folder.mkdir()
    _write(folder / "10003_00_0.1s.dng", BAYER.pattern)
    _write(folder / "10003_01_0.04s.DNG", BAYER.pattern, ratio=250)
    (folder / "readme.txt").write_text("hello")
    done = command_line(
        "infer", "--checkpoint", passing("sid_sony"), "--input", folder,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert written == ["10003_00_0.1s.png", "10003_01_0.04s.png"]
    for name in written:
        np.testing.assert_allclose(_pixels(tmp_path / "out" / name), _scene(), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "dark.dng: no exposure in its name (such as 00001_00_0.1s.ARW) nor in its header"),
        (["--ratio", "0"], "--ratio 0: expected a number from 1 to 10000"),
        (["--ratio", "100", "--bits", "12"], "--bits 12: expected 8 or 16"),
        (["--ratio", "100", "--bits", "16", "--output", "a.jpg"], ".jpg cannot hold 16 bit"),
    ],
)
def test_what_cannot_be_done(options, message, passing, tmp_path, in_process):
    _write(tmp_path / "dark.dng", BAYER.pattern)
    given = ["--output", tmp_path / "out.png", *options]
    done = in_process(
        "infer", "--checkpoint", passing("sid_sony"), "--input", tmp_path / "dark.dng", *given,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["dark.dng"]


def test_pictures_for_a_model_of_raw_files_and_the_reverse(passing, run, pictures, in_process):
    picture = pictures / "a_rgb.png"
    done = in_process(
        "infer", "--checkpoint", passing("sid_sony"), "--input", picture, "--output", "x.png",
        "--ratio", 100,
    )  # fmt: skip
    assert done.returncode == 2
    assert "a_rgb.png: not a raw file that LibRaw" in done.stderr
    done = in_process(
        "infer", "--checkpoint", run.folder, "--input", picture, "--output", "x.png",
        "--ratio", 100,
    )  # fmt: skip
    assert done.returncode == 2
    assert "takes pictures: --ratio and --bits are for models of raw files" in done.stderr
