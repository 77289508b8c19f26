"""JPEG, bicubic upsampling, and the mixture that DnCNN-3 trains on."""

import io

import numpy as np
import PIL.Image
import pytest

from ms_restore import seeds
from ms_restore.data import photos
from ms_restore.degradations.bicubic import BicubicUpsampled
from ms_restore.degradations.jpeg import JPEG
from ms_restore.degradations.mixture import Mixture
from ms_restore.images.arrays import to_float
from ms_restore.images.resize import imresize
from ms_restore.metrics.quality import psnr


@pytest.fixture(scope="module")
def photo():
    return photos.load("chelsea")[40:160, 100:256]


def _rngs(count):
    return [seeds.sample_rng(0, sample) for sample in range(count)]


@pytest.mark.parametrize("quality", [5, 40, 95])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_another_encoder_makes(photo, channels, quality):
    """Pillow's libjpeg, up to rounding of the colour transform; colours are not swapped."""
    x = photo[:, :, :channels]
    file = io.BytesIO()
    PIL.Image.fromarray(x.squeeze()).save(file, "JPEG", quality=quality, subsampling=2)
    expected = np.asarray(PIL.Image.open(file)).reshape(x.shape)
    y = JPEG(quality=quality)(x, None)
    assert y.dtype == np.uint8
    assert psnr(y, expected) > 45
    assert psnr(y, x) == pytest.approx(psnr(expected, x), abs=0.1)


def test_jpeg_patches_are_cut_from_a_compressed_image(photo):
    """With every block's beginning: none of the eight columns is always the first of a block."""
    x = np.repeat(photo[None, :88, :88, :1].transpose(0, 3, 1, 2), 40, axis=0)
    y = JPEG(quality=10).patches(x, _rngs(40))
    assert y.shape == (40, 1, 72, 72)
    inner = x[:, :, 8:-8, 8:-8]
    assert psnr(y, inner) == pytest.approx(psnr(JPEG(quality=10)(photo, None), photo), abs=3)
    steps = np.abs(np.diff(y.astype(int), axis=3)).mean(axis=(1, 2))  # 40 patches, 71 columns
    phases = {int(np.argmax([row[k::8].mean() for k in range(8)])) for row in steps}
    assert len(phases) > 4


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_upsampled_patches_equal_the_whole(photo, factor):
    degradation = BicubicUpsampled(factor=factor)
    margin = degradation.margin
    x = photo[:, :, :2]  # its sides are multiples of 2, 3 and 4
    whole = degradation(x, None)
    small = imresize(x, x.shape[0] // factor, x.shape[1] // factor)
    np.testing.assert_array_equal(whole, imresize(small, *x.shape[:2]))
    top, left = 12, 24
    side = 37 + 2 * margin
    window = x[top : top + side, left : left + side].transpose(2, 0, 1)[None]
    y = degradation.patches(window, _rngs(1))[0].transpose(1, 2, 0)
    expected = whole[top + margin : top + margin + 37, left + margin : left + margin + 37]
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y, expected)


def test_upsampled_keeps_odd_sizes(photo):
    y = BicubicUpsampled(factor=4)(photo[:41, :53], None)
    assert y.shape == (41, 53, 3)


def _mixture():
    return Mixture(sigma_255=[0, 55], factors=[2, 3, 4], quality=[5, 99])


def test_the_mixture_makes_all_three(photo):
    """Noise is float and anywhere, JPEG and resizing are 8 bit; patch and whole draw alike."""
    degradation = _mixture()
    margin = degradation.margin
    side = 40 + 2 * margin
    x = np.repeat(photo[None, :side, :side, :1].transpose(0, 3, 1, 2), 60, axis=0)
    y = degradation.patches(x, _rngs(60))
    assert y.shape == (60, 1, 40, 40)
    assert y.dtype == np.float32
    levels = np.abs(y * 255 - np.round(y * 255)).max(axis=(1, 2, 3)) < 1e-3
    assert 10 < levels.sum() < 58  # two of three kinds are 8 bit
    noisy = ~levels
    assert 8 < noisy.sum() < 35
    clean = to_float(x[:, :, margin:-margin, margin:-margin])
    errors = np.abs(y - clean).mean(axis=(1, 2, 3))
    assert errors.max() < 0.3
    assert (errors > 0).all()
    assert len(np.unique(errors)) > 40


def test_the_mixture_of_a_whole_image(photo):
    degradation = _mixture()
    names = [f"image{number}" for number in range(12)]
    made = [degradation(photo, seeds.image_rng(0, name)) for name in names]
    again = [degradation(photo, seeds.image_rng(0, name)) for name in names]
    assert all((y == other).all() for y, other in zip(made, again))
    assert {y.shape for y in made} == {photo.shape}
    assert len({y.tobytes() for y in made}) > 6
