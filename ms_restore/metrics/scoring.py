"""Scoring a restoration on a source of clean images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np

from ms_restore import parallel, seeds
from ms_restore.contracts import Degradation, ImageSource
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.metrics.protocols import ScoringProtocol

_FIGURES = ["psnr", "ssim", "baseline_psnr", "baseline_ssim"]  # of ``score``


@dataclasses.dataclass
class Trial:
    """One image of a source: clean x, degraded y, restored x_hat, (H, W, C); y as it was made."""

    name: str
    x: np.ndarray
    y: np.ndarray
    x_hat: np.ndarray


def trials(
    restore: Callable[[np.ndarray], np.ndarray],
    degradation: Degradation,
    source: ImageSource,
    seed: int,
) -> Iterator[Trial]:
    """Degrade and restore every image; x and x_hat are float32 in [0, 1].

    Of several ranks each takes its share of the images; ``gathered`` puts the scores together.
    A low-resolution image that is stored with the source takes the place of a made one.
    What is random about it depends on ``seed`` and the image's name alone.
    Images are cropped at the right and bottom to multiples of the degradation's scale.
    """
    ranks = parallel.ranks()
    for index, name in list(enumerate(source.names))[ranks.rank :: ranks.count]:
        pixels = source[index]
        height, width = (side - side % degradation.scale for side in pixels.shape[:2])
        pixels = pixels[:height, :width]
        y = source.degraded(index)
        if y is None:
            y = degradation(pixels, seeds.image_rng(seed, name))
        elif (y.shape[0] * degradation.scale, y.shape[1] * degradation.scale) != (height, width):
            raise InputError(
                f"{source.description}: the low-resolution {name} stored there is "
                f"{y.shape[1]}x{y.shape[0]}, which is not 1/{degradation.scale} of the image; "
                "prepare the images for this model"
            )
        yield Trial(name, to_float(pixels), y, restore(to_float(y)))


def score(
    trial: Trial, baseline: np.ndarray, protocol: ScoringProtocol, scale: int
) -> dict[str, Any]:
    """{"name", "psnr", "ssim", "baseline_psnr", "baseline_ssim"} under the protocol."""
    ours = protocol.measure(trial.x_hat, trial.x, scale)
    customary = protocol.measure(baseline, trial.x, scale)
    renamed = {f"baseline_{figure}": value for figure, value in customary.items()}
    return {"name": trial.name, **ours, **renamed}


def gathered(scores: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """The scores of all ranks, in the order of the names, on every rank; none is counted twice."""
    own = {row["name"]: row for row in scores}
    figures = _FIGURES if not scores else [key for key in scores[0] if key != "name"]
    table = np.array([[own[n][k] if n in own else 0.0 for k in figures] for n in names])
    rows = parallel.total(table)
    return [{"name": name, **dict(zip(figures, row.tolist()))} for name, row in zip(names, rows)]


def means(scores: list[dict[str, Any]], groups: dict[str, list[str]]) -> dict[str, Any]:
    """How many images each group of names has, and the mean of each figure over them."""
    own = {row["name"]: row for row in scores}
    return {
        group: {"images": len(names), **mean([own[name] for name in names])}
        for group, names in groups.items()
    }


def mean(scores: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of each figure over the images."""
    keys = [key for key in scores[0] if key != "name"]
    return {key: float(np.mean([row[key] for row in scores])) for key in keys}
