"""Scoring of a restoration on the images of a source."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable

import numpy as np

from ms_restore import parallel, seeds
from ms_restore.contracts import Degradation, ImageSource, Metric
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.metrics.choice import DEFAULT
from ms_restore.metrics.protocols import ScoringProtocol

_BASELINE = "baseline_"  # before a metric's name in the scores


@dataclasses.dataclass
class RestoredImage:
    """An image of a source, degraded and restored.

    Attributes:
        name: of the image.
        x: clean image (H, W, C), float32 in [0, 1].
        y: degraded image (h, w, c), in the dtype that the degradation or the source gives.
        x_hat: restored image (H, W, C), float32 in [0, 1].
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    x_hat: np.ndarray


def restored_images(
    restore: Callable[[np.ndarray], np.ndarray],
    degradation: Degradation,
    source: ImageSource,
    seed: int,
) -> Iterator[RestoredImage]:
    """Degrade and restore the images of a source, and yield them one by one.

    With several ranks, each takes its share of the images; ``gather_scores`` joins the scores.
    Images are cropped at the right and bottom to multiples of the degradation's scale. Where the
    source stores degraded images, those are used; random numbers of the others depend only on
    ``seed`` and the image's name.

    Args:
        restore: returns x_hat (H, W, C) for y (h, w, c), both float32 in [0, 1].
        degradation: makes y from x.
        source: the clean images.
        seed: of the degradation's random numbers.

    Raises:
        InputError: a stored degraded image has another size than the degradation gives.
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
        yield RestoredImage(name, to_float(pixels), y, restore(to_float(y)))


def score(
    image: RestoredImage,
    baseline: np.ndarray,
    protocol: ScoringProtocol,
    scale: int,
    metrics: Mapping[str, Metric] = DEFAULT,
) -> dict[str, Any]:
    """Return the scores of an image and of its baseline under a protocol.

    The keys are "name" and those of ``keys_of``.
    """
    ours = protocol.measure(image.x_hat, image.x, scale, metrics)
    baselines = protocol.measure(baseline, image.x, scale, metrics)
    renamed = {_BASELINE + figure: value for figure, value in baselines.items()}
    return {"name": image.name, **ours, **renamed}


def keys_of(metrics: Iterable[str]) -> list[str]:
    """Return the keys of the scores of an image: each metric, and that of the baseline.

    For PSNR these are "psnr" and "baseline_psnr".
    """
    return [*metrics, *(_BASELINE + name for name in metrics)]


def gather_scores(
    scores: list[dict[str, Any]], names: list[str], keys: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the scores of all ranks, on every rank, in the order of the names."""
    own = {row["name"]: row for row in scores}
    table = np.array([[own[n][k] if n in own else 0.0 for k in keys] for n in names])
    rows = parallel.total(table)
    return [{"name": name, **dict(zip(keys, row.tolist()))} for name, row in zip(names, rows)]


def infinite(scores: list[dict[str, Any]], metric: str) -> list[str]:
    """Return the names of the images of which a metric is infinite, or that of the baseline."""
    return [row["name"] for row in scores if _is_infinite(row, metric)]


def _is_infinite(row: dict[str, Any], metric: str) -> bool:
    return any(math.isinf(row[key]) for key in keys_of([metric]) if key in row)


def group_means(scores: list[dict[str, Any]], groups: dict[str, list[str]]) -> dict[str, Any]:
    """Return for each group of names the number of its images, and the mean of each score."""
    own = {row["name"]: row for row in scores}
    return {
        group: {"images": len(names), **mean_scores([own[name] for name in names])}
        for group, names in groups.items()
    }


def mean_scores(scores: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean of each score over the images.

    Images of which a metric is ``infinite`` are left out of both its means, so that these compare
    the same images; a mean of which nothing is left is that of the finite values, or infinite.
    """
    means = {}
    for key in (key for key in scores[0] if key != "name"):
        metric = key.removeprefix(_BASELINE)
        compared = [row for row in scores if not _is_infinite(row, metric)]
        values = [row[key] for row in compared or scores]
        finite = [value for value in values if not math.isinf(value)]
        means[key] = float(np.mean(finite or values))
    return means
