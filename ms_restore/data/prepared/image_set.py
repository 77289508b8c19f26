"""Prepared sets: images as raw overlapping tiles in MindRecord files, read through MindDataset.

A prepared folder holds manifest.json and shards 00000.mindrecord, 00001.mindrecord, ... (each with
its index, .mindrecord.db). A record is a tile of an image: ``x``, its raw pixels in row-major order
(H, W, C), and where low-resolution images are stored, ``y``, the tile of the low-resolution image.
The tiles of an image follow each other row by row, the images in the manifest's order;
``TileGrid`` says what a tile covers. docs/data.md describes the format.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.contracts import ImageEntry, PatchLocation, PatchRequest, StoredPatch
from ms_restore.data.image_source import CutSource, Tile, cut_patch
from ms_restore.data.prepared.manifest import (
    DTYPES,
    Shards,
    check_stored_degraded,
    checked_size,
    entry_image_names,
    inconsistent_manifest,
    manifest_errors,
    natural,
    read_manifest,
)
from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.degradations import kspace
from ms_restore.errors import InputError, comma_list
from ms_restore.images.arrays import to_channels
from ms_restore.images.listing import unique_names


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """Size, channels and dtype of a stored image."""

    height: int
    width: int
    channels: int
    dtype: str

    def nbytes(self, channels: int) -> int:
        """Return the bytes of the image in memory, converted to this number of channels."""
        return self.height * self.width * channels * np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """An image of a prepared set.

    Attributes:
        name: of its file, or of its slice of a volume.
        x: format of the clean image.
        y: format of the low-resolution image; None if none is stored.
        first: number of the record that holds its first tile.
    """

    name: str
    x: ImageFormat
    y: Optional[ImageFormat]
    first: int


class PreparedSet:
    """A prepared folder of images, whose files have been checked against its manifest.

    Raises:
        InputError: the manifest cannot be read or contradicts itself, or a shard is missing,
            damaged or not as the manifest describes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = read_manifest(folder)
        with manifest_errors(folder):
            self.model: str = manifest["model"]
            self.scale: int = natural(manifest, "scale")
            margin = natural(manifest, "margin", least=0)
            grid = TileGrid(natural(manifest, "patch_size"), margin, natural(manifest, "stride"))
            self.grid = grid
            self.low_grid = grid.downscaled(self.scale)
            self.paired: bool = manifest["low_resolution"]
            self.images = list(self._images(manifest["shards"]))
            self.spectra: bool = manifest.get("spectra", False)
            columns = ["x", *["y"] * self.paired, *["spectrum"] * self.spectra]
            self.shards = Shards(folder, manifest, columns)
            count = len(self.images)
            if count != manifest["count"] or not count or self._record_count() != len(self.shards):
                raise inconsistent_manifest(folder)
        self.shards.check()

    def __len__(self) -> int:
        return len(self.images)

    def _images(self, shards: list[dict[str, Any]]) -> Iterator[StoredImage]:
        """Yield the images that the manifest lists, a volume's slices one by one."""
        first = 0
        for image in itertools.chain.from_iterable(shard["images"] for shard in shards):
            x = self._image_format(image)
            y = self._image_format(image["low_resolution"]) if self.paired else None
            for name in entry_image_names(image):
                yield StoredImage(name, x, y, first)
                first += self.grid.count(x.height) * self.grid.count(x.width)

    def _image_format(self, entry: dict[str, Any]) -> ImageFormat:
        """Return the format in an entry of the manifest; raise ValueError for an unknown one."""
        size = checked_size(self.folder, entry)
        found = ImageFormat(*size, entry["channels"], entry["dtype"])
        if found.dtype not in DTYPES or found.channels not in (1, 3):
            raise ValueError(f"{found.channels} channels of {found.dtype}")
        return found

    def _record_count(self) -> int:
        last = self.images[-1]
        return last.first + self.grid.count(last.x.height) * self.grid.count(last.x.width)

    def read(self, numbers: Iterable[int]) -> Iterator[list[np.ndarray]]:
        """Yield the records with these numbers as flat uint8 arrays.

        Each is a list of x and, where they are stored, y and the spectrum.
        """
        return self.shards.read(numbers)


