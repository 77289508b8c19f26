import numpy as np
import pytest

from ms_restore.degradations import kspace
from ms_restore.degradations.kspace import Undersampled, draw_mask, sampling_probability


def slices(count=4, side=65):
    return np.random.default_rng(0).integers(0, 256, (count, 1, side, side)).astype(np.uint8)


def rngs(count):
    return [np.random.default_rng(k) for k in range(count)]


def test_probability_falls_from_1_to_that_of_the_edge():
    p = sampling_probability(255, 255, 0.025)
    assert p[0, 0] == 1
    r = 100 / 127.5
    assert p[0, 100] == p[100, 0] == p[0, -100] == pytest.approx(0.025**r, rel=1e-5)
    assert p[30, 40] == pytest.approx(0.025 ** (50 / 127.5), rel=1e-5)
    assert p.mean() == pytest.approx(0.105, abs=0.001)


def test_masks_are_symmetric_with_that_mean():
    p = sampling_probability(255, 255, 0.025)
    masks = np.array([draw_mask(p, rng) for rng in rngs(60)])
    opposite = np.roll(masks[:, ::-1, ::-1], 1, axis=(1, 2))
    assert (masks == opposite).all()
    assert masks.mean() == pytest.approx(0.105, abs=0.001)
    assert masks[:, 0, 0].all()
    z = (masks.mean(axis=0) - p) / np.sqrt(p * (1 - p) / 60 + 1e-9)
    assert z[1:, 1:].std() == pytest.approx(1, abs=0.03)  # each with its own p, no more, no less
    assert abs(z.mean()) < 0.02


@pytest.mark.parametrize("side", [64, 65])
def test_measured_frequencies_are_those_of_x_and_the_others_0(side):
    x = slices(side=side)
    y = Undersampled(p_at_edge=0.1).patches(x, rngs(4))
    assert y.shape == (4, 2, side, side)
    p = sampling_probability(side, side, 0.1)
    known = y[:, 1] > 0
    np.testing.assert_array_equal(y[:, 1][known], np.broadcast_to(p, known.shape)[known])
    found, clean = np.fft.fft2(y[:, 0]), np.fft.fft2(x[:, 0] / 255)
    largest = np.abs(clean).max()
    np.testing.assert_allclose((found * p)[known], clean[known], atol=1e-6 * largest)
    assert np.abs(found[~known]).max() < 1e-6 * largest


def test_expectation_is_the_clean_image():
    """Each frequency's weight 1 / p makes up for its absence."""
    x = np.repeat(slices(1, 33), 3000, axis=0)
    y = Undersampled(p_at_edge=0.3).patches(x, rngs(3000))[:, 0]
    clean = x[0, 0] / 255
    error = np.sqrt(np.mean((y.mean(axis=0) - clean) ** 2))
    assert error < 2 * np.sqrt(np.mean((y - clean) ** 2) / 3000)


def test_a_target_is_the_image_alone():
    """Of the same transform as y, but measured anew."""
    x = slices()
    degradation = Undersampled()
    sources = rngs(4)
    y, target = degradation.pairs(x, sources)
    assert target.shape == (4, 1, 65, 65)
    again = rngs(4)
    np.testing.assert_array_equal(y, degradation.patches(x, again))
    np.testing.assert_array_equal(target, degradation.patches(x, again)[:, :1])


def test_zero_filled():
    """What the scanner would show: the measured frequencies with their own weight."""
    x = slices(1)[0].transpose(1, 2, 0)
    degradation = Undersampled()
    y = degradation(x, np.random.default_rng(0))
    assert y.shape == (65, 65, 2)
    spectrum = np.fft.fft2(x[:, :, 0] / 255) * (y[:, :, 1] > 0)
    expected = np.fft.ifft2(spectrum).real
    np.testing.assert_allclose(degradation.baseline(y)[:, :, 0], expected, atol=1e-5)


def test_spectra_come_back_from_bytes_and_move_as_their_images_roll():
    rng = np.random.default_rng(0)
    for height, width in ((31, 31), (16, 20)):
        x = rng.integers(0, 256, (3, height, width, 1), np.uint8)
        moves = rng.integers(-40, 41, (3, 2))
        rolled = [np.roll(image, move, axis=(0, 1)) for image, move in zip(x, moves)]
        spectra = np.stack([kspace.half_spectrum(image) for image in x])
        assert spectra.dtype == np.complex64
        assert spectra[0].nbytes == kspace.spectrum_bytes(height, width)
        data = spectra[0].ravel().view(np.uint8)
        np.testing.assert_array_equal(kspace.spectrum_from_bytes(data, height, width), spectra[0])
        found = kspace.shift_spectra(spectra, list(moves), (height, width))
        wanted = np.stack([kspace.half_spectrum(image) for image in rolled])
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
