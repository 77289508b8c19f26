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


def test_cosine_warms_up_and_ends_at_final():
    factors = [schedules.cosine(s, 104, warm_up=3, final=0.2) for s in range(104)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[-1] == pytest.approx(0.2)
    assert factors[3 + 25] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    assert factors[3:] == sorted(factors[3:], reverse=True)
