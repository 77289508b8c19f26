"""Solvers: what undoes a known degradation with a denoiser as prior."""

from __future__ import annotations

import dataclasses
from typing import (
    TYPE_CHECKING,
    Callable,
    NamedTuple,
    Optional,
    Protocol,
)

import numpy as np

from ms_restore.contracts.network import Engine, Size

if TYPE_CHECKING:
    from mindspore import nn

    from ms_restore.settings import Recipe


class Progress(NamedTuple):
    """How far a solver has come.

    ``misfit_255`` is the root mean square of A x - y for each image, on a scale of 0 to 255; ``x``
    gives the present images (N, C, H, W) when it is called.
    """

    iteration: int
    misfit_255: np.ndarray
    x: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Solution:
    """x_hat (N, C, H, W) float32 in [0, 1], and how it was found.

    ``seconds_per_iteration`` is the median.
    """

    x_hat: np.ndarray
    iterations: int
    misfit_255: np.ndarray
    seconds_per_iteration: float
    engine: str


class LinearOperator(Protocol):
    """A linear degradation y = A x on batches (N, C, H, W), and its adjoint."""

    scale: int
    """Pixels of x for each pixel of y along a side."""

    @property
    def energy(self) -> float:
        """The sum of the squares of the blur's kernel."""
        ...

    @property
    def half(self) -> Size:
        """Rows and columns of x on each side of A x."""
        ...

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return A x."""
        ...

    def adjoint(self, y: np.ndarray, size: Optional[Size] = None) -> np.ndarray:
        """Return A^T y; ``size`` is x's height and width, where y does not tell."""
        ...

    def start(self, y: np.ndarray) -> np.ndarray:
        """Return a first x of the right size."""
        ...

    def proximal(self, z: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
        """Return the x that minimises |A x - y|^2 + alpha |x - z|^2."""
        ...

    def check(self, height: int, width: int) -> None:
        """Raise InputError for an x of this size that A does not take."""
        ...

    def gain(self, y: np.ndarray) -> float:
        """Return how many values of the blurred image there are for each value of y."""
        ...

    def blurred_size(self, height: int, width: int) -> Size:
        """Return the height and width of the blurred image for a y of this size."""
        ...

    def cell(self, height: int, width: int) -> nn.Cell:
        """Return the operator for the device, for an x of this size."""
        ...

    def held(self, y: np.ndarray, size: Size) -> np.ndarray:
        """Return y as ``proximal_cell`` takes it."""
        ...

    def proximal_cell(self, y: np.ndarray, size: Size) -> nn.Cell:
        """Return ``proximal`` for the device, for y of this shape and x of this size.

        It takes z, ``held`` and alpha (1,), and returns x.
        """
        ...


class Prior(Protocol):
    """A denoiser of one known level, or of any, as a solver sees it."""

    recipe: Recipe
    channels: int
    sigma_255: float
    """The level that it was trained for, or is told by default, as a standard deviation on a scale
    of 0 to 255."""
    takes_any_level: bool
    """Whether it is told the level."""

    @property
    def engine(self) -> Optional[Engine]:
        """What computes it; None: MindSpore computes ``cell()``."""
        ...

    def cell(self) -> nn.Cell:
        """Return the denoiser for the device, (N, C, H, W) to the same, any number of channels."""
        ...

    def denoise(self, y: np.ndarray, sigma_255: Optional[float] = None) -> np.ndarray:
        """Denoise a batch by the engine; ``sigma_255`` is told to one that takes any level."""
        ...


class Solver(Protocol):
    """A method that undoes a known linear degradation, with a denoiser as prior.

    Its constructor takes the prior, and its settings as keyword-only arguments.
    """

    iterations: int
    """At most how many iterations it makes."""
    noise_blind: bool
    """Whether it estimates the noise even where that is known."""
    engine: str
    """What computes the prior, as ``--engine`` names it."""

    @property
    def prior(self) -> Prior:
        """The denoiser."""
        ...

    def __call__(
        self,
        y: np.ndarray,
        operator: LinearOperator,
        *,
        sigma_255: Optional[float],
        seed: int = 0,
        monitor: Optional[Callable[[Progress], None]] = None,
    ) -> Solution:
        """Restore a batch.

        Args:
            y: (N, C, h, w) in [0, 1], noise not clipped.
            operator: A.
            sigma_255: standard deviation of y's noise on a scale of 0 to 255; None: unknown.
            seed: of what is random in the method.
            monitor: called after some of the iterations, the first and the last included.
        """
        ...
