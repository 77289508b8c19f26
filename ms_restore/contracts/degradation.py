"""Degradations: how a degraded image is made from a clean one."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import (
    TYPE_CHECKING,
    ClassVar,
    Optional,
    TypeVar,
)

import numpy as np

if TYPE_CHECKING:
    from ms_restore.images.mosaic import Mosaic
    from ms_restore.settings import Recipe

_D = TypeVar("_D", bound="Degradation")


class Degradation(abc.ABC):
    """How a degraded image y is made from a clean image x.

    x holds uint8 or uint16, or float32 in [0, 1]. y is of the same kind, or float32 where values
    between and beyond matter, for noise is never clipped. All randomness comes from the generators
    that are given, so that a seed gives the same images anywhere.

    A class derived from this one needs ``__call__`` alone. Its settings are the keyword-only
    arguments of its constructor, which are kept in ``settings``.
    """

    scale: int = 1
    """Pixels of x for each pixel of y along a side."""
    margin: int = 0
    """Pixels of x that a patch needs on every side to be degraded as in the whole image."""
    baseline_name: str = "degraded"
    """What ``baseline`` is called in tables and pictures."""
    mosaic: Optional[Mosaic] = None
    """The colour mosaic of y, where it holds raw pixels."""
    follows_network: ClassVar[tuple[str, ...]] = ()
    """Settings that are those of the network with the same names."""
    settings: dict[str, object]

    def __new__(cls: type[_D], *args: object, **settings: object) -> _D:
        """Keep what the constructor is called with, so that a recipe can name it."""
        made = super().__new__(cls)
        made.settings = settings
        return made

    @property
    def factor(self) -> int:
        """How many times coarser the detail of y is, by which protocols cut borders; ``scale``."""
        return self.scale

    @abc.abstractmethod
    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade a whole image (H, W, C) whose sides are multiples of ``scale``."""

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Degrade a batch of patches.

        Args:
            x: (N, C, H + 2 margin, W + 2 margin), the patches with their margin.
            rngs: a generator for each patch.

        Returns:
            y (N, c, H / scale, W / scale).
        """
        margin, scale = self.margin, self.scale
        made = [self(patch.transpose(1, 2, 0), rng) for patch, rng in zip(x, rngs)]
        batch = np.stack(made).transpose(0, 3, 1, 2)
        cut = slice(margin // scale, -(margin // scale) or None)
        return batch[:, :, cut, cut]

    def pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Degrade a batch twice, independently: y, and a target for learning from noise alone."""
        return self.patches(x, rngs), self.targets(x, rngs)

    def targets(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Degrade a batch as a target of training; further channels are for the loss."""
        return self.patches(x, rngs)

    def goal(self, x: np.ndarray) -> np.ndarray:
        """Return what a network should learn to give for clean patches (N, C, H, W) with margin.

        It is x by default, and of x's shape and range.
        """
        return x

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return the customary restoration (H, W, C), which a network has to beat."""
        return y

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line for each contradiction with the recipe's other settings; see Coupled."""
        return []


class SpectralDegradation(Degradation):
    """A degradation that can start from half spectra of x which are stored.

    ``spectra`` is (N, H, W // 2 + 1) complex64, in the order of ``np.fft.rfft2``.
    """

    @abc.abstractmethod
    def spectral_patches(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> np.ndarray:
        """Return what ``patches`` does."""

    @abc.abstractmethod
    def spectral_pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what ``pairs`` does."""
