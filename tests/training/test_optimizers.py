import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from ms_restore.training.optimizers import adam, adam_w, betas1
from ms_restore.training.schedules import epoch_ramps


def _updates(optimizer, weight, gradients):
    seen = []
    for gradient in gradients:
        optimizer((Tensor(gradient, ms.float32),))
        seen.append(weight.asnumpy().copy())
    return np.array(seen)


def _by_hand(start, gradients, rates, betas, beta2=0.99, eps=1e-8):
    x, m, v, power1, power2, seen = start.astype(float), 0.0, 0.0, 1.0, 1.0, []
    for gradient, rate, beta1 in zip(gradients, rates, betas):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        power1, power2 = power1 * beta1, power2 * beta2
        x = x - rate * np.sqrt(1 - power2) / (1 - power1) * m / (np.sqrt(v) + eps)
        seen.append(x)
    return np.array(seen)


def test_beta1_falls_with_the_rate_from_its_peak():
    betas = betas1([0.1, 1.0, 0.5, 1.0, 0.75, 0.0], 0.9, 0.5)
    assert betas == pytest.approx([0.9, 0.9, 0.9, 0.9, 0.8, 0.5])


@pytest.mark.parametrize("end", [0.5, None])
def test_adam_follows_its_formula(end):
    rng = np.random.default_rng(0)
    start = rng.standard_normal(5).astype(np.float32)
    gradients = rng.standard_normal((12, 5)).astype(np.float32)
    rates = [1e-2 * epoch_ramps(step, 12, epoch=1, up=3, down=6) for step in range(12)]
    weight = Parameter(Tensor(start), name="weight")
    optimizer = adam([weight], rates, beta2=0.99, beta1_end=end)
    betas = betas1(rates, 0.9, 0.9 if end is None else end)
    expected = _by_hand(start, gradients, rates, betas)
    np.testing.assert_allclose(_updates(optimizer, weight, gradients), expected, atol=2e-6)
    if end is not None:
        assert isinstance(optimizer, nn.Optimizer)
        other = _by_hand(start, gradients, rates, [0.9] * 12)
        assert np.abs(expected - other).max() > 1e-4


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adam_w_is_that_of_pytorch(decay):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    rng = np.random.default_rng(0)
    start = rng.standard_normal(5).astype(np.float32)
    gradients = rng.standard_normal((6, 5)).astype(np.float32)
    rates = [0.03 * (step + 1) for step in range(6)]
    weight, theirs = Parameter(Tensor(start), name="weight"), torch.tensor(start)
    found = _updates(adam_w([weight], rates, beta2=0.9, weight_decay=decay), weight, gradients)
    peer = torch.optim.AdamW([theirs], betas=(0.9, 0.9), weight_decay=decay)
    for rate, gradient, ours in zip(rates, gradients, found):
        peer.param_groups[0]["lr"] = rate
        theirs.grad = torch.from_numpy(gradient)
        peer.step()
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
