import math

import pytest

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
    from ms_restore.training.run import learning_rates

    settings = {"train.lr": 8e-4, "train.warm_up": 3, "train.schedule": "constant"}
    rates = learning_rates(recipe.load("edsr_quickstart", settings).train)
    assert rates[:5] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 8e-4])
