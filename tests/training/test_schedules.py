import math

import pytest

from ms_restore.errors import InputError
from ms_restore.training import schedules


def test_constant():
    assert {schedules.constant(step, 10) for step in range(10)} == {1.0}


def test_step_halves():
    factors = [schedules.step(s, 10, every=4, gamma=0.5) for s in (0, 3, 4, 7, 8)]
    assert factors == [1, 1, 0.5, 0.5, 0.25]


def test_multi_step_fires_at_its_milestones():
    factors = [schedules.multi_step(s, 10, milestones=[2, 5], gamma=0.1) for s in (1, 2, 4, 5, 9)]
    assert factors == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])


def test_exponential_ends_at_final():
    assert schedules.exponential(0, 101, final=0.01) == 1
    assert schedules.exponential(50, 101, final=0.01) == pytest.approx(0.1)
    assert schedules.exponential(100, 101, final=0.01) == pytest.approx(0.01)


def test_cosine_ends_at_final():
    factors = [schedules.cosine(s, 101, final=0.2) for s in range(101)]
    assert factors[0] == 1
    assert factors[25] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    assert factors[-1] == pytest.approx(0.2)
    assert factors == sorted(factors, reverse=True)


def test_warm_up_is_linear():
    from ms_restore import recipe
    from ms_restore.training.step_builder import learning_rates

    settings = {"train.lr": 8e-4, "train.warm_up": 3, "train.schedule": "constant"}
    rates = learning_rates(recipe.load("edsr_quickstart", settings).train)
    assert rates[:5] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 8e-4])


def test_ramp_down_over_the_last_share():
    factors = [schedules.ramp_down(s, 1000, share=0.3) for s in range(1001)]
    assert set(factors[:701]) == {1.0}
    for step in (701, 800, 850, 999, 1000):
        t = (step - 700) / 300
        assert factors[step] == pytest.approx((0.5 + math.cos(math.pi * t) / 2) ** 2)
    assert factors[850] == pytest.approx(0.25)
    assert factors[1000] == pytest.approx(0)
    assert schedules.ramp_down(499, 1000, share=0.5) == 1
    assert schedules.ramp_down(750, 1000, share=0.5) == pytest.approx(0.25)


def test_epoch_ramps():
    """300 epochs of 308 steps, up over 10 of them and down over the last 30."""
    options = {"epoch": 308, "up": 10, "down": 30}
    for epoch in range(300):
        rise = math.exp(-5 * (1 - epoch / 10) ** 2) if epoch < 10 else 1
        fall = math.exp(-((0.5 * (epoch - 270)) ** 2) / 30) if epoch >= 270 else 1
        for step in (308 * epoch, 308 * epoch + 307):
            factor = schedules.epoch_ramps(step, 92400, **options)
            assert factor == pytest.approx(rise * fall, rel=1e-12), epoch


def test_beta1_of_mri_falls_from_09_to_05_in_step_with_the_rate():
    from ms_restore import recipe
    from ms_restore.training.optimizers import betas1
    from ms_restore.training.step_builder import learning_rates

    settings = recipe.load("noise2noise_mri").train
    rates = learning_rates(settings)
    optimizer = settings.optimizer
    betas = betas1(rates, optimizer["beta1"], optimizer["beta1_end"])
    assert max(rates) == 1e-3
    for epoch in (0, 5, 200, 270, 280, 299):
        fall = math.exp(-((0.5 * max(0, epoch - 270)) ** 2) / 30)
        assert betas[308 * epoch] == pytest.approx(0.9 * fall + 0.5 * (1 - fall))


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "step", "every": 0},
        {"name": "step", "every": -5},
        {"name": "exponential", "final": -0.5},
        {"name": "epoch_ramps", "epoch": 0},
    ],
)
def test_settings_that_give_no_rate_are_one_line(schedule):
    from ms_restore import recipe
    from ms_restore.training.step_builder import learning_rates

    with pytest.raises(InputError, match=r"train\.schedule\.\w+ -?[\d.]+: expected more than 0"):
        learning_rates(recipe.load("edsr_quickstart", {"train.schedule": schedule}).train)
