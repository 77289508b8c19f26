"""Measure what a recipe's degradation costs: patches a second of one core, and their targets.

    python benchmarks/degradation.py [--model NAME ...] [--patches 96] [--output FILE]

Patches of the recipe's size, with their margin, from the embedded photos that have colours. It is
processor time, by one thread, so that other processes hardly disturb it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import publish

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.data import photos
from ms_restore.images.resize import mirror


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["real_x4", "real_x2_quickstart"])
    parser.add_argument("--patches", type=int, default=96, help="of each (default 96)")
    parser.add_argument("--output", type=Path, default=Path("degradation.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    publish({model: measure(model, options.patches) for model in options.model}, options.output)


def measure(model: str, count: int) -> dict[str, Any]:
    """Degrade that many patches, one at a time."""
    recipe = recipes.load(model)
    degradation = registry.build("degradation", recipe.degradation)
    side = recipe.data.patch_size + 2 * degradation.margin
    coloured = [x for x in map(photos.load, photos.TRAIN) if x.shape[2] == 3]
    seconds = {"patches": 0.0, "targets": 0.0}
    for number in range(count):
        rng = np.random.default_rng(number)
        photo = coloured[number % len(coloured)]
        rows, columns = (
            mirror(np.arange(side) + int(rng.integers(length)), length)
            for length in photo.shape[:2]
        )
        x = np.ascontiguousarray(photo[rows[:, None], columns].transpose(2, 0, 1)[None])
        began = time.process_time()
        degradation.patches(x, [rng])
        middle = time.process_time()
        degradation.goal(x)
        seconds["patches"] += middle - began
        seconds["targets"] += time.process_time() - middle
    return {
        "side of the clean patch": recipe.data.patch_size,
        "with its margin": side,
        "degraded patches a second": round(count / seconds["patches"], 1),
        "both a second": round(count / sum(seconds.values()), 1),
    }


if __name__ == "__main__":
    main()
