"""A degradation of one's own."""

from typing import Annotated

import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation


class Speckle(Degradation):
    """y = x (1 + strength n), n white Gaussian noise of deviation 1: the speckle of radar.

    Args:
        strength: the noise's deviation for a white pixel; a larger one is harder to undo.
    """

    baseline_name = "speckled"

    def __init__(self, *, strength: Annotated[float, Field(ge=0, le=1)] = 0.2) -> None:
        self._strength = np.float32(strength)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        floating = x.dtype.kind == "f"
        x = x.astype(np.float32) if floating else x / np.float32(np.iinfo(x.dtype).max)
        return x * (1 + self._strength * rng.standard_normal(x.shape, np.float32))
