"""Charts as inline SVG: histograms and curves, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ms_restore.report.markup import escaped

_WIDTH, _HEIGHT = 480, 260  # of a chart, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 26, 10, 36  # margins
_POINTS = 240  # of a curve; more steps are averaged
_WIDE = 15.0  # largest by smallest value, from which an axis is logarithmic


class Curve(NamedTuple):
    """Values ``y`` at the steps ``x``, with a name and a style ("a" or "b")."""

    name: str
    style: str
    x: np.ndarray
    y: np.ndarray


class _Axis:
    """From values to places along an axis, on a linear or a logarithmic scale."""

    def __init__(self, low: float, high: float, first: float, last: float, log: bool) -> None:
        if low == high:
            around = abs(low) / 2 or 0.5
            low, high = low - around, high + around
        self._log, self._low, self._high = log, low, high
        self._first, self._last = first, last

    def __call__(self, values: ArrayLike) -> np.ndarray:
        placed, low, high = np.asarray(values, np.float64), self._low, self._high
        if self._log:
            placed, low, high = np.log(placed), math.log(low), math.log(high)
        return self._first + (placed - low) / (high - low) * (self._last - self._first)

    def ticks(self) -> list[float]:
        """Return round values inside the axis."""
        if self._log:
            decades = range(math.floor(math.log10(self._low)), math.ceil(math.log10(self._high)))
            steps = (1, 2, 5) if len(decades) < 3 else (1,)
            marks = [step * 10.0**decade for decade in decades for step in steps]
            return [mark for mark in marks if self._low <= mark <= self._high]
        rough = (self._high - self._low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * size for size in (1, 2, 5, 10) if power * size >= rough * 0.999)
        first = math.ceil(self._low / step - 1e-9)
        last = math.floor(self._high / step + 1e-9)
        return [round(place * step, 12) for place in range(first, last + 1)]


def histogram(
    title: str, unit: str, groups: Sequence[tuple[str, str, np.ndarray]], digits: int = 2
) -> str:
    """Return the histogram of several groups of values beside each other.

    Args:
        title: of the chart.
        unit: of the values.
        groups: name, style and values of each; values that are not finite are left out.
        digits: after the point, with which the values are printed.
    """
    groups = [(name, style, values[np.isfinite(values)]) for name, style, values in groups]
    together = np.concatenate([values for _, _, values in groups])
    if not len(together):
        return ""
    bins = int(np.clip(2 * math.sqrt(len(together)), 5, 24))
    low, high = float(together.min()), float(together.max())
    around = 50 * 10.0**-digits
    if high - low < around / 5:  # figures that are one
        low, high = low - around, high + around
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(values, edges)[0] for _, _, values in groups]
    across = _Axis(low, high, _LEFT, _WIDTH - _RIGHT, False)
    up = _Axis(0, max(int(count.max()) for count in counts), _HEIGHT - _BOTTOM, _TOP, False)
    places, floor, shown_unit = across(edges), _HEIGHT - _BOTTOM, escaped(unit)
    width = (places[1] - places[0] - 2) / len(groups)
    bars = []
    for order, ((name, style, _), count) in enumerate(zip(groups, counts)):
        for left, number, start, end in zip(places, count, edges, edges[1:]):
            if number:
                top = float(up(number))
                bars.append(
                    f'<rect class="bar {style}" x="{left + 1 + order * width:.1f}" y="{top:.1f}" '
                    f'width="{width:.1f}" height="{floor - top:.1f}"><title>{escaped(name)}, '
                    f"{start:.{digits}f} to {end:.{digits}f} {shown_unit}: {number}</title></rect>"
                )
    marks = [mark for mark in up.ticks() if mark == int(mark)]
    drawn = _grid(across, across.ticks(), up, marks) + "".join(bars)
    legend = [(name, style) for name, style, _ in groups]
    return _figure(title, f"{unit} (across), number of pictures (up)", drawn, legend)


def curves(title: str, unit: str, lines: Sequence[Curve]) -> str:
    """Return curves over the steps of a run; "" where they have no finite value.

    Long ones are drawn by means of neighbouring steps, with the range of these behind. The axis is
    logarithmic where all values are above zero and far apart.
    """
    kept = []
    for line in lines:
        finite = np.isfinite(line.y)
        if finite.any():
            kept.append(line._replace(x=line.x[finite], y=line.y[finite]))
    if not kept:
        return ""
    values = np.concatenate([line.y for line in kept])
    steps = np.concatenate([line.x for line in kept])
    low, high = float(values.min()), float(values.max())
    log = low > 0 and high / low > _WIDE
    across = _Axis(float(steps.min()), float(steps.max()), _LEFT, _WIDTH - _RIGHT, False)
    up = _Axis(low, high, _HEIGHT - _BOTTOM, _TOP, log)
    drawn = _grid(across, across.ticks(), up, up.ticks())
    drawn += "".join(_curve(line, across, up) for line in kept)
    legend = [(line.name, line.style) for line in kept]
    note = f"{unit}{', logarithmic' if log else ''} (up), step (across)"
    return _figure(title, note, drawn, legend)


def _curve(line: Curve, across: _Axis, up: _Axis) -> str:
    parts = max(1, min(_POINTS, len(line.y)))
    starts = np.linspace(0, len(line.y), parts, endpoint=False).astype(int)
    counts = np.diff([*starts, len(line.y)])
    x = across(np.add.reduceat(line.x, starts) / counts)
    mean = up(np.add.reduceat(line.y, starts) / counts)
    band = ""
    if len(line.y) > parts:
        top = up(np.maximum.reduceat(line.y, starts))
        bottom = up(np.minimum.reduceat(line.y, starts))
        outline = _points([*x, *x[::-1]], [*top, *bottom[::-1]])
        band = f'<polygon class="band {line.style}" points="{outline}"/>'
    dots = ""
    if parts <= 30:
        dots = "".join(
            f'<circle class="dot {line.style}" cx="{cx:.1f}" cy="{cy:.1f}" r="3"/>'
            for cx, cy in zip(x, mean)
        )
    return f'{band}<polyline class="line {line.style}" points="{_points(x, mean)}"/>{dots}'


def _short(mark: float) -> str:
    """Return a value beside an axis, 5e-4 in place of 0.0005."""
    if 0 < abs(mark) < 1e-3 or abs(mark) >= 1e5:
        return f"{mark:.3e}".replace(".000", "").replace("e-0", "e-").replace("e+0", "e")
    return f"{mark:.6g}"


def _points(x: ArrayLike, y: ArrayLike) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(np.asarray(x), np.asarray(y)))


def _grid(across: _Axis, columns: list[float], up: _Axis, rows: list[float]) -> str:
    floor = _HEIGHT - _BOTTOM
    drawn = [f'<path class="axis" d="M{_LEFT} {floor}H{_WIDTH - _RIGHT}"/>']
    for mark in rows:
        y = float(up(mark))
        drawn.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        drawn.append(f'<text x="{_LEFT - 8}" y="{y + 5:.1f}" class="end">{_short(mark)}</text>')
    for mark in columns:
        x = float(across(mark))
        drawn.append(f'<path class="axis" d="M{x:.1f} {floor}v5"/>')
        drawn.append(f'<text x="{x:.1f}" y="{floor + 22}" class="middle">{mark:.7g}</text>')
    return "".join(drawn)


def _figure(title: str, note: str, drawn: str, legend: list[tuple[str, str]]) -> str:
    keys = "".join(f'<span class="key {style}">{escaped(name)}</span>' for name, style in legend)
    return (
        f'<figure class="chart"><figcaption><b>{escaped(title)}</b> <small>{escaped(note)}</small>'
        f'</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escaped(title)}">{drawn}</svg><div class="keys">{keys}</div></figure>\n'
    )
