"""Image sources: what training and evaluation read clean images from, by number and by name."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Optional, Protocol, Union

import numpy as np

from ms_restore.data import phantoms, photos
from ms_restore.data.images import list_pictures, names_of, read_picture, to_channels
from ms_restore.data.mindrecord import scenes
from ms_restore.data.mindrecord.frames import FrameSource, PreparedFrames
from ms_restore.data.mindrecord.patches import PatchSource
from ms_restore.data.mindrecord.records import PreparedSet, RecordSource
from ms_restore.data.mindrecord.sets import FRAMES, PATCHES, is_prepared, layout_of
from ms_restore.data.mindrecord.tiles import TileSource
from ms_restore.degradations.bicubic import imresize
from ms_restore.errors import InputError, listed

_LAYOUTS = (  # training and validation subfolders that are recognised
    ("DIV2K_train_HR", "DIV2K_valid_HR"),
    ("train", "valid"),
    ("train", "val"),
)
_HELD_OUT_SHARE = 10  # one image in so many validates where no validation folder is there
Embedded = Literal["photos", "colour_photos", "phantoms"]
_CACHE_BYTES = 8 << 30  # DIV2K, decoded, fits


class ImageSource(Protocol):
    """Clean images, each (H, W, C) uint8 or uint16, with their names and (height, width)."""

    description: str
    names: list[str]
    sizes: list[tuple[int, int]]
    coloured: list[str]
    """Names of the images whose colours were turned to gray."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


TrainingSource = Union[ImageSource, PatchSource]


class PhotoSource:
    """The embedded photos of one split, with ``channels`` 1 or 3 and sides from ``smallest`` up.

    With ``coloured``, only those that have colours.
    """

    def __init__(
        self, split: photos.Split, channels: int, smallest: int = 1, coloured: bool = False
    ) -> None:
        loaded = {name: photos.load(name) for name in photos.names(split)}
        if coloured:
            loaded = {name: x for name, x in loaded.items() if x.shape[2] == 3}
        fitting = {name: x for name, x in loaded.items() if min(x.shape[:2]) >= smallest}
        if not fitting:
            raise InputError(
                f"no embedded photo has {smallest} pixels along each side; name a folder of larger "
                "images with --data_dir, or make data.patch_size smaller"
            )
        self.names = list(fitting)
        self.description = f"{len(self.names)} embedded photos"
        self.coloured = [name for name, x in fitting.items() if x.shape[2] > channels]
        self._pixels = [to_channels(x, channels) for x in fitting.values()]
        self.sizes = [(x.shape[0], x.shape[1]) for x in self._pixels]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._pixels[index]


class PhantomSource:
    """The phantoms of one split, ``side`` pixels high and wide."""

    def __init__(self, split: photos.Split, side: int) -> None:
        self.names = phantoms.names(split)
        self.description = f"{len(self.names)} synthetic slices"
        self.sizes = [(side, side)] * len(self.names)
        self.coloured: list[str] = []
        self._slices = [phantoms.load(name, side) for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._slices[index]


class Rescaled:
    """The images of a source, each at every one of the scales, as long as a patch fits in."""

    def __init__(self, source: ImageSource, scales: Sequence[float], smallest: int) -> None:
        self._source = source
        self.description = f"{source.description} at the scales {', '.join(map(str, scales))}"
        self.coloured = source.coloured
        self.names, self.sizes, self._origins = [], [], []
        for index, (name, size) in enumerate(zip(source.names, source.sizes)):
            for scale in scales:
                height, width = rescaled_size(size, scale)
                if min(height, width) >= smallest:
                    self.names.append(f"{name}@{scale}")
                    self.sizes.append((height, width))
                    self._origins.append(index)
        self._cache: dict[int, np.ndarray] = {}
        self._room = _CACHE_BYTES

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        if index in self._cache:
            return self._cache[index]
        pixels = imresize(self._source[self._origins[index]], *self.sizes[index])
        if pixels.nbytes <= self._room:
            self._cache[index] = pixels
            self._room -= pixels.nbytes
        return pixels


def rescaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) of an image resized by a factor, rounded up as MATLAB's imresize does."""
    height, width = (int(np.ceil(round(side * scale, 6))) for side in size)
    return height, width


class FolderSource:
    """Image files. All are decoded once at the start, so that a damaged one is found then.

    Decoded images stay in memory up to 8 GB; those beyond are decoded again at each read.

    Raises InputError for a damaged file and for images with a side below ``smallest`` pixels.
    """

    def __init__(self, paths: list[Path], channels: int, smallest: int) -> None:
        self._paths = paths
        self._channels = channels
        self._cache: dict[int, np.ndarray] = {}
        self.names = names_of([path.name for path in paths])
        self.description = f"{len(paths)} images of {paths[0].parent}"
        self.sizes, self.coloured = [], []
        small, room = [], _CACHE_BYTES
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(lambda path: read_picture(path).pixels, paths)
            for index, pixels in enumerate(decoded):
                if pixels.shape[2] > channels:
                    self.coloured.append(self.names[index])
                pixels = to_channels(pixels, channels)
                height, width = pixels.shape[:2]
                self.sizes.append((height, width))
                if min(height, width) < smallest:
                    small.append(f"{paths[index].name} ({width}x{height})")
                if pixels.nbytes <= room:
                    self._cache[index] = pixels
                    room -= pixels.nbytes
        if small:
            raise InputError(
                f"{paths[0].parent}: {len(small)} of {len(paths)} images are smaller than the "
                f"{smallest} pixels needed along a side: {listed(small)}; take them out, or make "
                "data.patch_size smaller"
            )

    def _decode(self, path: Path) -> np.ndarray:
        return to_channels(read_picture(path).pixels, self._channels)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> np.ndarray:
        cached = self._cache.get(index)
        return self._decode(self._paths[index]) if cached is None else cached


