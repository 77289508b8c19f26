"""Sources: where clean images and training patches come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import (
    NamedTuple,
    Optional,
    Protocol,
)

import numpy as np

from ms_restore.contracts.network import Size


@dataclasses.dataclass(frozen=True)
class PatchRequest:
    """What training asks of a source, in pixels of the clean image.

    Attributes:
        patch_size: side of a patch.
        stride: distance of the patches on a grid; None: a patch lies anywhere.
        margin: pixels around a patch that the degradation needs.
        scale: clean pixels for each degraded one along a side; patches begin at multiples.
        changed_by: a setting for which stored degraded images cannot serve, since others must be
            made, such as "data.translation 8"; None: they can.
    """

    patch_size: int
    stride: Optional[int] = None
    margin: int = 0
    scale: int = 1
    changed_by: Optional[str] = None


class PatchLocation(NamedTuple):
    """Where a training patch lies: which image, its first row and column, how it is turned.

    ``rng`` gives what else is random about it, such as its noise.
    """

    image: int
    top: int
    left: int
    symmetry: int
    rng: np.random.Generator


class StoredPatch(NamedTuple):
    """A training patch as a source has it, (H, W, C), not yet turned.

    ``x`` is clean, with the margin around it where ``y`` is None and has to be made; else without,
    and ``y`` is the degraded patch that is stored. ``spectrum`` is the half spectrum of x, where it
    is stored.
    """

    x: np.ndarray
    y: Optional[np.ndarray] = None
    spectrum: Optional[np.ndarray] = None


class ImageEntry(NamedTuple):
    """The name of an image's file and its size in pixels, by which a run knows it again."""

    name: str
    width: int
    height: int


class TrainingSource(Protocol):
    """Where training patches come from."""

    description: str
    """What the source is, for a line on the terminal."""

    @property
    def streamed(self) -> bool:
        """Whether patches are read from files in the order in which they are asked for."""
        ...

    def check(self, request: PatchRequest) -> None:
        """Raise InputError where such patches cannot be had."""
        ...

    def patch_counts(self, request: PatchRequest) -> Sequence[int]:
        """Return how many patches of an epoch each image gives."""
        ...

    def size(self, image: int) -> Size:
        """Return an image's height and width."""
        ...

    def entries(self) -> list[ImageEntry]:
        """Return the images as they are stored, before they are resized or cut."""
        ...

    def patches(
        self, locations: Iterable[PatchLocation], request: PatchRequest
    ) -> Iterator[tuple[PatchLocation, StoredPatch]]:
        """Yield the patches at these locations, in their order."""
        ...


class ImageSource(TrainingSource, Protocol):
    """Clean images by number, each (H, W, C) uint8 or uint16, for training and for evaluation."""

    names: list[str]
    sizes: list[Size]
    coloured: list[str]
    """Names of the images whose colours were turned to gray."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...

    def degraded(self, index: int) -> Optional[np.ndarray]:
        """Return the degraded image (h, w, C) that is stored beside the clean one; None: none."""
        ...

    def groups(self) -> dict[str, list[str]]:
        """Return names of images whose mean score is of interest, such as those of one ratio."""
        ...
