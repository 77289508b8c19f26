"""Self-ensemble: the mean of a network's outputs over the symmetries of the square."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ms_restore.contracts import Engine

_Turn = Callable[[np.ndarray], np.ndarray]


def _symmetry(turns: int, mirrored: bool) -> tuple[_Turn, _Turn]:
    def turn(x: np.ndarray) -> np.ndarray:
        turned = np.rot90(x, turns, axes=(-2, -1))
        return turned[..., ::-1] if mirrored else turned

    def back(x: np.ndarray) -> np.ndarray:
        return np.rot90(x[..., ::-1] if mirrored else x, -turns, axes=(-2, -1))

    return turn, back


_TURNS = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
SYMMETRIES = [_symmetry(*turn) for turn in _TURNS]
"""The eight symmetries of the square: functions that turn images (..., H, W), and turn back."""

FLIPS = [(t % 2 == 1, t in (1, 2), (t in (2, 3)) != mirrored) for t, mirrored in _TURNS]
"""The same symmetries as whether rows and columns change places, and whether then the order of the
rows and that of the columns is reversed."""


class SelfEnsemble:
    """An engine that averages another one over the eight symmetries of the square.

    The input is turned and flipped in all eight ways, and the outputs are turned back before they
    are averaged, at eight times the cost. Timofte, Rothe, Van Gool, "Seven ways to improve
    example-based single image super resolution", CVPR 2016; marked by "+" in the tables of papers.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.shape = engine.shape
        self.memory = engine.memory
        self._engine = engine

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return the averaged x_hat for y, both (N, C, H, W) float32."""
        total: np.ndarray = np.float32(0)  # type: ignore[assignment]
        for turn, back in SYMMETRIES:
            total = total + back(self._engine(np.ascontiguousarray(turn(y))))
        return total / len(SYMMETRIES)
