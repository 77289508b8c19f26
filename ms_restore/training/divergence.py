"""When training has diverged, and what is said then."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Callable

import mindspore as ms
import numpy as np

from ms_restore.errors import InputError

_LEAST_SCALE = 1.0
_GROWTH = 1000.0  # over the lowest smoothed loss
_GROWTH_FROM_FIRST = 100.0  # over the first loss, for losses that grow by their own schedule
_SMOOTHING = 0.98  # about the last 50 steps
_LEAST_LOSS = 1e-6  # what is below counts as this, as of patches without any detail
_LARGEST_WEIGHT = 1e6


class Divergence:
    """Stops a run whose loss or weights make no sense any more, by InputError.

    That is a loss or gradient that is not finite, which a dynamic loss scale does not mend; a loss
    above 1000 times the lowest smoothed one and 100 times the first of the session; or a weight
    that is not finite or above a million, of which no checkpoint is written. How far a loss has
    grown is not asked of one that was ever below zero, such as a logarithm of errors.

    Args:
        dynamic: whether the loss scale is: then gradients may overflow until it is down to 1, and
            the loss itself once.
        kept: says what there is to go on from.
    """

    def __init__(self, dynamic: bool, kept: Callable[[], str]) -> None:
        self._dynamic = dynamic
        self._kept = kept
        self._rate = math.nan
        self._not_finite = 0
        self._signed = False
        self._first = self._smoothed = self._lowest = math.nan

    def check(self, step: int, loss: float, rate: float, overflowed: bool, scale: float) -> None:
        """Look at a step's loss, learning rate and loss scale; ``overflowed``: it was skipped."""
        self._rate = rate
        finite = math.isfinite(loss)
        self._not_finite = 0 if finite else self._not_finite + 1
        hopeless = not self._dynamic or scale <= _LEAST_SCALE or self._not_finite > 1
        if (overflowed or not finite) and hopeless:
            self._stop(step, f"the loss or a gradient is not finite (loss {loss})")
        if not finite:
            return
        self._signed = self._signed or loss < 0
        if self._signed:
            return
        loss = max(loss, _LEAST_LOSS)
        if math.isnan(self._first):
            self._first = self._smoothed = self._lowest = loss
        if loss > _GROWTH * self._lowest and loss > _GROWTH_FROM_FIRST * self._first:
            grown = f"the loss is {loss:.3g}, over {_GROWTH:.0f} times what it was"
            self._stop(step, f"{grown} ({self._lowest:.3g})")
        self._smoothed += (1 - _SMOOTHING) * (loss - self._smoothed)
        self._lowest = min(self._lowest, self._smoothed)

    def check_weights(self, step: int, parameters: Iterable[ms.Parameter]) -> None:
        """Look at the weights that a checkpoint would keep."""
        for parameter in parameters:
            largest = float(np.abs(parameter.asnumpy()).max(initial=0))
            if not largest <= _LARGEST_WEIGHT:
                self._stop(step, f"{parameter.name} has a weight of {largest:.3g}")

    def _stop(self, step: int, what: str) -> None:
        raise InputError(
            f"step {step}: {what}; training diverged and was stopped, {self._kept()}. Try a "
            f"smaller train.lr (now {self._rate:g}), train.clip_norm, or train.amp_level O0"
        )


def kept_nothing() -> str:
    """Say that there is nothing to go on from."""
    return "and had written no checkpoint yet"
