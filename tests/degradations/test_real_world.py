"""The second-order degradation: its kernels, geometry, noise and target."""

import cv2
import numpy as np
import pytest

from ms_restore import recipe
from ms_restore.data import photos
from ms_restore.data.batch_assembly import BatchAssembler
from ms_restore.degradations import kernels, random_kernels, real_world
from ms_restore.degradations.real_world import RealWorld
from ms_restore.errors import InputError

QUIET = {  # nothing but the last resize and JPEG of the best quality
    "kernel_shares": [1.0, 0, 0, 0, 0, 0],
    "sinc_share": 0.0,
    "blur_sigma": [0.05, 0.05],
    "blur_share_2": 0.0,
    "resize_shares": [0.0, 0, 1],
    "resize_shares_2": [0.0, 0, 1],
    "gaussian_share": 1.0,
    "sigma_255": [1e-6, 1e-6],
    "sigma_255_2": [1e-6, 1e-6],
    "quality": [100, 100],
    "final_sinc_share": 0.0,
}


def rngs(count, first=0):
    return [np.random.default_rng(first + n) for n in range(count)]


def test_gaussians_are_those_of_the_formula():
    squares = random_kernels.elliptic(13, (1.6, 1.6), 0.7)
    kernel = random_kernels.gaussian(squares)
    expected = kernels.normalise(kernels.gaussian(1.6))
    np.testing.assert_allclose(kernel[1:-1, 1:-1], expected, atol=2e-4)
    np.testing.assert_allclose(random_kernels.generalised(squares, 1.0), kernel, atol=1e-7)
    plateau = random_kernels.plateau(squares, 1.0)
    assert plateau[6, 6] / plateau[6, 8] == pytest.approx(1 + 4 / 1.6**2, rel=1e-5)
    for made in (kernel, plateau):
        assert made.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.2])
def test_deviations_lie_along_the_turned_axes(angle):
    kernel = random_kernels.gaussian(random_kernels.elliptic(41, (4.0, 1.5), angle)).astype(float)
    rows, columns = np.indices(kernel.shape) - 20
    cosine, sine = np.cos(angle), np.sin(angle)
    along, across = cosine * columns + sine * rows, cosine * rows - sine * columns
    assert (kernel * along**2).sum() == pytest.approx(16, rel=0.01)
    assert (kernel * across**2).sum() == pytest.approx(2.25, rel=0.01)


def test_a_sinc_keeps_what_is_below_its_cutoff():
    response = np.abs(np.fft.fft2(random_kernels.sinc(99, np.pi / 2), (256, 256)))
    frequency = 2 * np.pi * np.fft.fftfreq(256)
    radius = np.hypot(frequency, frequency[:, None])
    np.testing.assert_allclose(response[radius < 1.3], 1, atol=0.1)
    np.testing.assert_allclose(response[(radius > 1.8) & (radius < 3)], 0, atol=0.1)


def test_kernels_are_drawn_as_often_as_they_should_be(monkeypatch):
    drawn = []
    for name in ("gaussian", "generalised", "plateau", "sinc"):
        made = getattr(random_kernels, name)
        monkeypatch.setattr(
            random_kernels, name, lambda *a, n=name, f=made: (drawn.append(n), f(*a))[1]
        )
    ranges = random_kernels.KernelRanges(
        [7, 9], [0.45, 0.25, 0.12, 0.03, 0.12, 0.03], 0.1, [0.3, 0.2], [0.5, 4], [1, 2]
    )
    rng = np.random.default_rng(0)
    sizes = {ranges.blur([0.2, 3], rng).shape for _ in range(4000)}
    assert sizes == {(7, 7), (9, 9)}
    shares = {name: drawn.count(name) / 4000 for name in set(drawn)}
    expected = {"gaussian": 0.63, "generalised": 0.135, "plateau": 0.135, "sinc": 0.1}
    assert shares == pytest.approx(expected, abs=0.02)


def test_blur_by_rows_and_columns_is_the_same():
    z = np.random.default_rng(0).random((30, 41, 3), np.float32)
    for angle, sigmas in ((0.0, (2.0, 2.0)), (0.5, (2.0, 0.7))):
        kernel = random_kernels.gaussian(random_kernels.elliptic(15, sigmas, angle))
        expected = cv2.filter2D(z, -1, kernel, borderType=cv2.BORDER_REFLECT)
        np.testing.assert_allclose(real_world._filtered(z, kernel), expected, atol=1e-5)


