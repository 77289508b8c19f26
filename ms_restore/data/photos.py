"""The embedded photos, which come inside scikit-image's wheel, so nothing is downloaded.

Their sources and licences are listed in datasets/embedded/README.md.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

TRAIN = (
    "astronaut",
    "brick",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "motorcycle_left",
    "motorcycle_right",
    "page",
    "retina",
)
HELD_OUT = ("camera", "chelsea", "coffee", "rocket")
Split = Literal["train", "held_out"]


def names(split: Split) -> tuple[str, ...]:
    """Return the names of the photos in a split."""
    return TRAIN if split == "train" else HELD_OUT


def load(name: str) -> np.ndarray:
    """Return the photo of this name, (H, W, 1 or 3) uint8."""
    from skimage import data

    if name.startswith("motorcycle_"):
        left, right, _ = data.stereo_motorcycle()
        pixels = left if name.endswith("left") else right
    else:
        pixels = getattr(data, name)()
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[:, :, None])
