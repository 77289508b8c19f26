"""The losses of corrupted targets, by hand and through the training step."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from ms_restore import recipe
from ms_restore.training.losses import MSE, AnnealedL0, MaskedMSE
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
