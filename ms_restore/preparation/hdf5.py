"""HDF5 files of the common PyTorch port of DnCNN, as a source of prepared sets.

Each dataset in a file is a patch (train.h5) or a whole image (val.h5), named "0", "1", ..., or
"0_aug_1": float (C, H, W) in [0, 1]. They are stored as uint16, which gives back exactly the same
float32 for multiples of 1/255.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import numpy as np

from ms_restore import hdf5_files
from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.errors import InputError, comma_list
from ms_restore.files import sha256
from ms_restore.images.arrays import from_float
from ms_restore.preparation.pieces import (
    PieceSource,
    largest_tile_bytes,
    patch_settings,
    tile_image,
    tile_settings,
)
from ms_restore.preparation.shard_writer import LoadedPiece, ManifestEntry, Record

_SUFFIXES = (".h5", ".hdf5")
_NAME = re.compile(r"(\d+)(?:_aug_(\d+))?")
_BLOCK_BYTES = 8 << 20  # size of a block of float32 patches, which are read together
_COLOURS = {1: "gray", 3: "colour"}


def find(source: Path) -> Optional[tuple[Path, Optional[Path]]]:
    """Return the HDF5 file to train on, and the one to validate on or None.

    Returns None where the source is neither an HDF5 file nor a folder that holds train.h5.
    """
    if source.suffix.lower() in _SUFFIXES and not source.is_dir():
        return source, None
    train, valid = source / "train.h5", source / "val.h5"
    if train.is_file():
        return train, valid if valid.is_file() else None
    return None


class _File(PieceSource):
    """The datasets of a file in the order of their numbers; each is checked when it is read."""

    columns = ("x",)
    problems = ()

    def __init__(self, source: Path, channels: int) -> None:
        self.source = source
        self._channels = channels
        self._file = hdf5_files.open_file(source)
        self._names = _sorted_names(source, self._file)

    @functools.cached_property
    def _sha256(self) -> Optional[str]:
        return sha256(self.source)

    def _read(self, name: str) -> np.ndarray:
        """Return a dataset as floats (C, H, W); raise InputError for anything else."""
        import h5py

        try:
            dataset = hdf5_files.member(self._file, name)
            if not isinstance(dataset, h5py.Dataset):
                raise InputError("a group, expected floats (C, H, W); leave it out of the file")
            hdf5_files.check_dataset(self.source, dataset)
            if dataset.dtype.kind != "f" or dataset.ndim != 3 or 0 in dataset.shape:
                raise InputError(
                    f"{dataset.dtype} of shape {dataset.shape}, expected floats (C, H, W); "
                    "leave it out of the file"
                )
            if dataset.shape[0] != self._channels:
                raise InputError(self._wrong_channels(dataset.shape[0]))
            values = dataset[()]
        except InputError as error:
            raise InputError(str(error).removeprefix(f"{self.source}: ")) from None
        except Exception as error:  # h5py raises many types for a damaged file
            raise InputError(f"cannot be read ({hdf5_files.error_line(error)})") from None
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise InputError(
                f"values from {low:g} to {high:g}, expected 0 to 1 (8 bit values divided by 255)"
            )
        return values

    def _wrong_channels(self, found: int) -> str:
        ours, its = (f"{n} ({_COLOURS.get(n, 'unknown')})" for n in (self._channels, found))
        return f"channels: {its}, but the model takes {ours}; choose a --model for {found}"

    def _dataset_error(self, name: str, error: InputError) -> InputError:
        return InputError(f"{self.source}: dataset {name!r}: {error}")


class HDF5Patches(_File):
    """Square training patches of an HDF5 file, all of the same size; a piece is a block of them.

    Args:
        source: the file.
        channels: 1 (gray) or 3 (RGB), which every patch must have.
        patch_size: side of a patch in pixels.

    Raises:
        InputError: the file cannot be read, or its first patch has another size.
    """

    unit = "blocks"

    def __init__(self, source: Path, channels: int, patch_size: int) -> None:
        super().__init__(source, channels)
        first = self._names[0]
        try:
            self._shape = self._read(first).shape
        except InputError as error:
            raise self._dataset_error(first, error) from None
        _, height, width = self._shape
        if (height, width) != (patch_size, patch_size):
            way_out = f"add --data.patch_size {height}"
            if height != width:
                way_out = "expected square patches"
            raise InputError(
                f"{source}: patches of {width}x{height}, but data.patch_size is {patch_size}; "
                f"{way_out}"
            )
        size = int(np.prod(self._shape))
        self.max_record_bytes = 2 * size
        self.settings = patch_settings(patch_size, channels, np.dtype(np.uint16))
        step = max(_BLOCK_BYTES // (4 * size), 1)
        self._blocks = [self._names[at : at + step] for at in range(0, len(self._names), step)]

    def __len__(self) -> int:
        return len(self._blocks)

    def identify(self, index: int) -> ManifestEntry:
        """Return the manifest entry of a block: its first and last dataset, the file's hash."""
        block = self._blocks[index]
        return {"name": f"{block[0]} to {block[-1]}", "sha256": self._sha256}

    def load(self, index: int) -> LoadedPiece:
        """Read a block of patches; raise InputError for one that cannot be used."""
        entry, block = self.identify(index), self._blocks[index]
        entry["patches"] = len(block)
        nbytes = len(block) * self.max_record_bytes
        return LoadedPiece(entry, nbytes, nbytes, [[self._record(name) for name in block]])

    def _record(self, name: str) -> Record:
        try:
            patch = self._read(name)
            if patch.shape != self._shape:
                raise InputError(
                    f"shape {patch.shape}, but the first has {self._shape}; expected patches of "
                    "one size (whole images to validate on belong into val.h5 beside train.h5)"
                )
        except InputError as error:
            raise self._dataset_error(name, error) from None
        return {"x": _pixels(patch).tobytes()}


