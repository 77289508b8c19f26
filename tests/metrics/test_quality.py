import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ms_restore.metrics.quality import luma, psnr, ssim


def noise(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape).astype(np.uint8)


def noisy(image, sigma=12):
    rng = np.random.default_rng(3)
    return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255)


def smooth(*shape):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    image = 128 + 60 * np.sin(rows / 5) + 50 * np.cos(columns / 7)
    return image if len(shape) == 2 else np.dstack([np.roll(image, 3 * c) for c in range(shape[2])])


def ssim_by_formula(x_hat, x, peak):
    """Wang et al. 2004, written out: a weighted sum over each 11x11 window, one after the other."""
    t = np.arange(-5, 6)
    window = np.exp(-(t[:, None] ** 2 + t**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a = x_hat[row : row + 11, column : column + 11]
            b = x[row : row + 11, column : column + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            values.append(
                (2 * mean_a * mean_b + c1)
                * (2 * covariance + c2)
                / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return np.mean(values)


# PSNR


def test_psnr_by_hand():
    x = np.zeros((2, 2, 1))
    # one of four pixels is 10 off: 10 log10(65025 / 25) = 34.1514...
    x_hat = np.array([[[10.0], [0.0]], [[0.0], [0.0]]])
    assert psnr(x_hat, x) == pytest.approx(34.15140352195873, abs=1e-12)
    assert psnr(x + 25.5, x) == pytest.approx(20, abs=1e-12)
    assert psnr(x + 0.1, x, peak=1) == pytest.approx(20, abs=1e-12)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (31, 18, 3)])
def test_psnr_equals_scikit_image(shape):
    x, x_hat = noise(*shape), noise(*shape, seed=1)
    expected = peak_signal_noise_ratio(x, x_hat, data_range=255)
    assert psnr(x_hat, x) == pytest.approx(expected, abs=1e-10)
    ours = psnr(x_hat / 255, x / 255, peak=1.0)
    assert ours == pytest.approx(expected, abs=1e-10)


def test_psnr_of_8_bit_does_not_wrap():
    """3 - 5 is 254 in uint8, and 20 squared is 144."""
    x, x_hat = np.full((4, 4), 5, np.uint8), np.full((4, 4), 3, np.uint8)
    assert psnr(x_hat, x) == pytest.approx(10 * math.log10(65025 / 4))
    assert psnr(x, x_hat) == psnr(x_hat, x)
    assert psnr(x + np.uint8(20), x) == pytest.approx(10 * math.log10(65025 / 400))


def test_psnr_of_half_precision_does_not_overflow():
    x = np.zeros((64, 64), np.float16)
    assert psnr(x + np.float16(255), x) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_psnr_of_equal_images_is_infinite(dtype):
    x = noise(9, 7, 3).astype(dtype)
    assert psnr(x, x.copy()) == float("inf")


# SSIM


@pytest.mark.parametrize("peak", [255.0, 1.0])
@pytest.mark.parametrize("shape", [(11, 11), (11, 20), (23, 17)])
def test_ssim_equals_its_formula(shape, peak):
    x = smooth(*shape)
    x_hat = noisy(x)
    x, x_hat = x * peak / 255, x_hat * peak / 255
    expected = ssim_by_formula(x_hat, x, peak)
    assert 0.05 < expected < 0.95
    assert ssim(x_hat, x, peak=peak) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_colour_is_the_mean_over_channels():
    x = smooth(16, 19, 3)
    x_hat = noisy(x) * [1, 0.9, 0.7]
    channels = [ssim_by_formula(x_hat[:, :, c], x[:, :, c], 255) for c in range(3)]
    assert np.ptp(channels) > 0.01
    assert ssim(x_hat, x) == pytest.approx(np.mean(channels), abs=1e-6)


def test_ssim_of_one_channel_is_that_of_the_plane():
    x = smooth(16, 19)
    x_hat = noisy(x)
    assert ssim(x_hat[:, :, None], x[:, :, None]) == pytest.approx(ssim(x_hat, x), abs=1e-12)


@pytest.mark.parametrize("shape", [(24, 31), (24, 31, 3)])
def test_ssim_equals_scikit_image(shape):
    """Its map, cut to the windows that lie inside, with the settings that it names for Wang."""
    x = smooth(*shape)
    x_hat = noisy(x)
    _, values = structural_similarity(
        x_hat,
        x,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if len(shape) == 3 else None,
        full=True,
    )
    assert ssim(x_hat, x) == pytest.approx(values[5:-5, 5:-5].mean(), abs=1e-12)


def test_ssim_of_8_bit_does_not_wrap():
    x, x_hat = noise(16, 16), noise(16, 16, seed=1)
    assert ssim(x_hat, x) == pytest.approx(ssim(x_hat.astype(float), x.astype(float)), abs=1e-12)


def test_ssim_of_equal_images_is_one():
    x = noise(16, 16, 3)
    assert ssim(x, x.copy()) == pytest.approx(1, abs=1e-12)


def test_ssim_of_constants_by_hand():
    """No variance: (2 * 100 * 150 + 6.5025) / (100^2 + 150^2 + 6.5025)."""
    x, x_hat = np.full((12, 12), 100.0), np.full((12, 12), 150.0)
    assert ssim(x_hat, x) == pytest.approx(30006.5025 / 32506.5025, abs=1e-9)


@pytest.mark.parametrize("shape", [(10, 20), (20, 10), (10, 20, 3)])
def test_ssim_needs_11_pixels(shape):
    with pytest.raises(ValueError, match="win_size"):
        ssim(np.zeros(shape), np.zeros(shape))


# Luma


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        ((255, 255, 255), 235.0),
        ((0, 0, 0), 16.0),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
        ((128, 128, 128), 16 + 219 * 128 / 255),
        ((10, 20, 30), 16 + (654.81 + 2571.06 + 748.98) / 255),
    ],
)
def test_luma_by_hand(rgb, y):
    assert luma(np.array([[rgb]], np.uint8))[0, 0] == pytest.approx(y, abs=1e-9)
    assert luma(np.array([[rgb]], np.float64))[0, 0] == pytest.approx(y, abs=1e-9)


def test_luma_takes_the_channels_away():
    assert luma(noise(9, 7, 3)).shape == (9, 7)
    assert luma(noise(9, 7, 3)).dtype == np.float64
