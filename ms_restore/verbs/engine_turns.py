"""Engines that take turns at one picture, for ``benchmark``.

Loads MindSpore.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ms_restore import registry
from ms_restore.contracts import Geometry
from ms_restore.errors import InputError
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.restorer import Restorer
from ms_restore.report.tables import Column, print_table
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.verbs.network_loading import by_engine

_SIDE = 256  # of the picture, in pixels
_ROUNDS = 7
_PAUSE = 0.05  # seconds before a turn, in which the threads of the engine before fall asleep


def picture(geometry: Geometry) -> np.ndarray:
    """Return noise in [0, 1], of 256x256 pixels or the size that the network takes: (H, W, C)."""
    side = geometry.side or _SIDE
    return np.random.default_rng(0).random((side, side, geometry.input_channels), np.float32)


def measure(recipe: Recipe, engines: Sequence[str], options: EngineOptions) -> dict[str, Any]:
    """Return the figures of each engine, and why an engine has none.

    All restore the same picture with the same weights, one after another in each round, every other
    round backwards; the picture before the first round, for which engines compile, does not count.

    Args:
        recipe: its network, with random weights, is computed.
        engines: names of engines that take a network in memory.
        options: the device; the engine among them does not count.

    Returns:
        ``side`` of the picture in pixels, ``rounds``, ``measured`` with a dictionary of figures for
        each engine (``seconds``, the median, ``fastest``, ``slowest``, ``ratio``, ``difference``),
        and ``left_out`` with a reason for each other one.
    """
    network = registry.build("network", recipe.network).set_train(False)
    y = picture(Geometry.of(network))
    expected = Restorer(by_engine(network, recipe, options._replace(engine="mindspore")))(y)
    restorers: dict[str, Restorer] = {}
    differences: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name in engines:
        try:
            restorer = Restorer(by_engine(network, recipe, options._replace(engine=name)))
            differences[name] = float(np.abs(restorer(y) - expected).max())
            restorers[name] = restorer
        except InputError as error:
            left_out[name] = error.problems[0].partition("\n")[0]
    seconds = _in_turns(restorers, y)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    measured = {
        name: {
            "seconds": round(medians[name], 4),
            "fastest": round(min(values), 4),
            "slowest": round(max(values), 4),
            "ratio": round(min(medians.values()) / medians[name], 3),
            "difference": differences[name],
        }
        for name, values in seconds.items()
    }
    return {"side": len(y), "rounds": _ROUNDS, "measured": measured, "left_out": left_out}


def _in_turns(restorers: dict[str, Restorer], y: np.ndarray) -> dict[str, list[float]]:
    """Seconds of each restorer, in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in restorers}
    for number in range(_ROUNDS):
        names = list(restorers)
        for name in names if number % 2 else names[::-1]:
            time.sleep(_PAUSE)
            began = time.perf_counter()
            restorers[name](y)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def show(figures: dict[str, Any]) -> None:
    """Print what ``measure`` returned: a table, and a line for each engine that was left out."""
    headings = ("engine", "median s", "fastest s", "ratio to the fastest", "largest difference")
    rows = [
        (
            name,
            f"{of['seconds']:.4f}",
            f"{of['fastest']:.4f}",
            f"{of['ratio']:.2f}",
            f"{of['difference']:.1e}",
        )
        for name, of in figures["measured"].items()
    ]
    if rows:
        print_table([Column(text, right=bool(at)) for at, text in enumerate(headings)], rows)
    for name, reason in figures["left_out"].items():
        say(f"engine {name} is left out: {reason}")
