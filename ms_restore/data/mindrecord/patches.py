"""Prepared training patches: records of one size, in memory or streamed through MindDataset.

Record n is patch n, its raw pixels in row-major order (H, W, C). The manifest's ``layout`` is
"patches"; it says how the patches were cut, as far as prepare has done that itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ms_restore.data.mindrecord.sets import (
    DTYPES,
    MANIFEST,
    Shards,
    as_written,
    contradiction,
    read_manifest,
)
from ms_restore.errors import InputError

_SETTINGS = {  # of the manifest, and what they are in a recipe
    "channels": "network.channels",
    "patch_size": "data.patch_size",
    "stride": "data.stride",
    "scales": "data.scales",
}


class PatchSource:
    """Training patches, each (H, W, C) uint8 or uint16, by number.

    Held as one array where they fit into ``memory`` bytes; else ``streamed``: ``read`` gives them
    one after another.

    Raises InputError for a manifest that cannot be read, for shards that do not match it, and where
    the patches are not as ``wanted``, see ``check``.
    """

    def __init__(self, folder: Path, memory: int, **wanted: Any) -> None:
        self._folder = folder
        manifest = read_manifest(folder)
        with as_written(folder):
            self._cut = {key: manifest[key] for key in _SETTINGS}
            side = manifest["patch_size"]
            self._shape = (side, side, manifest["channels"])
            self._dtype = np.dtype(DTYPES[manifest["dtype"]])
            nbytes = manifest["records"] * int(np.prod(self._shape)) * self._dtype.itemsize
            self._model: str = manifest["model"]
            images = [image for shard in manifest["shards"] for image in shard["images"]]
            self._shards = Shards(folder, manifest, ["x"])
            if len(images) != manifest["count"] or not images or len(self) != _patches(images):
                raise contradiction(folder)
        self.check(**wanted)
        self._shards.check()
        self.description = f"{len(self):,} patches of {folder} (MindRecord)"
        self.streamed = nbytes > memory
        if not self.streamed:
            self._held = np.empty((len(self), *self._shape), self._dtype)
            for patch, row in zip(self._held, self.read(range(len(self)))):
                patch[:] = row

    def __len__(self) -> int:
        return len(self._shards)

    def take(self, numbers: list[int]) -> np.ndarray:
        """These patches as one array (N, H, W, C)."""
        return np.stack(list(self.read(numbers))) if self.streamed else self._held[numbers]

    def read(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """These patches from the files, which are read ahead of what is asked for."""
        for (row,) in self._shards.read(numbers, alike=True):
            try:
                yield row.view(self._dtype).reshape(self._shape)
            except ValueError:
                raise InputError(
                    f"{self._folder}: a record has not the size that {MANIFEST} says; prepare again"
                ) from None

    def check(self, **wanted: Any) -> None:
        """InputError where the set was prepared for other patches than these.

        ``wanted``: ``channels`` of the network, and data.patch_size, stride and scales of a recipe.
        """
        again = f"prepare again for this model (the set was prepared for {self._model})"
        if wanted.get("stride", 1) is None:
            raise InputError(
                f"{self._folder} holds patches on a grid, which are trained on with data.stride, "
                f"but that is not set; add --data.stride {self._cut['stride'] or 1}, or {again}"
            )
        other = {
            key: value
            for key, value in wanted.items()
            if self._cut[key] is not None and value != self._cut[key]
        }
        if other:
            differ = (f"{_SETTINGS[k]} {self._cut[k]}, but now it is {v}" for k, v in other.items())
            options = " ".join(f"--{_SETTINGS[k]} '{self._cut[k]}'" for k in other)
            way_out = again if "channels" in other else f"{again}, or train with {options}"
            raise InputError(f"{self._folder} was prepared with {'; '.join(differ)}; {way_out}")


def _patches(images: list[dict[str, Any]]) -> int:
    return sum(image["patches"] for image in images)
