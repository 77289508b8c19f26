"""Learning-rate schedules: the factor on the base rate at each update.

``f(step, steps, *, ...)`` for update ``step`` = 0 .. ``steps`` - 1 of the whole run.
"""

from __future__ import annotations

import math

from ms_restore.errors import InputError


def constant(step: int, steps: int) -> float:
    """Return 1 for every step."""
    return 1.0


def step(step: int, steps: int, *, every: int, gamma: float = 0.5) -> float:
    """Return gamma ^ floor(step / every). Raises InputError where ``every`` is below 1."""
    _check_positive("every", every)
    return gamma ** (step // every)


def multi_step(step: int, steps: int, *, milestones: list[int], gamma: float = 0.5) -> float:
    """Return gamma ^ (number of milestones reached).

    Raises InputError at the first step where a milestone is not within the run.
    """
    if step == 0:
        late = [milestone for milestone in milestones if not 0 < milestone < steps]
        if late:
            raise InputError(
                f"train.schedule.milestones {late} never fire: the run has {steps} steps"
            )
    return gamma ** sum([step >= milestone for milestone in milestones])


def exponential(step: int, steps: int, *, final: float) -> float:
    """Return a factor that falls geometrically from 1 to ``final`` over the run.

    Raises InputError where ``final`` is not above 0.
    """
    _check_positive("final", final)
    return final ** (step / max(1, steps - 1))


def cosine(step: int, steps: int, *, final: float = 0.0) -> float:
    """Return half a cosine, from 1 down to ``final``."""
    progress = step / max(1, steps - 1)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def ramp_down(step: int, steps: int, *, share: float = 0.3) -> float:
    """Return 1, then (0.5 + cos(pi t) / 2)^2 over the last ``share`` of the run, t from 0 to 1."""
    t = max(0.0, (step / steps - 1) / share + 1) if share else 0.0
    return (0.5 + math.cos(math.pi * t) / 2) ** 2


def epoch_ramps(step: int, steps: int, *, epoch: int, up: int = 10, down: int = 30) -> float:
    """Return a factor that rises over the first ``up`` epochs and falls over the last ``down``.

    An epoch is ``epoch`` steps, at whose start the factor changes. Laine and Aila 2017, arXiv
    1610.02242. Raises InputError where ``epoch`` is below 1.
    """
    _check_positive("epoch", epoch)
    rise = max(0.0, 1 - (step // epoch) / up) if up else 0.0
    return math.exp(-5 * rise**2) * falling(step, steps, epoch=epoch, down=down)


def falling(step: int, steps: int, *, epoch: int, down: int) -> float:
    """Return exp(-(k / 2)^2 / down), k the epochs since the last ``down`` ones began."""
    k = max(0, step // epoch - (steps // epoch - down))
    return math.exp(-((0.5 * k) ** 2) / down) if down else 1.0


def _check_positive(setting: str, value: float) -> None:
    if value <= 0:
        raise InputError(f"train.schedule.{setting} {value}: expected more than 0")