class RecordSource(CutSource):
    """An ``ImageSource`` of a prepared set: images (H, W, channels) uint8 or uint16.

    Where they do not fit into memory they are streamed: a training patch is cut from the tile that
    holds it, and a whole image is joined from its tiles at each read.

    Args:
        prepared: the set.
        indices: of the images to serve.
        channels: 1 (gray) or 3 (RGB), to which the images are converted.
        smallest: the least height and width in pixels.
        memory: images that fit into this many bytes are held in memory.
        training: patches are cut from them, for which they may be too small.

    Raises:
        InputError: an image has a side below ``smallest`` pixels.
    """

    def __init__(
        self,
        prepared: PreparedSet,
        indices: Sequence[int],
        channels: int,
        smallest: int,
        memory: int,
        training: bool = False,
    ) -> None:
        self._set = prepared
        self._channels = channels
        self._images = [prepared.images[index] for index in indices]
        self.names = unique_names([image.name for image in self._images])
        self.paired = prepared.paired
        self.sizes = [(image.x.height, image.x.width) for image in self._images]
        self.coloured = [image.name for image in self._images if image.x.channels > channels]
        self.description = f"{len(self._images)} images of {prepared.folder} (MindRecord)"
        small = [
            f"{image.name} ({image.x.width}x{image.x.height})"
            for image in self._images
            if min(image.x.height, image.x.width) < smallest
        ]
        if small:
            raise InputError(
                f"{prepared.folder}: {len(small)} of {len(self._images)} images are smaller than "
                f"the {smallest} pixels needed along a side: {comma_list(small)}; prepare again "
                f"without them{', or make data.patch_size smaller' if training else ''}"
            )
        formats = [found for image in self._images for found in (image.x, image.y) if found]
        nbytes = sum(found.nbytes(channels) for found in formats)
        if prepared.spectra:
            nbytes += sum(kspace.spectrum_bytes(*size) for size in self.sizes)
        self.streamed = nbytes > memory
        self._in_memory = None if self.streamed else list(self._whole(self._images))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.tile(index).pixels

    def entries(self) -> list[ImageEntry]:
        """Return the images as they are stored, before they are resized or cut."""
        return [ImageEntry(image.name, image.x.width, image.x.height) for image in self._images]

    def degraded(self, index: int) -> Optional[np.ndarray]:
        """Return the low-resolution image (h, w, channels) stored beside the clean one, or None."""
        return self._stored_pair(index)[1]

    def tile(self, index: int) -> Tile:
        """Return the whole clean image, with its spectrum where one is stored."""
        return self._stored_pair(index)[0]

    def _stored_pair(self, index: int) -> tuple[Tile, Optional[np.ndarray]]:
        """Return a whole clean image, and its low-resolution image or None."""
        if self._in_memory is not None:
            return self._in_memory[index]
        return next(self._whole([self._images[index]]))

    def check(self, request: PatchRequest) -> None:
        """Raise InputError unless the images were prepared for such patches."""
        grid, scale = self._set.grid, request.scale
        fits = request.patch_size <= grid.patch and request.margin <= grid.margin
        if scale != self._set.scale or not fits:
            raise InputError(
                f"{self._set.folder} was prepared for patches up to {grid.patch} with a margin of "
                f"{grid.margin} at scale {self._set.scale} (model {self._set.model}), but patches "
                f"of {request.patch_size} with a margin of {request.margin} at scale {scale} are "
                "needed; prepare the images again for this model, or train from their folder"
            )
        if self.paired:
            check_stored_degraded(self.description, request)

    def patches(
        self, locations: Iterable[PatchLocation], request: PatchRequest
    ) -> Iterator[tuple[PatchLocation, StoredPatch]]:
        """Yield the patches at these locations, in the same order."""
        if not self.streamed:
            yield from super().patches(locations, request)
            return
        grid, low = self._set.grid, self._set.low_grid
        locations, ahead = itertools.tee(locations)
        for location, row in zip(locations, self._set.read(map(self._number, ahead))):
            image = self._images[location.image]
            i = grid.tile_of(image.x.height, location.top)
            j = grid.tile_of(image.x.width, location.left)
            spectrum = self._spectrum(image, row)
            x = self._tile(row[0], image.x, grid, i, j)._replace(spectrum=spectrum)
            y = self._tile(row[1], image.y, low, i, j) if image.y else None
            yield location, cut_patch(location, self.sizes[location.image], request, x, y)

    def _spectrum(self, image: StoredImage, row: list[np.ndarray]) -> Optional[np.ndarray]:
        if not self._set.spectra:
            return None
        return kspace.spectrum_from_bytes(row[-1], image.x.height, image.x.width)

    def _number(self, location: PatchLocation) -> int:
        """Return the number of the record whose tile holds a patch."""
        grid, image = self._set.grid, self._images[location.image]
        i = grid.tile_of(image.x.height, location.top)
        j = grid.tile_of(image.x.width, location.left)
        return image.first + i * grid.count(image.x.width) + j

    def _tile(self, data: np.ndarray, image: ImageFormat, grid: TileGrid, i: int, j: int) -> Tile:
        """Return the tile in row i and column j of an image, given its bytes."""
        (top, bottom), (left, right) = grid.span(image.height, i), grid.span(image.width, j)
        try:
            pixels = data.view(DTYPES[image.dtype])
            pixels = pixels.reshape(bottom - top, right - left, image.channels)
        except ValueError:
            raise InputError(
                f"{self._set.folder}: a record does not have the size given in the manifest; "
                "prepare again"
            ) from None
        return Tile(to_channels(pixels, self._channels), top, left)

    def _whole(self, images: list[StoredImage]) -> Iterator[tuple[Tile, Optional[np.ndarray]]]:
        """Yield the images joined from all their tiles, each with its stored y."""
        grid, low = self._set.grid, self._set.low_grid
        counts = [grid.count(image.x.height) * grid.count(image.x.width) for image in images]
        numbers = (range(image.first, image.first + count) for image, count in zip(images, counts))
        rows = self._set.read(itertools.chain.from_iterable(numbers))
        for image, count in zip(images, counts):
            tiles = list(itertools.islice(rows, count))
            x = self._join([tile[0] for tile in tiles], image.x, grid)
            y = self._join([tile[1] for tile in tiles], image.y, low) if image.y else None
            yield Tile(x, spectrum=self._spectrum(image, tiles[0])), y

    def _join(self, tiles: list[np.ndarray], image: ImageFormat, grid: TileGrid) -> np.ndarray:
        whole = np.empty((image.height, image.width, self._channels), DTYPES[image.dtype])
        columns = grid.count(image.width)
        for number, data in enumerate(tiles):
            pixels, top, left, _ = self._tile(data, image, grid, *divmod(number, columns))
            whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return whole
