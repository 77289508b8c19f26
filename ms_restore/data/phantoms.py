"""Synthetic MRI slices of a head after Shepp and Logan: training data without a download.

Shepp and Logan, "The Fourier reconstruction of a head section", IEEE Trans. Nuclear Science 1974,
compose an image of ellipses. Here the number, places and intensities of the ellipses are random.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Split = Literal["train", "held_out"]
_COUNTS = {"train": 200, "held_out": 20}
_FIRST = {"train": 0, "held_out": 1000}  # numbers at which the splits begin; they do not overlap
_BACKGROUND = 0.02


def names(split: Split) -> list[str]:
    """Return the names of the phantoms in a split."""
    return [f"phantom_{_FIRST[split] + number:04}" for number in range(_COUNTS[split])]


def load(name: str, side: int) -> np.ndarray:
    """Return the phantom of this name, (side, side, 1) uint8."""
    rng = np.random.default_rng(int(name.rpartition("_")[2]))
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    image = np.full((side, side), _BACKGROUND)
    height, width = rng.uniform(0.7, 0.9), rng.uniform(0.55, 0.72)
    turn = rng.uniform(-0.15, 0.15)
    centre = rng.uniform(-0.04, 0.04, 2)
    skull = rng.uniform(0.75, 0.95)
    _add(image, axis, centre, (height, width), turn, skull)
    thickness = rng.uniform(0.88, 0.93)
    tissue = rng.uniform(0.3, 0.45)
    _add(image, axis, centre, (height * thickness, width * thickness), turn, tissue - skull)
    for _ in range(rng.integers(8, 22)):
        place = centre + rng.uniform(-0.5, 0.5, 2) * (height, width)
        size = rng.uniform(0.02, 0.3, 2)
        _add(image, axis, place, size, rng.uniform(0, np.pi), rng.uniform(-0.18, 0.25))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)[:, :, None]


def _add(
    image: np.ndarray,
    axis: np.ndarray,
    centre: np.ndarray,
    size: tuple[float, float] | np.ndarray,
    turn: float,
    intensity: float,
) -> None:
    """Add an ellipse with a border one pixel soft; ``size`` holds its half axes.

    Coordinates run from -1 to 1 across the image, angles are in radians.
    """
    rows, columns = axis[:, None] - centre[0], axis[None, :] - centre[1]
    along = (np.cos(turn) * rows + np.sin(turn) * columns) / size[0]
    across = (np.cos(turn) * columns - np.sin(turn) * rows) / size[1]
    distance = (1 - np.hypot(along, across)) * min(size)  # approximate, from the border
    image += intensity * np.clip(distance * len(axis) / 2 + 0.5, 0, 1)
