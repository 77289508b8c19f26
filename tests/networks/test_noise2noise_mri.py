import mindspore as ms
import numpy as np
import pytest

from ms_restore.degradations.kspace import Undersampled
from ms_restore.networks.noise2noise_mri import MeasuredFrequencies, Noise2NoiseMRI
from ms_restore.training.losses import MSE
from ms_restore.training.step import NetworkWithLoss

pytestmark = pytest.mark.slow

SIDE = 31


def measured(side=SIDE, count=2, p_at_edge=0.1):
    """Clean slices (N, 1, side, side), and what a scanner measures of them (N, 2, side, side)."""
    rng = np.random.default_rng(0)
    x = (rng.random((count, 1, side, side)) * 255).astype(np.uint8)
    rngs = [np.random.default_rng(k) for k in range(count)]
    return x / np.float32(255), Undersampled(p_at_edge=p_at_edge).patches(x, rngs)


def by_fft(x, y, p):
    """float64: the known frequencies of x replaced by p F(y)."""
    known, spectrum = p > 0, np.fft.fft2(x.astype(np.float64))
    spectrum[known] = (p * np.fft.fft2(y.astype(np.float64)))[known]
    return np.fft.ifft2(spectrum).real


@pytest.mark.parametrize("side", [SIDE, 255])
def test_equals_the_fast_fourier_transform(side):
    _, y = measured(side)
    x = np.random.default_rng(3).random((2, 1, side, side), np.float32)
    cell = MeasuredFrequencies(side)
    found = cell(ms.Tensor(x), ms.Tensor(y[:, :1]), ms.Tensor(y[:, 1:])).asnumpy()
    expected = by_fft(x, y[:, :1], y[:, 1:])
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(expected - x).max() > 0.1
    real, imaginary = cell.transform(ms.Tensor(x))
    spectrum = np.fft.fft2(x)
    difference = real.asnumpy() + 1j * imaginary.asnumpy() - spectrum
    assert np.abs(difference).max() <= 1e-4 * np.abs(spectrum).max()
    back = cell.inverse(real, imaginary).asnumpy()
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_gradient_is_the_analytic_one():
    """x_hat is linear in x, and symmetric: known frequencies are taken out of the gradient too."""
    _, y = measured()
    x, weight = np.random.default_rng(4).random((2, 2, 1, SIDE, SIDE), np.float32)
    cell = MeasuredFrequencies(SIDE)
    fixed = ms.Tensor(y[:, :1]), ms.Tensor(y[:, 1:])

    def total(x):
        return (cell(x, *fixed) * ms.Tensor(weight)).sum()

    gradient = ms.grad(total)(ms.Tensor(x)).asnumpy()
    spectrum = np.fft.fft2(weight)
    expected = np.fft.ifft2(np.where(y[:, 1:] > 0, 0, spectrum)).real
    assert np.abs(gradient - expected).max() <= 1e-4 * np.abs(expected).max()
    step = np.zeros_like(x)  # and the numerical one, exact for a linear function
    step[0, 0, 5, 7] = 10
    change = total(ms.Tensor(x + step)).asnumpy() - total(ms.Tensor(x - step)).asnumpy()
    assert change / 20 == pytest.approx(gradient[0, 0, 5, 7], abs=2e-3)


@pytest.mark.parametrize("amp_level", ["O0", pytest.param("O2", marks=pytest.mark.long)])
def test_known_frequencies_of_the_output_are_the_measured_ones(amp_level):
    """In float32, also where the U-Net computes in float16."""
    ms.set_seed(1)
    x, y = measured()
    network = Noise2NoiseMRI(side=SIDE, width=6)
    names = [p.name for p in network.get_parameters()]
    NetworkWithLoss(network, MSE(), amp_level)
    assert [p.name for p in network.get_parameters()] == names
    x_hat = network(ms.Tensor(y))
    assert (x_hat.dtype, x_hat.shape) == (ms.float32, (2, 1, SIDE, SIDE))
    known = y[:, 1:] > 0
    found, clean = np.fft.fft2(x_hat.asnumpy()), np.fft.fft2(x)
    largest = np.abs(clean).max()
    assert np.abs(found - clean)[known].max() <= 2e-5 * largest
    assert np.abs(found - clean)[~known].max() > 1e-3 * largest
    free = Noise2NoiseMRI(side=SIDE, width=6, keep_measured=False)
    other = np.fft.fft2(free(ms.Tensor(y)).asnumpy())
    assert np.abs(other - clean)[known].max() > 1e-3 * largest


def test_the_unet_alone_computes_in_float16():
    _, y = measured()
    ends = []
    for amp_level in ("O0", "O2"):
        ms.set_seed(2)
        network = Noise2NoiseMRI(side=SIDE, width=6)
        NetworkWithLoss(network, MSE(), amp_level)
        ends.append(network(ms.Tensor(y)).asnumpy())
    assert 1e-6 < np.abs(ends[1] - ends[0]).max() < 1e-2


@pytest.mark.long
def test_every_parameter_gets_a_finite_gradient_in_float16():
    """In float32: tests/test_contracts.py."""
    x, y = measured()
    network = Noise2NoiseMRI(side=SIDE, width=6).set_train()
    loss = NetworkWithLoss(network, MSE(), "O2")

    def scaled(y, x):
        return loss(y, x) * 1024.0  # as in training, so that float16 holds them

    weights = network.trainable_params()
    _, gradients = ms.value_and_grad(scaled, None, weights)(ms.Tensor(y), ms.Tensor(x))
    for parameter, gradient in zip(weights, gradients):
        assert gradient.dtype == ms.float32
        assert np.isfinite(gradient.asnumpy()).all(), parameter.name
        assert np.abs(gradient.asnumpy()).max() > 0, parameter.name


def test_graph_mode_equals_pynative():
    _, y = measured()
    network = Noise2NoiseMRI(side=SIDE, width=6).set_train(False)
    ends = []
    try:
        for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
            ms.set_context(mode=mode)
            ends.append(network(ms.Tensor(y)).asnumpy())
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)
