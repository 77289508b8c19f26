"""Figures of quality: how each is called and printed, and how it is measured."""

from __future__ import annotations

import dataclasses
import math
from typing import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Figure:
    """How a figure of quality is called and printed.

    Attributes:
        label: as it is written, such as PSNR.
        unit: such as dB; "" where there is none.
        digits: after the point.
        higher_is_better: whether a larger value is the better one.
        infinite: what an infinite value means.
    """

    label: str
    unit: str = ""
    digits: int = 4
    higher_is_better: bool = True
    infinite: str = "no error at all"

    @property
    def heading(self) -> str:
        """What stands above a column of it: the unit where there is one, else the label."""
        return self.unit or self.label

    @property
    def gained(self) -> str:
        """How a difference to the baseline is called."""
        return "gain" if self.higher_is_better else "change"

    def plain(self, value: float) -> str:
        """Return a value with its digits, without unit: "31.00", "inf" or "nan"."""
        return f"{value:.{self.digits}f}"

    def text(self, value: float) -> str:
        """Return a value with its unit, or behind its label: "31.00 dB" or "NIQE 4.10"."""
        plain = self.plain(value)
        return f"{plain} {self.unit}" if self.unit else f"{self.label} {plain}"

    def difference(self, value: float, baseline: float) -> str:
        """Return by how much two values differ as they are printed, with a sign."""
        if value == baseline:
            apart = 0.0
        elif math.isfinite(value) and math.isfinite(baseline):
            apart = round(value, self.digits) - round(baseline, self.digits)
        else:
            apart = value - baseline
        return f"{apart:+.{self.digits}f}"

    def improvement(self, value: float, baseline: float) -> float:
        """Return by how much a value is better than the baseline; 0 where both are the same."""
        if value == baseline:
            return 0.0
        return value - baseline if self.higher_is_better else baseline - value


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measure of quality.

    Attributes:
        figure: how its values are called and printed.
        measure: returns the value of a restored image for its original, both on a scale of 0 to
            255. Those are what the protocol compares, (H, W) or (H, W, C), or else the whole
            images (H, W, C), the restored one rounded to 8 bit.
        by_protocol: whether the protocol chooses border, colour space and rounding.
        needs_reference: whether it looks at the original.
        smallest: the least side in pixels of an image that it measures.
        require: raises InputError where what it needs is not installed.
    """

    figure: Figure
    measure: Callable[[np.ndarray, np.ndarray], float]
    by_protocol: bool = True
    needs_reference: bool = True
    smallest: int = 1
    require: Callable[[], object] = lambda: None
