"""Image sources of which training patches are cut, and the cutting."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

import numpy as np

from ms_restore.contracts import PatchLocation, PatchRequest, Size, StoredPatch
from ms_restore.images.resize import mirror


class Tile(NamedTuple):
    """Part of an image, (H, W, C), and the row and column of the image at which it begins.

    ``spectrum`` is the half spectrum of a whole slice of MRI, where that is stored.
    """

    pixels: np.ndarray
    top: int = 0
    left: int = 0
    spectrum: Optional[np.ndarray] = None

    def cut(self, top: int, left: int, side: int, margin: int, size: Size) -> np.ndarray:
        """Cut the square patch at (top, left) of the image, with ``margin`` pixels around it.

        Beyond the first rows and columns that ``size`` counts, the image is mirrored.
        """
        height, width = size
        first, last = (top - margin, left - margin), (top + side + margin, left + side + margin)
        if min(first) >= 0 and last[0] <= height and last[1] <= width:
            return self.pixels[
                first[0] - self.top : last[0] - self.top, first[1] - self.left : last[1] - self.left
            ]
        span = np.arange(-margin, side + margin)
        rows = mirror(top + span, height) - self.top
        columns = mirror(left + span, width) - self.left
        return self.pixels[rows[:, None], columns]


class CutSource(abc.ABC):
    """An ``ImageSource`` of which training patches are cut; what is read is left to subclasses."""

    description: str
    names: list[str]
    sizes: list[Size]
    coloured: list[str]
    streamed = False

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, index: int) -> np.ndarray:
        """Return the clean image (H, W, C)."""

    def degraded(self, index: int) -> Optional[np.ndarray]:
        """Return the degraded image (h, w, C) that is stored beside the clean one; None: none."""
        return None

    def groups(self) -> dict[str, list[str]]:
        """Return names of images whose mean score is of interest."""
        return {}

    def check(self, request: PatchRequest) -> None:
        """Raise InputError where such patches cannot be had; from whole images all can."""
        return

    def size(self, image: int) -> Size:
        """Return an image's height and width."""
        return self.sizes[image]

    def patch_counts(self, request: PatchRequest) -> Sequence[int]:
        """Return how many patches of an epoch each image gives: one, or all on the grid."""
        if request.stride is None:
            return [1] * len(self)
        return [int(np.prod(grid_of(size, request))) for size in self.sizes]

    def tile(self, index: int) -> Tile:
        """Return the whole clean image, with its spectrum where that is stored."""
        return Tile(self[index])

    def patches(
        self, locations: Iterable[PatchLocation], request: PatchRequest
    ) -> Iterator[tuple[PatchLocation, StoredPatch]]:
        """Yield the patches at these locations, in their order."""
        for location in locations:
            y = self.degraded(location.image)
            partner = None if y is None else Tile(y)
            size = self.sizes[location.image]
            yield location, cut_patch(location, size, request, self.tile(location.image), partner)


def cut_patch(
    location: PatchLocation, size: Size, request: PatchRequest, x: Tile, y: Optional[Tile]
) -> StoredPatch:
    """Cut a patch of a tile that holds it, and of the degraded image's where there is one.

    Args:
        location: where the patch lies.
        size: the clean image's height and width.
        request: the patch's size and margin.
        x: a tile of the clean image, or all of it.
        y: the same of the degraded image.
    """
    scale, side = request.scale, request.patch_size
    height, width = (length - length % scale for length in size)
    margin = request.margin if y is None else 0
    patch = x.cut(location.top, location.left, side, margin, (height, width))
    if y is None:
        whole = (side, side) == size and not location.symmetry
        return StoredPatch(patch, spectrum=x.spectrum if whole else None)
    top, left = location.top // scale, location.left // scale
    low = y.cut(top, left, side // scale, 0, (height // scale, width // scale))
    return StoredPatch(patch, low)


def grid_of(size: Size, request: PatchRequest) -> Size:
    """Return the rows and columns of patches on the grid of an image of this height and width."""
    stride = request.stride or 1
    rows, columns = (count_along(side, request.patch_size, stride) for side in size)
    return rows, columns


def count_along(side: int, patch: int, stride: int) -> int:
    """Return how many patches lie along a side on a grid of this stride."""
    return max(side - patch + stride, 0) // stride