class HDF5Images(_File):
    """Whole images of an HDF5 file, of any size, as overlapping tiles; a piece is an image."""

    unit = "images"

    def __init__(self, source: Path, channels: int, grid: TileGrid) -> None:
        super().__init__(source, channels)
        self._grid = grid
        self.max_record_bytes = largest_tile_bytes(grid)
        self.settings = tile_settings(grid, 1, False)

    def __len__(self) -> int:
        return len(self._names)

    def identify(self, index: int) -> ManifestEntry:
        """Return the manifest entry of an image: its dataset's name, the file's hash."""
        return {"name": self._names[index], "sha256": self._sha256}

    def load(self, index: int) -> LoadedPiece:
        """Read an image; where it cannot be used, its entry has a ``reason``."""
        entry = self.identify(index)
        try:
            return tile_image(entry, _pixels(self._read(entry["name"])), self._grid)
        except InputError as error:
            return LoadedPiece({**entry, "reason": str(error)})


def _pixels(values: np.ndarray) -> np.ndarray:
    """Return floats (C, H, W) in [0, 1] as (H, W, C) uint16."""
    pixels = from_float(values.astype(np.float64), np.dtype(np.uint16))
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _sorted_names(path: Path, file: Iterable[str]) -> list[str]:
    """Return the datasets' names in the order of their numbers, then of their augmentations."""
    try:
        found = {name: _NAME.fullmatch(name) for name in file}
    except Exception as error:  # h5py raises many types for a damaged file
        raise InputError(
            f"{path}: truncated or damaged ({hdf5_files.error_line(error)}); copy or make it again"
        ) from None
    foreign = [name for name, match in found.items() if match is None]
    if foreign or not found:
        holds = f"it holds {comma_list(map(repr, foreign))}" if foreign else "it is empty"
        raise InputError(
            f"{path}: another layout than one dataset for each patch ({holds}); expected the names "
            "'0', '1', ... and '0_aug_1', ..."
        )
    numbers = {name: (int(match[1]), int(match[2] or -1)) for name, match in found.items() if match}
    return sorted(numbers, key=lambda name: (*numbers[name], name))
