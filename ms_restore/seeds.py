"""Random numbers that depend on what they are for, not on who draws them or when.

The same in any order, with any number of workers or ranks, and for any subset of the images.
"""

from __future__ import annotations

import numpy as np


def sample_rng(seed: int, sample: int) -> np.random.Generator:
    """For training sample number ``sample`` of a run, counted over all batches and ranks."""
    return np.random.Generator(np.random.Philox(key=[seed, sample]))


def image_rng(seed: int, name: str) -> np.random.Generator:
    """For the evaluation image of this name."""
    return np.random.default_rng([seed, *name.encode()])