@pytest.mark.parametrize("margin", [0, 10, 32])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_patch_shows_what_its_target_shows(scale, margin):
    """Without blur and noise, y is x made smaller, wherever the blocks of JPEG begin."""
    made = RealWorld(scale=scale, margin=margin, **QUIET)
    assert made.margin % scale == 0
    side = 12 * scale + 2 * made.margin
    smooth = cv2.GaussianBlur(photos.load("chelsea"), (0, 0), 3)
    x = np.stack([smooth[at : at + side, at : at + side].transpose(2, 0, 1) for at in (10, 60, 90)])
    y = made.patches(x, rngs(3))
    assert (y.shape, y.dtype) == ((3, 3, 12, 12), np.uint8)
    inner = x[:, :, made.margin :, made.margin :][:, :, : 12 * scale, : 12 * scale]
    means = inner.reshape(3, 3, 12, scale, 12, scale).mean(axis=(3, 5))
    assert np.abs(y - means).mean() < 2.5
    whole = made(x[0].transpose(1, 2, 0), np.random.default_rng(0))
    assert whole.shape == (side // scale, side // scale, 3)
    assert made.baseline(whole).shape == (side, side, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_gaussian_noise_has_the_deviation_that_is_set(channels):
    noise = {"sigma_255": [12.0, 12.0], "sigma_255_2": [5.0, 5.0]}
    x = np.full((128, 128, channels), 128, np.uint8)
    y = RealWorld(**{**QUIET, **noise, "gray_share": 0.0})(x, np.random.default_rng(0))
    luma = np.array([0.299, 0.587, 0.114]) if channels == 3 else np.ones(1)  # JPEG blurs colours
    expected = 13 * np.linalg.norm(luma)
    assert (y @ luma).std() == pytest.approx(expected, rel=0.05)
    gray = RealWorld(**{**QUIET, **noise, "gray_share": 1.0})(x, np.random.default_rng(0))
    assert gray.std() == pytest.approx(13, rel=0.05)
    assert np.ptp(gray, axis=2).max() <= 1


def test_photon_noise_grows_with_the_light():
    settings = {**QUIET, "gaussian_share": 0.0, "gray_share": 1.0}
    settings |= {"poisson": [2.0, 2.0], "poisson_2": [1e-6, 1e-6]}
    for level in (40, 160):
        x = np.full((128, 128, 3), level, np.uint8)
        y = RealWorld(**settings)(x, np.random.default_rng(0)).astype(float)
        assert y.mean() == pytest.approx(level, abs=0.6)
        assert y.std() == pytest.approx(2 * level**0.5, rel=0.05)


def test_pictures_are_enlarged_reduced_and_kept_in_their_shares():
    rng = np.random.default_rng(0)
    factors = np.array([real_world._factor([0.2, 0.7, 0.1], [0.15, 1.5], rng) for _ in range(3000)])
    shares = [(factors > 1).mean(), (factors < 1).mean(), (factors == 1).mean()]
    assert shares == pytest.approx([0.2, 0.7, 0.1], abs=0.03)
    assert 0.15 <= factors.min() < 0.17
    assert 1.48 < factors.max() <= 1.5


def test_each_patch_is_degraded_in_its_own_way():
    """The same patch ten times: strong differences, and the same again from the same seeds."""
    made = RealWorld(scale=4)
    x = np.repeat(photos.load("coffee")[None, 100:228, 100:228].transpose(0, 3, 1, 2), 10, axis=0)
    y = made.patches(x, rngs(10)).astype(float)
    np.testing.assert_array_equal(y, made.patches(x, rngs(10)))
    differences = [np.abs(one - other).mean() for one, other in zip(y, y[1:])]
    assert min(differences) > 1


def test_the_target_alone_is_sharpened():
    """As in the whole picture: edges gain contrast, what differs by less than 10 levels stays."""
    x = photos.load("coffee")[:200, :200].astype(np.float32).transpose(2, 0, 1)[None] / 255
    made = RealWorld(scale=2, sharpen=0.5)
    sharp = made.goal(x)
    assert (sharp.shape, sharp.dtype) == (x.shape, np.float32)
    assert np.diff(sharp).std() > 1.1 * np.diff(x).std()
    assert (sharp.min(), sharp.max()) >= (0, 0) and sharp.max() <= 1
    inner = made.goal(x[:, :, 20:160, 20:160])
    np.testing.assert_allclose(inner[:, :, 52:-52, 52:-52], sharp[:, :, 72:108, 72:108], atol=1e-5)
    flat = 0.5 + 0.01 * np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    np.testing.assert_array_equal(made.goal(flat), flat)
    assert RealWorld(scale=2).goal(x) is x

    patches = np.round(255 * x[:, :, :160, :160]).astype(np.uint8).transpose(0, 2, 3, 1)
    plain = BatchAssembler(RealWorld(scale=2))(patches, None, [0], rngs(1))
    sharpened = BatchAssembler(made)(patches, None, [0], rngs(1))
    np.testing.assert_array_equal(plain[0], sharpened[0])
    assert sharpened[1].shape == (1, 3, 96, 96)
    assert np.diff(sharpened[1]).std() > 1.1 * np.diff(plain[1]).std()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"sigma_255": [30.0, 1.0]},
            r"sigma_255 .*expected \[low, high\], such as \[1\.0, 30\.0\]",
        ),
        ({"kernel_sizes": [8, 20]}, "kernel_sizes .*expected odd numbers"),
        ({"resize_shares": [0.0, 0.0, 0.0]}, "resize_shares .*all are 0"),
        ({"resize": [1.2, 1.5]}, "resize .*expected factors around 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=rf"^degradation\.{message}"):
        RealWorld(**settings)


def test_the_patch_is_a_multiple_of_the_scale():
    with pytest.raises(InputError, match=r"data\.patch_size 255 is no multiple of network\.scale"):
        recipe.load("real_x4", {"data.patch_size": 255})
