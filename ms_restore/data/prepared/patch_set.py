"""Prepared training patches: records of one size, in memory or streamed through MindDataset.

Record n is patch n, its raw pixels in row-major order (H, W, C). The manifest's ``layout`` is
"patches"; its ``stride`` and ``scales`` say how prepare cut the patches, and are null where the
patches came already cut.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.contracts import ImageEntry, PatchLocation, PatchRequest, Size, StoredPatch
from ms_restore.data.prepared.manifest import (
    DTYPES,
    MANIFEST,
    Shards,
    inconsistent_manifest,
    manifest_errors,
    natural,
    read_manifest,
)
from ms_restore.errors import InputError
from ms_restore.images.resize import mirror
from ms_restore.limits import check_pixels

_SETTINGS = {  # keys of the manifest, and the recipe's names for them
    "channels": "network.channels",
    "patch_size": "data.patch_size",
    "stride": "data.stride",
    "scales": "data.scales",
}


@dataclasses.dataclass(frozen=True)
class ExpectedPatches:
    """Which patches a prepared set must hold, as the recipe's settings of the same names."""

    channels: int
    patch_size: int
    stride: Optional[int] = None
    scales: Sequence[float] = (1.0,)


class PatchSource:
    """A ``TrainingSource`` of prepared patches, each (H, W, C) uint8 or uint16.

    Args:
        folder: that prepare wrote.
        memory: patches that fit into this many bytes are held in memory; more are streamed from
            the files.
        expected: what the patches must be; None accepts any.

    Raises:
        InputError: the manifest cannot be read, the shards do not match it, or the patches are not
            the expected ones.
    """

    def __init__(
        self, folder: Path, memory: int, expected: Optional[ExpectedPatches] = None
    ) -> None:
        self._folder = folder
        manifest = read_manifest(folder)
        with manifest_errors(folder):
            self._cut = {key: manifest[key] for key in _SETTINGS}
            side = natural(manifest, "patch_size")
            self._shape = (side, side, natural(manifest, "channels"))
            check_pixels(folder / MANIFEST, side, side)
            self._dtype = np.dtype(DTYPES[manifest["dtype"]])
            nbytes = natural(manifest, "records") * int(np.prod(self._shape)) * self._dtype.itemsize
            self._model: str = manifest["model"]
            images = [image for shard in manifest["shards"] for image in shard["images"]]
            self._shards = Shards(folder, manifest, ["x"])
            if len(images) != manifest["count"] or not images or len(self) != _patches(images):
                raise inconsistent_manifest(folder)
        if expected is not None:
            self._check(dataclasses.asdict(expected) | {"scales": list(expected.scales)})
        self._shards.check()
        self.description = f"{len(self):,} patches of {folder} (MindRecord)"
        self.streamed = nbytes > memory
        if not self.streamed:
            self._in_memory = np.empty((len(self), *self._shape), self._dtype)
            for patch, row in zip(self._in_memory, self._from_files(range(len(self)))):
                patch[:] = row

    def __len__(self) -> int:
        return len(self._shards)

    def check(self, request: PatchRequest) -> None:
        """Raise InputError unless the set was prepared for patches of this size and stride."""
        self._check({"patch_size": request.patch_size, "stride": request.stride})

    def patch_counts(self, request: PatchRequest) -> Sequence[int]:
        """Return 1 for each patch, since the patches are the images of this source."""
        return [1] * len(self)

    def entries(self) -> list[ImageEntry]:
        """Return one entry, which says how many patches there are, and of what size."""
        return [ImageEntry(f"{len(self)} patches", self._shape[1], self._shape[0])]

    def size(self, image: int) -> Size:
        """Return the height and width of a patch in pixels."""
        return self._shape[0], self._shape[1]

    def patches(
        self, locations: Iterable[PatchLocation], request: PatchRequest
    ) -> Iterator[tuple[PatchLocation, StoredPatch]]:
        """Yield the patches at these locations; a margin mirrors the patch at its borders."""
        locations, ahead = itertools.tee(locations)
        side, margin = self._shape[0], request.margin
        around = mirror(np.arange(-margin, side + margin), side)
        for location, x in zip(locations, self.read(later.image for later in ahead)):
            yield location, StoredPatch(x[around[:, None], around] if margin else x)

    def read(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the patches with these numbers; files are read ahead."""
        return self._from_files(numbers) if self.streamed else (self._in_memory[n] for n in numbers)

    def _from_files(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        for (row,) in self._shards.read(numbers, same_size=True):
            try:
                yield row.view(self._dtype).reshape(self._shape)
            except ValueError:
                raise InputError(
                    f"{self._folder}: a record does not have the size given in {MANIFEST}; "
                    "prepare again"
                ) from None

    def _check(self, expected: dict[str, object]) -> None:
        """Raise InputError unless the manifest's settings are the expected ones."""
        again = f"prepare again for this model (the set was prepared for {self._model})"
        if expected["stride"] is None:
            raise InputError(
                f"{self._folder} holds patches on a grid, which are trained on with data.stride, "
                f"but that is not set; add --data.stride {self._cut['stride'] or 1}, or {again}"
            )
        other = {
            key: value
            for key, value in expected.items()
            if self._cut[key] is not None and value != self._cut[key]
        }
        if other:
            differ = (f"{_SETTINGS[k]} {self._cut[k]}, but now it is {v}" for k, v in other.items())
            options = " ".join(f"--{_SETTINGS[k]} '{self._cut[k]}'" for k in other)
            way_out = again if "channels" in other else f"{again}, or train with {options}"
            raise InputError(f"{self._folder} was prepared with {'; '.join(differ)}; {way_out}")


def _patches(images: list[dict[str, Any]]) -> int:
    return sum(image["patches"] for image in images)
