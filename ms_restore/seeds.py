"""Random generators for samples and images that depend only on the seed and the sample or image.

So random numbers are the same in any order, with any number of workers or ranks, and for any subset
of the images.
"""

from __future__ import annotations

import numpy as np

SEEDS = 1 << 32
"""Seeds are below this number, as NumPy's are that MindSpore sets."""


def sample_rng(seed: int, sample: int) -> np.random.Generator:
    """Return the generator for a training sample, numbered over all batches and ranks of a run."""
    return np.random.Generator(np.random.Philox(key=[seed, sample]))


def image_rng(seed: int, name: str) -> np.random.Generator:
    """Return the generator for the evaluation image with this name."""
    return np.random.default_rng([seed, *name.encode("utf-8", "surrogateescape")])
