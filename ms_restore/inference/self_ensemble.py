"""Self-ensemble: the mean of a network's outputs over the symmetries of the square."""

from __future__ import annotations

import numpy as np

from ms_restore.contracts import Engine


class SelfEnsemble:
    """An engine that averages another one over the eight symmetries of the square.

    The input is turned and flipped in all eight ways, and the outputs are turned back before they
    are averaged, at eight times the cost. Timofte, Rothe, Van Gool, "Seven ways to improve
    example-based single image super resolution", CVPR 2016; marked by "+" in the tables of papers.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.shape = engine.shape
        self._engine = engine

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return the averaged x_hat for y, both (N, C, H, W) float32."""
        total: np.ndarray = np.float32(0)  # type: ignore[assignment]
        for turns in range(4):
            for mirrored in (False, True):
                turned = np.rot90(y, turns, axes=(2, 3))
                turned = turned[..., ::-1] if mirrored else turned
                x_hat = self._engine(np.ascontiguousarray(turned))
                x_hat = x_hat[..., ::-1] if mirrored else x_hat
                total = total + np.rot90(x_hat, -turns, axes=(2, 3))
        return total / 8
