"""Base class of the image sources from which training patches are cut."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

import numpy as np

from ms_restore.contracts import ImageEntry, PatchLocation, PatchRequest, Size, StoredPatch
from ms_restore.images.resize import mirror


class Tile(NamedTuple):
    """A part (H, W, C) of an image, or all of it.

    Attributes:
        pixels: the part's pixels.
        top: row of the image at which the part begins.
        left: column of the image at which the part begins.
        spectrum: half spectrum of a whole MRI slice, where it is stored.
    """

    pixels: np.ndarray
    top: int = 0
    left: int = 0
    spectrum: Optional[np.ndarray] = None

    def cut(self, top: int, left: int, side: int, margin: int, size: Size) -> np.ndarray:
        """Return the square patch at (top, left) of the image, with ``margin`` pixels around it.

        ``size`` is the height and width of the image; beyond its borders it is mirrored.
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
    """An ``ImageSource`` that cuts training patches; subclasses read the images."""

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
        """Return the degraded image (h, w, C) stored beside the clean one, or None."""
        return None

    def entries(self) -> list[ImageEntry]:
        """Return the images as they are stored, before they are resized or cut."""
        return [ImageEntry(name, w, h) for name, (h, w) in zip(self.names, self.sizes)]

    def groups(self) -> dict[str, list[str]]:
        """Return groups of image names whose mean scores are reported too, by group name."""
        return {}

    def check(self, request: PatchRequest) -> None:
        """Raise InputError unless the source can give such patches; whole images give any."""
        return

    def size(self, image: int) -> Size:
        """Return the height and width of an image in pixels."""
        return self.sizes[image]

    def patch_counts(self, request: PatchRequest) -> Sequence[int]:
        """Return how many patches each image gives to an epoch: one, or all those on the grid."""
        if request.stride is None:
            return [1] * len(self)
        return [int(np.prod(grid_shape(size, request))) for size in self.sizes]

    def tile(self, index: int) -> Tile:
        """Return the whole clean image, with its spectrum where one is stored."""
        return Tile(self[index])

    def patches(
        self, locations: Iterable[PatchLocation], request: PatchRequest
    ) -> Iterator[tuple[PatchLocation, StoredPatch]]:
        """Yield the patches at these locations, in the same order."""
        for location in locations:
            y = self.degraded(location.image)
            y_tile = None if y is None else Tile(y)
            size = self.sizes[location.image]
            yield location, cut_patch(location, size, request, self.tile(location.image), y_tile)


def cut_patch(
    location: PatchLocation, size: Size, request: PatchRequest, x: Tile, y: Optional[Tile]
) -> StoredPatch:
    """Return the patch at a location, cut from a tile of the clean and of the degraded image.

    Args:
        location: where the patch lies.
        size: height and width of the clean image in pixels.
        request: size and margin of the patch.
        x: a tile of the clean image that holds the patch.
        y: a tile of the degraded image that holds the patch; None if none is stored.
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


def grid_shape(size: Size, request: PatchRequest) -> Size:
    """Return how many rows and columns of patches the grid of an image of this size has."""
    stride = request.stride or 1
    rows, columns = (patches_along(side, request.patch_size, stride) for side in size)
    return rows, columns


def patches_along(side: int, patch: int, stride: int) -> int:
    """Return how many patches fit along a side of an image, on a grid of this stride in pixels."""
    return max(side - patch + stride, 0) // stride
