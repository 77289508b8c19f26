"""The losses of corrupted targets, by hand and through the training step."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from ms_restore import recipe, registry
from ms_restore.training.losses import MSE, PSNR, AnnealedL0, Charbonnier, MaskedMSE
from ms_restore.training.step_builder import build_step


def _planes(*shape, seed=0):
    return ms.Tensor(np.random.default_rng(seed).random(shape, np.float32))


def test_masked_mse_counts_only_what_is_there():
    x_hat, target = _planes(2, 3, 4, 5), _planes(2, 4, 4, 5, seed=1).asnumpy()
    target[:, 3] = target[:, 3] > 0.5
    difference = (x_hat.asnumpy() - target[:, :3]) * target[:, 3:]
    loss = MaskedMSE()(x_hat, ms.Tensor(target))
    assert float(loss) == pytest.approx((difference**2).mean(), rel=1e-5)
    gradient = ms.grad(MaskedMSE())(x_hat, ms.Tensor(target)).asnumpy()
    assert (gradient[np.broadcast_to(target[:, 3:] == 0, gradient.shape)] == 0).all()
    clean = _planes(2, 3, 4, 5, seed=2)
    assert float(MaskedMSE()(x_hat, clean)) == float(MSE()(x_hat, clean))


class _Point(nn.Cell):
    """x_hat = w + y: a loss of one number."""

    def __init__(self):
        super().__init__()
        self.w = ms.Parameter(ms.Tensor(0.3, ms.float32), name="w")

    def construct(self, y):
        return self.w + y


@pytest.fixture
def annealed():
    settings = {"train.steps": 4, "train.optimizer": "sgd", "train.lr": 1e-9}
    settings |= {"train.amp_level": "O0", "train.schedule": "constant"}
    return recipe.load("noise2noise_impulse", settings)


def test_gamma_falls_from_2_to_0_over_the_run(annealed):
    step = build_step(_Point(), annealed)
    zero, target = ms.Tensor(np.zeros((1, 1, 1, 1), np.float32)), np.full((1, 1, 1, 1), 0.1)
    for number in range(4):
        loss = step(zero, ms.Tensor(target, ms.float32))[0]
        gamma = 2 - 2 * number / 4
        assert float(loss) == pytest.approx(0.2**gamma, rel=1e-4), number


def test_by_default_gamma_is_2():
    x_hat, x = _planes(1, 3, 4, 4), _planes(1, 3, 4, 4, seed=1)
    assert float(AnnealedL0()(x_hat, x)) == pytest.approx(float(MSE()(x_hat, x)), rel=1e-5)


def test_the_gradient_stays_finite_where_target_and_output_agree(annealed):
    step = build_step(_Point(), annealed)
    zero = ms.Tensor(np.zeros((1, 1, 1, 1), np.float32))
    same = ms.Tensor(np.full((1, 1, 1, 1), 0.3, np.float32))
    for _ in range(4):
        loss, _, skipped = step(zero, same)
        assert np.isfinite(float(loss))
        assert int(skipped) == 0


def test_psnr_counts_each_image_alike():
    x_hat, x = _planes(2, 3, 4, 5), _planes(2, 3, 4, 5, seed=1)
    errors = ((x_hat.asnumpy() - x.asnumpy()) ** 2).mean(axis=(1, 2, 3))
    assert float(PSNR()(x_hat, x)) == pytest.approx(10 * np.log10(errors).mean(), rel=1e-5)
    errors[1] /= 100
    nearer = x_hat.asnumpy().copy()
    nearer[1] = x.asnumpy()[1] + 0.1 * (nearer[1] - x.asnumpy()[1])
    loss = float(PSNR()(ms.Tensor(nearer), x))
    assert loss == pytest.approx(10 * np.log10(errors).mean(), rel=1e-4)
    assert loss == pytest.approx(float(PSNR()(x_hat, x)) - 10, rel=1e-4)


@pytest.mark.parametrize("loss", [PSNR(), Charbonnier()])
def test_a_perfect_image_has_a_finite_loss_and_no_gradient(loss):
    """In half precision too, where the square of a small error would be zero."""
    for dtype in (ms.float32, ms.float16):
        x = _planes(2, 3, 4, 5).astype(dtype)
        assert np.isfinite(float(loss(x, x)))
        np.testing.assert_array_equal(ms.grad(loss)(x, x).asnumpy(), 0)
    assert float(PSNR()(x, x)) == pytest.approx(-80, abs=0.01)
    near = float(PSNR()(x + ms.Tensor(2e-4, ms.float16), x))
    assert near < -60


def test_charbonnier_is_l1_of_large_errors_and_smooth_at_zero():
    zero = ms.Tensor(np.zeros((1, 1, 1, 1), np.float32))
    assert float(Charbonnier()(zero + 0.5, zero)) == pytest.approx(0.5, rel=1e-4)
    assert float(Charbonnier(eps=0.1)(zero, zero)) == pytest.approx(0.1)
    gradient = ms.grad(Charbonnier(eps=0.1))(zero + 0.1, zero)
    assert float(gradient.asnumpy()[0, 0, 0, 0]) == pytest.approx(0.5**0.5, rel=1e-4)


@pytest.mark.parametrize("loss", ["psnr", "charbonnier"])
def test_they_train_in_half_precision(loss):
    """With a perfect image beside one that is not; the loss scale falls until it can be used."""
    settings = {"train.loss": loss, "train.amp_level": "O2", "train.loss_scale": "dynamic"}
    settings |= {"network.blocks": 1, "network.filters": 4, "train.batch_size": 2}
    settings |= {"train.steps": 24, "train.warm_up": 0}
    loaded = recipe.load("edsr_quickstart", settings)
    network = registry.build("network", loaded.network)
    y = _planes(2, 3, 8, 8)
    x = _planes(2, 3, 16, 16, seed=1).asnumpy()
    x[0] = network(y).asnumpy()[0]  # perfect at first
    before = network.tail.weight.asnumpy().copy()
    step = build_step(network, loaded).set_train()
    losses = [float(step(y, ms.Tensor(x))[0]) for _ in range(24)]
    assert np.isfinite(losses).all()
    assert np.isfinite(network.tail.weight.asnumpy()).all()
    assert np.abs(network.tail.weight.asnumpy() - before).max() > 1e-4
