"""What loses pixels: how many, independently of one another, and the same in any batch."""

import numpy as np
import pytest

from ms_restore import seeds
from ms_restore.degradations.corruptions import Bernoulli, Impulse, Text
from ms_restore.degradations.kspace import Undersampled
from ms_restore.degradations.noise import Gaussian, Poisson

SHADE = 100 / 255


def rngs(count):
    return [seeds.sample_rng(0, sample) for sample in range(count)]


def flat(count=60, channels=3, side=64):
    return np.full((count, channels, side, side), 100, np.uint8)


def changed(y):
    """The share of each patch's pixels that are not as they were, in any channel."""
    return (np.abs(y - SHADE) > 1e-6).any(axis=1).mean(axis=(1, 2))


ALL = {
    "gaussian": (Gaussian(sigma_255=[0, 50]), 3),
    "poisson": (Poisson(photons=[0.001, 50]), 3),
    "bernoulli": (Bernoulli(), 3),
    "impulse": (Impulse(), 3),
    "text": (Text(), 3),
    "undersampled": (Undersampled(), 1),
}


@pytest.fixture(params=ALL)
def every(request):
    """A degradation and patches for it, random so that nothing hides."""
    degradation, channels = ALL[request.param]
    pixels = np.random.default_rng(0).integers(40, 216, (5, channels, 33, 33))
    return degradation, pixels.astype(np.uint8)


def targets_of(degradation):
    return getattr(degradation, "targets", degradation.patches)


def test_a_patch_is_the_same_in_any_batch(every):
    degradation, x = every
    for made in (degradation.patches, targets_of(degradation)):
        together = made(x, rngs(5))
        assert together.dtype == np.float32
        np.testing.assert_array_equal(together[3:], made(x[3:], rngs(5)[3:]))
        assert (together[0] != together[1]).any()


def test_the_clean_patch_is_left_alone(every):
    degradation, x = every
    before = x.copy()
    degradation.patches(x, rngs(5))
    targets_of(degradation)(x, rngs(5))
    np.testing.assert_array_equal(x, before)


def test_input_and_target_are_independent(every):
    """Over draws from the same generators, the two errors of a pixel do not go together."""
    degradation, _ = every
    channels = 1 if isinstance(degradation, Undersampled) else 3
    x = flat(60, channels, 33)
    x[:, :, 8:20, 9:23] = 180
    sources = rngs(60)
    y = degradation.patches(x, sources)[:, :channels]
    target = targets_of(degradation)(x, sources)[:, :channels]
    errors = [part - x / np.float32(255) for part in (y, target)]
    one, other = (error - error.mean(axis=0) for error in errors)
    scale = np.sqrt((one**2).mean() * (other**2).mean())
    assert abs((one * other).mean()) < 0.06 * scale
    assert (one**2).mean() > 1e-5


def test_evaluation_is_a_function_of_the_name(every):
    degradation, x = every
    image = x[0].transpose(1, 2, 0)
    first = degradation(image, seeds.image_rng(0, "slice"))
    np.testing.assert_array_equal(first, degradation(image, seeds.image_rng(0, "slice")))
    assert (first != degradation(image, seeds.image_rng(0, "other"))).any()
    assert first.shape[:2] == image.shape[:2]


@pytest.mark.parametrize(
    ("corruption", "most", "at_evaluation", "tolerance"),
    [(Bernoulli(), 0.95, 0.5, 0.02), (Impulse(), 0.95, 0.7, 0.02), (Text(), 0.5, 0.25, 0.05)],
)
def test_share_of_pixels(corruption, most, at_evaluation, tolerance):
    """Uniform from none to the most in training, fixed in evaluation."""
    side = 160 if isinstance(corruption, Text) else 64
    shares = changed(corruption.patches(flat(150, side=side), rngs(150)))
    assert shares.min() < 0.05 * most + tolerance
    assert most * 0.93 < shares.max() < most + 2 * tolerance
    assert shares.mean() == pytest.approx(most / 2, abs=0.06)
    assert shares.var() == pytest.approx(most**2 / 12, rel=0.25)
    y = corruption(np.full((200, 150, 3), 100, np.uint8), np.random.default_rng(1))
    assert changed(y.transpose(2, 0, 1)[None])[0] == pytest.approx(at_evaluation, abs=tolerance)


def test_a_lost_pixel_is_0_in_every_channel_and_the_mask_says_where():
    y = Bernoulli().patches(flat(20), rngs(20))
    assert set(np.unique(y)) == {0, np.float32(SHADE)}
    assert (y == y[:, :1]).all()
    target = Bernoulli().targets(flat(20), rngs(20))
    assert target.shape == (20, 4, 64, 64)
    np.testing.assert_array_equal(target[:, :3] > 0, np.repeat(target[:, 3:] > 0, 3, axis=1))
    assert set(np.unique(target[:, 3])) == {0, 1}


def test_mean_and_variance_of_lost_pixels():
    x = np.full((300, 300, 3), 200, np.uint8)
    y = Bernoulli(eval_share=0.3)(x, np.random.default_rng(0))
    mean = 0.7 * 200 / 255
    assert y.mean() == pytest.approx(mean, rel=0.01)
    assert y.var() == pytest.approx(0.3 * 0.7 * (200 / 255) ** 2, rel=0.02)


def test_impulses_are_uniform_colours():
    y = Impulse(eval_share=1.0)(np.full((300, 300, 3), 100, np.uint8), np.random.default_rng(0))
    assert y.mean() == pytest.approx(0.5, abs=0.005)
    assert y.var() == pytest.approx(1 / 12, rel=0.01)
    assert abs(np.corrcoef(y[:, :, 0].ravel(), y[:, :, 1].ravel())[0, 1]) < 0.02
    half = Impulse(eval_share=0.5)(np.full((300, 300, 3), 100, np.uint8), np.random.default_rng(0))
    assert half.mean() == pytest.approx((0.5 + SHADE) / 2, abs=0.005)


def test_text_is_drawn_in_random_colours_and_elsewhere_nothing():
    x = np.full((200, 200, 3), 100, np.uint8)
    y = Text(eval_share=0.2)(x, np.random.default_rng(0))
    touched = (np.abs(y - SHADE) > 1e-6).any(axis=2)
    assert 0.19 < touched.mean() < 0.3
    assert len(np.unique(y[touched].round(3), axis=0)) > 4
    assert (Text(eval_share=0.0)(x, np.random.default_rng(0)) == np.float32(SHADE)).all()


def test_gray_images():
    for corruption in (Bernoulli(), Impulse(), Text()):
        y = corruption(np.full((50, 40, 1), 100, np.uint8), np.random.default_rng(0))
        assert y.shape == (50, 40, 1)
        assert corruption.patches(flat(2, 1), rngs(2)).shape == (2, 1, 64, 64)