def open_training(
    folder: Optional[str],
    valid_folder: Optional[str],
    channels: int,
    patch_size: int,
    smallest: int,
    scales: Sequence[float] = (1.0,),
    stride: Optional[int] = None,
    embedded: Embedded = "photos",
) -> tuple[TrainingSource, ImageSource]:
    """The training and the validation source; ``smallest`` is the least side that can be scored.

    Training images also come resized by the ``scales``. Without a folder they are the ``embedded``
    ones: photos, or phantoms of the patch's size.

    A folder holds images or is one that prepare wrote. Without a validation folder, the ``valid``
    part of a known layout, every tenth image of a plain folder, or the held-out embedded photos
    take its place; the latter also for prepared patches, of which none can be held out.

    Raises InputError for prepared patches of another size, ``stride`` or other ``scales``.
    """
    if folder is None:
        train: ImageSource
        if embedded == "phantoms":
            train = PhantomSource("train", patch_size)
        else:
            coloured = embedded == "colour_photos"
            train = PhotoSource("train", channels, max(patch_size, smallest), coloured)
        valid = open_evaluation(valid_folder, channels, smallest, embedded, patch_size)
        return _rescaled(train, scales, patch_size), valid
    train_folder, valid_part = split_layout(Path(folder))
    if is_prepared(train_folder) and layout_of(train_folder) == PATCHES:
        wanted = {"patch_size": patch_size, "stride": stride, "scales": list(scales)}
        patches = PatchSource(train_folder, _CACHE_BYTES, channels=channels, **wanted)
        part = Path(valid_folder) if valid_folder else valid_part
        if part is None:
            return patches, PhotoSource("held_out", channels, smallest)
        return patches, _open(_contents(part), channels, smallest)
    train, valid = _both(folder, valid_folder, channels, patch_size, smallest)
    return _rescaled(train, scales, patch_size), valid


def _rescaled(source: ImageSource, scales: Sequence[float], smallest: int) -> ImageSource:
    return source if tuple(scales) == (1.0,) else Rescaled(source, scales, smallest)


def _both(
    folder: str,
    valid_folder: Optional[str],
    channels: int,
    patch_size: int,
    smallest: int,
) -> tuple[ImageSource, ImageSource]:
    train_folder, valid_part = split_layout(Path(folder))
    contents = _contents(train_folder)
    if valid_folder is not None:
        valid_part = Path(valid_folder)
    count = len(contents)
    if valid_part is not None:
        train = _open(contents, channels, max(patch_size, smallest), training=True)
        return train, _open(_contents(valid_part), channels, smallest)
    if count == 1:
        raise InputError(
            f"{folder}: one image only, nothing is left to validate on; "
            "add images or name some with --data.valid_dir"
        )
    held_out = list(range(_HELD_OUT_SHARE - 1, count, _HELD_OUT_SHARE)) or [count - 1]
    kept = sorted(set(range(count)) - set(held_out))
    train = _open(contents, channels, max(patch_size, smallest), kept, training=True)
    return train, _open(contents, channels, smallest, held_out)


def open_evaluation(
    folder: Optional[str],
    channels: int,
    smallest: int,
    embedded: Embedded = "photos",
    side: int = 0,
) -> ImageSource:
    """The images to score: the folder's, its validation part's, or the held-out embedded ones."""
    if folder is None and embedded == "phantoms":
        return PhantomSource("held_out", side)
    if folder is None:
        return PhotoSource("held_out", channels, smallest)
    _, valid_part = split_layout(Path(folder))
    return _open(_contents(valid_part or Path(folder)), channels, smallest)


def groups(source: ImageSource) -> dict[str, list[str]]:
    """Names of images whose mean score is of interest, such as those of one exposure ratio."""
    return source.groups() if isinstance(source, FrameSource) else {}


def degraded(source: ImageSource, index: int) -> Optional[np.ndarray]:
    """The degraded image (h, w, C) that is stored beside the clean one, where there is one."""
    return source.degraded(index) if isinstance(source, TileSource) else None


_Contents = Union[PreparedSet, PreparedFrames, list[Path]]


def _contents(folder: Path) -> _Contents:
    if not is_prepared(folder):
        if scenes.holds_raw(folder):
            raise InputError(
                f"{folder} holds raw files, which are prepared first: ms-restore prepare --model "
                f"sid_sony --source {folder} --output FOLDER"
            )
        return list_pictures(folder)
    layout = layout_of(folder)
    if layout == FRAMES:
        return PreparedFrames(folder)
    if layout == PATCHES:
        raise InputError(
            f"{folder} holds training patches, but whole images are needed here; "
            "name a folder of images, or one that was prepared with a valid/ part"
        )
    return PreparedSet(folder)


def _open(
    contents: _Contents,
    channels: int,
    smallest: int,
    indices: Optional[list[int]] = None,
    training: bool = False,
) -> ImageSource:
    """The source of these images, by default of all."""
    indices = list(range(len(contents))) if indices is None else indices
    if isinstance(contents, PreparedSet):
        return RecordSource(contents, indices, channels, smallest, _CACHE_BYTES)
    if isinstance(contents, PreparedFrames):
        return FrameSource(contents, indices, smallest, by_scene=training)
    return FolderSource([contents[index] for index in indices], channels, smallest)


def split_layout(folder: Path) -> tuple[Path, Optional[Path]]:
    """The training and the validation part of a known layout, or the folder itself and None."""
    for train, valid in _LAYOUTS:
        if (folder / train).is_dir() and (folder / valid).is_dir():
            return folder / train, folder / valid
    return folder, None
