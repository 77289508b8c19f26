"""Learning-rate schedules: the factor on the base rate at each update.

``f(step, steps, *, ...)`` for update ``step`` = 0 .. ``steps`` - 1 of the whole run.
"""

from __future__ import annotations

import math


def constant(step: int, steps: int) -> float:
    return 1.0


def step(step: int, steps: int, *, every: int, gamma: float = 0.5) -> float:
    """gamma ^ floor(step / every)"""
    return gamma ** (step // every)


def multi_step(step: int, steps: int, *, milestones: list[int], gamma: float = 0.5) -> float:
    """gamma ^ (number of milestones reached)"""
    return gamma ** sum(step >= milestone for milestone in milestones)


def exponential(step: int, steps: int, *, final: float) -> float:
    """Geometric decay from 1 to ``final`` over the run."""
    return final ** (step / max(1, steps - 1))


def cosine(step: int, steps: int, *, final: float = 0.0) -> float:
    """Half a cosine from 1 down to ``final``."""
    progress = step / max(1, steps - 1)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
