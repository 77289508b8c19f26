import numpy as np
import PIL.Image

from ms_restore.report.pictures import comparison


def _panels(height=200, width=300):
    rng = np.random.default_rng(0)
    original = np.broadcast_to(rng.random((1, 1, 3), np.float32), (height, width, 3)).copy()
    baseline = original.copy()
    baseline[120:140, 210:230] = 0  # the one place where it errs
    return baseline, original


def test_panels_show_the_images_and_where_they_differ(tmp_path):
    baseline, original = _panels()
    panels = [("bicubic", baseline), ("ours", original), ("original", original)]
    comparison(tmp_path / "c.png", panels)
    sheet = np.asarray(PIL.Image.open(tmp_path / "c.png")).astype(int)
    height, width = sheet.shape[:2]
    assert width == 3 * 480 + 2 * 8
    assert height == 30 + 320 + 8 + 480
    colour = np.round(original[0, 0] * 255)
    for index in range(3):  # whole image, upright, in its colours
        corner = sheet[30 + 5, index * 488 + 5]
        assert np.abs(corner - colour).max() <= 1
    detail = sheet[30 + 320 + 8 :]
    dark = (detail == 0).all(axis=2)
    assert dark[:, :480].sum() == 100 * 100  # the 20 x 20 square, enlarged five times, whole
    assert not dark[:, 488:].any()


def test_gray_and_tiny_images(tmp_path):
    image = np.linspace(0, 1, 20 * 14, dtype=np.float32).reshape(20, 14, 1)
    comparison(tmp_path / "c.png", [("a", image), ("b", image), ("c", image)])
    assert PIL.Image.open(tmp_path / "c.png").size[0] == 3 * 480 + 16
