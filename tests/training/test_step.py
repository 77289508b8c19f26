"""The compiled step against the same mathematics in NumPy."""

import mindspore as ms
import numpy as np
from mindspore import nn

from ms_restore.training.losses import L1, MSE
from ms_restore.training.optimizers import adam, sgd
from ms_restore.training.step import NetworkWithLoss, TrainStep


def test_losses_by_hand():
    x_hat = ms.Tensor(np.array([[1.0, 4.0]], np.float32))
    x = ms.Tensor(np.array([[2.0, 1.0]], np.float32))
    assert float(L1()(x_hat, x)) == 2
    assert float(MSE()(x_hat, x)) == 5


def _step(optimizer, rates, **options):
    network = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    step = TrainStep(
        NetworkWithLoss(network, MSE()), optimizer(network.trainable_params(), rates, **options)
    )
    step.set_train()
    y, x = (ms.Tensor(np.array([[value]], np.float32)) for value in (2.0, 1.0))
    losses = [float(step(y, x)) for _ in rates]
    return losses, float(network.weight)


def test_sgd_follows_the_rates():
    """loss (2w - 1)^2, gradient 4 (2w - 1)."""
    losses, weight = _step(sgd, [0.1, 0.01], momentum=0.0)
    first = 1 - 0.1 * 4 * (2 * 1 - 1)
    second = first - 0.01 * 4 * (2 * first - 1)
    np.testing.assert_allclose(losses, [1, (2 * first - 1) ** 2], rtol=1e-6)
    np.testing.assert_allclose(weight, second, rtol=1e-6)


def test_adam_by_its_formula():
    rates, beta1, beta2, eps = [0.1, 0.05, 0.02], 0.8, 0.95, 1e-8
    _, weight = _step(adam, rates, beta1=beta1, beta2=beta2, eps=eps)
    w, m, v = 1.0, 0.0, 0.0
    for t, rate in enumerate(rates, 1):
        gradient = 4 * (2 * w - 1)
        m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
        w -= rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    np.testing.assert_allclose(weight, w, rtol=1e-5)
