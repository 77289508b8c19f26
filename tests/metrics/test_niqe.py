"""NIQE against the values of the authors' program, where the reference data is, and by itself."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ms_restore.data import photos
from ms_restore.images.reading import read_picture
from ms_restore.metrics.niqe import SMALLEST, niqe

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no reference data: {REFERENCE}")
def test_the_published_program_gives_the_same():
    table = (REFERENCE / "niqe" / "README.md").read_text()
    values = re.findall(r"\| (\w+\.bmp) \| ([\d.]+) \|", table)
    assert len(values) == 19
    for name, value in values:
        (path,) = (p for s in ("set5", "set14") if (p := REFERENCE / s / name).exists())
        assert niqe(read_picture(path).pixels) == pytest.approx(float(value), abs=0.001), name


@pytest.mark.parametrize(
    ("name", "value"), [("camera", 3.0962), ("chelsea", 2.6255), ("coffee", 4.1152)]
)
def test_embedded_photos(name, value):
    """Measured with this implementation, when it gave the published values."""
    assert niqe(photos.load(name)) == pytest.approx(value, abs=0.001)


@pytest.mark.parametrize("name", ["camera", "chelsea"])
def test_it_rises_with_blur_and_with_noise(name):
    photo = photos.load(name)[:288, :384].astype(np.float64)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, photo.shape)
    clean = niqe(photo)
    blurred = [niqe(np.round(gaussian_filter(photo, (s, s, 0)))) for s in (1, 2, 4)]
    noisy = [niqe(np.clip(np.round(photo + s * noise), 0, 255)) for s in (10, 25, 50)]
    assert clean < blurred[0] < blurred[1] < blurred[2]
    assert clean < noisy[0] < noisy[1] < noisy[2]


def test_what_is_beyond_whole_blocks_does_not_count():
    photo = photos.load("chelsea")
    changed = photo.copy()
    changed[288:], changed[:, 384:] = 0, 255
    assert niqe(changed[:300]) == niqe(photo[:288, :384])
    assert niqe(changed[:280]) != niqe(photo[:288, :384])


def test_flat_pictures_are_infinitely_far():
    """Also where the flat value is no whole number, and where one block alone has structure."""
    flat = np.full((192, 192, 3), 77.3)
    assert niqe(flat) == float("inf")
    flat[20:60, 20:60] = photos.load("chelsea")[100:140, 100:140]
    assert niqe(flat) == float("inf")
    flat[120:160, 120:160] = photos.load("chelsea")[100:140, 100:140]
    assert np.isfinite(niqe(flat))


def test_it_needs_two_blocks_along_a_side():
    assert SMALLEST == 192
    for shape in ((191, 300, 3), (300, 191, 1)):
        with pytest.raises(ValueError, match=f"192 pixels along a side, got .{shape[0]}"):
            niqe(np.zeros(shape))
