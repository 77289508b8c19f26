import numpy as np
import pytest

from ms_restore import recipe
from ms_restore.data import photos
from ms_restore.degradations.low_light import LowLight
from ms_restore.errors import InputError

CAMERAS = {"bayer": "ILCE-7SM2", "xtrans": "X-T2"}


def _noiseless(mosaic="bayer", **options):
    fixed = {"red_gain": [2.0, 2.0], "blue_gain": [1.6, 1.6], "shot": [1e-12, 1e-12], "bits": 16}
    return LowLight(mosaic=mosaic, camera=CAMERAS[mosaic], ratio=[1.0, 1.0], **{**fixed, **options})


@pytest.mark.parametrize("mosaic", CAMERAS)
def test_without_noise_the_photo_comes_back(mosaic):
    """Up to what demosaicing loses: nothing where the colour is one."""
    flat = np.broadcast_to(np.array([200, 120, 60], np.uint8), (36, 48, 3))
    low_light = _noiseless(mosaic)
    y = low_light(flat, np.random.default_rng(0))
    block = low_light.scale
    assert y.shape == (36 // block, 48 // block, block**2)
    assert y.dtype == np.float32
    back = low_light.baseline(y)
    np.testing.assert_allclose(back, flat / 255, atol=2e-3)


@pytest.mark.parametrize("tone", [0.02, 0.3, 0.8])
def test_gray_by_hand(tone):
    """The sensor's gray is linear: tone curve 3 t^2 - 2 t^3 and gamma of sRGB undone."""
    shown = np.full((4, 4, 3), 3 * tone**2 - 2 * tone**3)
    gamma = tone / 12.92 if tone <= 0.04045 else ((tone + 0.055) / 1.055) ** 2.4
    y = _noiseless(red_gain=[1, 1], blue_gain=[1, 1])(shown, np.random.default_rng(0))
    np.testing.assert_allclose(y, gamma, atol=2e-5)


@pytest.mark.parametrize(
    ("mosaic", "matrix"),
    [
        (
            "bayer",
            [[5838, -1430, -246], [-3497, 11477, 2297], [-748, 1885, 5778]],
        ),
        (
            "xtrans",
            [[11434, -4948, -1210], [-3746, 12042, 1903], [-666, 1479, 5235]],
        ),
    ],
)
def test_colours_by_hand(mosaic, matrix):
    """sRGB's red, green and blue as the camera has them, white to 1 (DNG's ColorMatrix of D65)."""
    low_light = _noiseless(mosaic)
    from_rgb = np.array(matrix) @ [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
    expected = from_rgb / from_rgb.sum(axis=1, keepdims=True) / np.array([[2.0], [1], [1.6]])
    for colour, photo in enumerate(np.eye(3, dtype=np.uint8) * 255):
        y = low_light(np.broadcast_to(photo, (6, 6, 3)), np.random.default_rng(0))
        seen = [np.clip(expected[channel, colour], 0, 1) for channel, _ in low_light.mosaic.order]
        np.testing.assert_allclose(y, np.broadcast_to(seen, y.shape), atol=2e-5)


def test_the_baseline_is_balanced_by_the_middle_of_the_gains():
    y = np.random.default_rng(0).random((4, 4, 4), np.float32)
    wide = _noiseless(red_gain=[1.5, 2.5], blue_gain=[1.2, 2.0])
    np.testing.assert_allclose(wide.baseline(y), _noiseless().baseline(y), atol=1e-6)


@pytest.mark.parametrize("mosaic", CAMERAS)
@pytest.mark.parametrize("size", [(33, 39), (36, 42)])
def test_sizes_that_are_no_multiple_of_the_period(mosaic, size):
    low_light = _noiseless(mosaic)
    block = low_light.scale
    height, width = (side - side % block for side in size)
    y = low_light(photos.load("coffee")[:height, :width], np.random.default_rng(0))
    assert y.shape == (height // block, width // block, block**2)
    assert low_light.baseline(y).shape == (height, width, 3)


def test_patches_are_the_images():
    low_light = LowLight()
    x = photos.load("coffee")[:64, :64]
    alone = low_light(x, np.random.default_rng(5))
    patches = low_light.patches(x.transpose(2, 0, 1)[None], [np.random.default_rng(5)])
    np.testing.assert_array_equal(patches[0].transpose(1, 2, 0), alone)


def test_noise_has_the_variance_of_photons_and_reading():
    """Of a gray patch, before clipping matters: ratio shot signal + ratio^2 read."""
    ratio, shot = 100.0, 2e-4
    gray = np.full((256, 256, 3), 150, np.uint8)
    clean = _noiseless()(gray, np.random.default_rng(0)).mean(axis=(0, 1))
    noisy = LowLight(ratio=[ratio, ratio], shot=[shot, shot], red_gain=[2, 2], blue_gain=[1.6, 1.6])
    found, read = [], []
    for seed in range(8):
        y = noisy(gray, np.random.default_rng(seed))
        np.testing.assert_allclose(y.mean(axis=(0, 1)), clean, rtol=0.02)
        found.append(y.var(axis=(0, 1)))
        read.append(ratio**2 * np.exp(2.18 * np.log(shot) + 1.20))
    expected = ratio * shot * clean + np.mean(read)
    np.testing.assert_allclose(np.mean(found, axis=0), expected, rtol=0.1)
    green = y[:, :, [1, 3]].reshape(-1, 2).T
    assert abs(np.corrcoef(green)[0, 1]) < 0.02


@pytest.mark.parametrize("ends", [(5e-4, 5e-4), (5e-5, 5e-4)])
def test_noise_of_reading_varies_about_a_line_in_logarithms(ends):
    """Of black, which is cut at 0, so that half its variance is left. Shot noise: log-uniform."""
    black = np.zeros((64, 64, 3), np.uint8)
    low_light = LowLight(ratio=[1, 1], shot=list(ends), bits=16)
    frames = (low_light(black, np.random.default_rng(seed)) for seed in range(400))
    read = np.log([2 * np.mean(y.astype(float) ** 2) for y in frames])
    low, high = 2.18 * np.log(ends) + 1.20
    spread = np.hypot((high - low) / np.sqrt(12), 0.26)
    assert read.mean() == pytest.approx((low + high) / 2, abs=4 * spread / 20)
    assert read.std() == pytest.approx(spread, rel=0.15)


def test_by_default_the_ratio_is_that_of_the_published_data():
    """A camera's number is worth ratio / (2^14 - 1)."""
    black = np.zeros((32, 32, 3), np.uint8)
    frames = (LowLight()(black, np.random.default_rng(seed)) for seed in range(100))
    ratios = [y[y > 0].min() * (2**14 - 1) for y in frames if y.any()]
    assert 100 <= min(ratios) < 120
    assert 280 < max(ratios) <= 300


def test_what_is_bright_is_cut_at_white():
    white = np.full((64, 64, 3), 255, np.uint8)
    y = LowLight(red_gain=[1, 1], blue_gain=[1, 1])(white, np.random.default_rng(0))
    assert y.max() == 1


def test_what_is_dark_is_cut_at_black_and_rounded_like_a_camera():
    ratio = 300.0
    y = LowLight(ratio=[ratio, ratio], bits=14)(
        np.zeros((64, 64, 3), np.uint8), np.random.default_rng(0)
    )
    assert y.min() == 0
    steps = y[y < 1] / ratio * (2**14 - 1)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-2)


def test_the_ratio_is_drawn_between_its_ends():
    """Equal light, more noise at a larger ratio."""
    gray = np.full((64, 64, 3), 180, np.uint8)
    deviations = [
        LowLight(ratio=[r, r], shot=[1e-4, 1e-4])(gray, np.random.default_rng(0))[:, :, 1].std()
        for r in (100, 300)
    ]
    assert deviations[1] > 1.5 * deviations[0]


def test_a_camera_without_a_matrix():
    with pytest.raises(InputError, match="its colour matrix is not known here"):
        LowLight(camera="D850")
    LowLight(camera="D850", xyz_to_camera=[1, 0, 0, 0, 1, 0, 0, 0, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"degradation.mosaic": "xtrans"}, "is X-Trans with 9 channels, but network.channels is 4"),
        ({"data.patch_size": 1023}, "no multiple of 2, the period of Bayer"),
        ({"degradation.mosaic": "foveon"}, "degradation.mosaic: got 'foveon'"),
    ],
)
def test_contradictions(settings, message):
    with pytest.raises(InputError, match=message):
        recipe.load("sid_sony", settings)
