"""The compiled step against the same mathematics in NumPy."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from ms_restore.training import cpu_operators
from ms_restore.training.losses import L1, MSE
from ms_restore.training.optimizers import adam, sgd
from ms_restore.training.step import LossScale, NetworkWithLoss, StepOptions, TrainStep


@pytest.fixture(params=["MindSpore", "compiled"])
def norm(request):
    """What computes the norms of gradients."""
    if request.param == "MindSpore":
        return None
    try:
        return cpu_operators.euclidean_norm()
    except cpu_operators.Unavailable as reason:
        pytest.skip(str(reason))


def test_losses_by_hand():
    x_hat = ms.Tensor(np.array([[1.0, 4.0]], np.float32))
    x = ms.Tensor(np.array([[2.0, 1.0]], np.float32))
    assert float(L1()(x_hat, x)) == 2
    assert float(MSE()(x_hat, x)) == 5


def _step(optimizer, rates, **options):
    network = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    step = TrainStep(
        NetworkWithLoss(network, MSE()),
        optimizer(network.trainable_params(), rates, **options),
        LossScale("none", 1),
    )
    step.set_train()
    y, x = (ms.Tensor(np.array([[value]], np.float32)) for value in (2.0, 1.0))
    losses = [float(step(y, x)[0]) for _ in rates]
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


def _cells(kind, window, amp_level="O0", size=1, **options):
    network = nn.Dense(size, 1, weight_init="ones", has_bias=False)
    step = TrainStep(
        NetworkWithLoss(network, MSE(), amp_level),
        sgd(network.trainable_params(), [1e-8] * 100, momentum=0.0),
        LossScale(kind, window),
        StepOptions(**options),
    )
    step.set_train()
    return network, step


def _column(*values):
    return ms.Tensor(np.array([[value] for value in values], np.float32))


def test_overflow_skips_the_step_and_halves_the_scale_which_grows_again():
    """d loss / d weight is 2 * 9 * 10: times a scale above 256 that is too much for float16."""
    network, step = _cells("dynamic", 3, "O2")
    scales, skipped = [], []
    for _ in range(20):
        before = float(network.weight)
        loss, scale, count = step(_column(10.0), _column(1.0))
        scales.append(float(scale))
        skipped.append(int(count))
        changed = float(network.weight) != before
        assert changed == (len(skipped) > 1 and skipped[-1] == skipped[-2])
        assert np.isfinite(float(loss))
    assert scales[:8] == [2.0**k for k in range(15, 7, -1)]  # halved eight times
    assert skipped[:8] == list(range(1, 9))
    assert scales[8:12] == [256, 256, 512, 256]  # three good steps, doubled, too much, halved
    assert skipped[8:12] == [8, 8, 8, 9]


def test_a_fixed_scale_stays_and_changes_nothing_in_float32():
    (_, plain), (_, fixed) = _cells("none", 1), _cells("fixed", 1)
    expected = plain(_column(2.0), _column(1.0))
    loss, scale, skipped = fixed(_column(2.0), _column(1.0))
    assert (float(loss), float(scale), int(skipped)) == (float(expected[0]), 1024, 0)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(norm):
    network, step = _cells("none", 1, norm=norm)
    _, _, skipped = step(_column(np.inf), _column(1.0))
    assert int(skipped) == 1
    assert float(network.weight) == 1


def test_accumulated_parts_equal_the_whole_batch():
    rng = np.random.default_rng(0)
    y, x = (ms.Tensor(rng.random((6, width), np.float32)) for width in (5, 1))
    ends = []
    for parts in (1, 2, 3):
        network = nn.Dense(5, 1, weight_init="ones", has_bias=False)
        optimizer = sgd(network.trainable_params(), [0.1] * 4)
        step = TrainStep(
            NetworkWithLoss(network, MSE()),
            optimizer,
            LossScale("none", 1),
            StepOptions(accumulate=parts),
        )
        step.set_train()
        losses = [float(step(y, x)[0]) for _ in range(4)]
        ends.append(np.append(network.weight.asnumpy().copy(), losses))
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-5)
    np.testing.assert_allclose(ends[2], ends[0], rtol=1e-5)


def test_clipping_cuts_the_global_norm(norm):
    """gradient 4 (2w - 1) = 4, cut to 0.5; one below the bound is left as it is."""
    for clip_norm, expected in ((0.5, 0.5), (100.0, 4.0)):
        network = nn.Dense(1, 1, weight_init="ones", has_bias=False)
        optimizer = sgd(network.trainable_params(), [0.1], momentum=0.0)
        step = TrainStep(
            NetworkWithLoss(network, MSE()),
            optimizer,
            LossScale("none", 1),
            StepOptions(clip_norm=clip_norm, norm=norm),
        )
        step(_column(2.0), _column(1.0))
        np.testing.assert_allclose(float(network.weight), 1 - 0.1 * expected, rtol=1e-5)


def test_averages_follow_their_formula():
    network = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    optimizer = sgd(network.trainable_params(), [0.1, 0.1, 0.1], momentum=0.0)
    step = TrainStep(
        NetworkWithLoss(network, MSE()),
        optimizer,
        LossScale("none", 1),
        StepOptions(ema_decay=0.45),
    )
    average = 1.0
    for decay in (2 / 5, 0.45, 0.45):  # 3 / 6 and 4 / 7 are more than 0.45
        step(_column(2.0), _column(1.0))
        average = decay * average + (1 - decay) * float(network.weight)
    np.testing.assert_allclose(float(step.averages[0]), average, rtol=1e-6)
    assert average != float(network.weight)


def test_bfloat16_needs_no_loss_scale_and_no_cpu():
    from ms_restore import recipe, registry
    from ms_restore.errors import InputError
    from ms_restore.training.step_builder import build_step

    asked = {"train.amp_level": "O2", "network.blocks": 1, "network.filters": 4}
    assert recipe.load("edsr", asked).train.loss_scale == "dynamic"
    half = recipe.load("edsr", {**asked, "train.amp_dtype": "bfloat16"})
    assert half.train.loss_scale == "none"
    network = registry.build("network", half.network)
    with pytest.raises(InputError, match="bfloat16: MindSpore computes in it on .*not on a CPU"):
        build_step(network, half)
    whole = recipe.load("edsr", {**asked, "train.amp_dtype": "bfloat16", "train.amp_level": "O0"})
    build_step(network, whole)  # O0 computes in float32, whatever O2 would take
