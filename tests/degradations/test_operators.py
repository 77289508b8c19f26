"""The law of every operator, <A x, u> = <x, A^T u>, and that the device computes the same."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from scipy.signal import correlate2d

from ms_restore.data import photos
from ms_restore.degradations import demosaicing, kernels
from ms_restore.degradations.bayer_mosaic import BayerMosaic
from ms_restore.degradations.device import OperatorCell
from ms_restore.degradations.operators import Blur, BlurDownsample, Mask
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.metrics.quality import psnr

SIZES = [(24, 31), (33, 26)]
_RNG = np.random.default_rng(3)
# Without symmetry, or a flipped kernel would pass; blurred with in each of the two ways.
SMALL, LARGE = (kernels.normalise(_RNG.random(shape)) for shape in ((3, 5), (13, 11)))


def _mask(height, width):
    return np.random.default_rng(1).random((height, width)) > 0.6


OPERATORS = {
    "identity": lambda size: Blur(),
    "blur by convolution": lambda size: Blur(SMALL),
    "blur by transform": lambda size: Blur(LARGE),
    "downsample x2": lambda size: BlurDownsample(SMALL, 2),
    "downsample x3": lambda size: BlurDownsample(LARGE, 3),
    "downsample x4 without blur": lambda size: BlurDownsample(None, 4),
    "mask": lambda size: Mask(_mask(*size)),
    "Bayer RGGB": lambda size: BayerMosaic(),
    "blur and Bayer GBRG": lambda size: BayerMosaic("GBRG", SMALL),
}


class _Adjoint(nn.Cell):
    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def construct(self, y):
        return self.operator.adjoint(y)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_adjoint_law_and_the_device(name, size):
    operator = OPERATORS[name](size)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, *size))
    y = operator.forward(x)
    u = rng.standard_normal(y.shape)
    back = operator.adjoint(u, size)
    assert y.dtype == back.dtype == np.float64
    assert back.shape == x.shape
    scale = np.linalg.norm(y) * np.linalg.norm(u)
    assert abs((y * u).sum() - (x * back).sum()) < 1e-10 * scale

    cell = operator.cell(*size)
    on_device = cell(ms.Tensor(x, ms.float32)).asnumpy()
    back_on_device = _Adjoint(cell)(ms.Tensor(u, ms.float32)).asnumpy()
    assert np.abs(on_device - y).max() < 1e-4
    assert np.abs(back_on_device - back).max() < 1e-4
    products = (on_device * u).sum(), (x * back_on_device).sum()
    assert abs(products[0] - products[1]) < 1e-4 * scale


def test_blur_is_correlation_where_the_kernel_lies_inside():
    kernel = np.arange(15.0).reshape(3, 5)
    x = np.random.default_rng(0).random((1, 2, 9, 12))
    y = Blur(kernel).forward(x)
    assert y.shape == (1, 2, 7, 8)
    for channel in range(2):
        expected = correlate2d(x[0, channel], kernel, mode="valid")
        assert np.abs(y[0, channel] - expected).max() < 1e-12


def test_float32_stays_float32():
    x = np.ones((1, 3, 20, 20), np.float32)
    for name, operator in OPERATORS.items():
        built = operator((20, 20))
        y = built.forward(x)
        assert y.dtype == built.adjoint(y).dtype == np.float32, name
        assert built.start(y).dtype == np.float32, name


@pytest.mark.parametrize("size", [(30, 29), (33, 36)])
def test_all_ways_of_blurring_on_the_device_agree(size):
    """By convolution, by transforms, and by matrix products, as on an Ascend."""
    x = ms.Tensor(np.random.default_rng(0).random((1, 3, *size)), ms.float32)
    ways = [
        OperatorCell(LARGE, *size, by_transform=transform, by_matrices=matrices)
        for transform, matrices in ((False, False), (True, False), (True, True))
    ]
    forward = [way(x).asnumpy() for way in ways]
    y = ms.Tensor(forward[0])
    backward = [_Adjoint(way)(y).asnumpy() for way in ways]
    for other in (1, 2):
        assert np.abs(forward[0] - forward[other]).max() < 2e-6
        assert np.abs(backward[0] - backward[other]).max() < 2e-6


def test_what_is_sampled():
    x = np.arange(2 * 3 * 6 * 6, dtype=float).reshape(2, 3, 6, 6)
    assert (BlurDownsample(None, 3).forward(x) == x[:, :, ::3, ::3]).all()
    y = BayerMosaic("GRBG").forward(x)
    assert y.shape == (2, 1, 6, 6)
    assert (y[:, 0, ::2, ::2] == x[:, 1, ::2, ::2]).all()  # green, red
    assert (y[:, 0, ::2, 1::2] == x[:, 0, ::2, 1::2]).all()
    assert (y[:, 0, 1::2, ::2] == x[:, 2, 1::2, ::2]).all()  # blue, green
    assert (y[:, 0, 1::2, 1::2] == x[:, 1, 1::2, 1::2]).all()


def test_start_keeps_what_is_known_and_fills_the_rest():
    x = np.random.default_rng(0).random((1, 3, 12, 12))
    hole = np.ones((12, 12), bool)
    hole[2:9, 2:9] = False  # larger than 3x3
    start = Mask(hole).start(Mask(hole).forward(x))
    assert (start[:, :, hole] == x[:, :, hole]).all()
    assert start[:, :, ~hole].min() >= x.min() > 0
    mosaic = BayerMosaic("RGGB")
    bilinear = Blur.start(mosaic, mosaic.forward(x))  # as it is without Menon's
    around = x[0, 0, [2, 2, 4, 4], [4, 6, 4, 6]].mean()  # red at a blue pixel
    assert bilinear[0, 0, 3, 5] == pytest.approx(around)
    edges = Blur(LARGE).start(x)
    assert edges.shape == (1, 3, 24, 22)
    assert (edges[:, :, :6, 5:-5] == x[:, :, :1]).all()


def test_gains_and_energy():
    y = np.zeros((1, 3, 8, 8))
    assert BlurDownsample(None, 3).gain(y) == 9
    assert BayerMosaic().gain(y) == 3
    half = np.zeros((8, 8))
    half[:4] = 1
    assert Mask(half).gain(y) == 2
    assert Blur(np.full((3, 3), 1 / 9)).energy == pytest.approx(1 / 9)


def test_what_does_not_fit():
    with pytest.raises(InputError, match=r"kernel is 11x11 .* larger than the image of 10x20"):
        Blur(np.ones((11, 11))).forward(np.ones((1, 3, 10, 20)))
    with pytest.raises(InputError, match=r"mask is 8x6, the image 9x6 .* the same size"):
        Mask(np.ones((6, 8))).forward(np.ones((1, 3, 6, 9)))
    with pytest.raises(InputError, match="with at least one"):
        Mask(np.zeros((6, 8)))
    with pytest.raises(InputError, match="'RGBG' is not known; choose RGGB"):
        BayerMosaic("RGBG")
    with pytest.raises(InputError, match="made of a colour image, this one has 1"):
        BayerMosaic().forward(np.ones((1, 1, 6, 6)))
    with pytest.raises(InputError, match=r"shape \(4, 3\): expected a matrix with odd sides"):
        Blur(np.ones((4, 3)))
    with pytest.raises(InputError, match="scale 0"):
        BlurDownsample(None, 0)


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_a_mosaic_is_begun_by_menon_where_that_is_installed(pattern, monkeypatch):
    x = to_float(photos.load("coffee")[100:160, 200:270]).transpose(2, 0, 1)[None]
    operator = BayerMosaic(pattern)
    y = operator.forward(x)
    monkeypatch.setattr(demosaicing, "is_installed", lambda: False)
    nearest = operator.start(y)
    monkeypatch.undo()
    pytest.importorskip("colour_demosaicing", reason="colour-demosaicing is optional")
    start = operator.start(y)
    assert start.dtype == y.dtype and start.shape == x.shape
    np.testing.assert_allclose(operator.forward(start), y, atol=1e-6)  # the known values stay
    assert psnr(255 * start, 255 * x) > psnr(255 * nearest, 255 * x) + 3
    assert operator.start(y[:, :, :6]).shape == (1, 3, 6, 70)  # too small for its filters
