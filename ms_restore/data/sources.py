"""Image sources, from which training and evaluation read clean images, and how they are opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np

from ms_restore.contracts import ImageEntry, ImageSource, TrainingSource
from ms_restore.data import exposures, phantoms, photos
from ms_restore.data.image_source import CutSource
from ms_restore.data.prepared.frame_set import FrameSource, PreparedFrames
from ms_restore.data.prepared.image_set import PreparedSet, RecordSource
from ms_restore.data.prepared.manifest import FRAMES, PATCHES, is_prepared, layout_of
from ms_restore.data.prepared.patch_set import ExpectedPatches, PatchSource
from ms_restore.errors import InputError, comma_list
from ms_restore.images.arrays import to_channels
from ms_restore.images.listing import list_folder, unique_names
from ms_restore.images.reading import read_picture
from ms_restore.images.resize import imresize, rescaled_size
from ms_restore.settings import DataSettings

_LAYOUTS = (  # recognised names of training and validation subfolders
    ("DIV2K_train_HR", "DIV2K_valid_HR"),
    ("train", "valid"),
    ("train", "val"),
)
_HELD_OUT_INTERVAL = 10  # without a validation folder, every tenth image validates
_CACHE_BYTES = 8 << 30  # DIV2K, decoded, fits
_OR_SMALLER = ", or make data.patch_size smaller"  # of images that are too small to train on


class PhotoSource(CutSource):
    """The embedded photos of a split.

    Args:
        split: "train" or "held_out".
        channels: 1 (gray) or 3 (RGB), to which the photos are converted.
        smallest: the least height and width in pixels; smaller photos are left out.
        coloured: leave out the gray photos.

    Raises:
        InputError: no photo is large enough.
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
                f"images with --data_dir{_OR_SMALLER if split == 'train' else ''}"
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


class PhantomSource(CutSource):
    """The synthetic MRI slices of a split, ``side`` pixels high and wide."""

    def __init__(self, split: photos.Split, side: int) -> None:
        self.names = phantoms.names(split)
        self.description = f"{len(self.names)} synthetic slices"
        self.sizes = [(side, side)] * len(self.names)
        self.coloured = []
        self._slices = [phantoms.load(name, side) for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._slices[index]


class RescaledSource(CutSource):
    """The images of another source, each resized by every one of the scales.

    Resized images with a side below ``smallest`` pixels are left out.
    """

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
        self._free_bytes = _CACHE_BYTES

    def __len__(self) -> int:
        return len(self.names)

    def entries(self) -> list[ImageEntry]:
        """Return the images as they are stored, before they are resized."""
        return self._source.entries()

    def __getitem__(self, index: int) -> np.ndarray:
        if index in self._cache:
            return self._cache[index]
        pixels = imresize(self._source[self._origins[index]], *self.sizes[index])
        if pixels.nbytes <= self._free_bytes:
            self._cache[index] = pixels
            self._free_bytes -= pixels.nbytes
        return pixels


class FolderSource(CutSource):
    """Image files, all decoded once at the start, so that a damaged one is found before training.

    Decoded images are kept in memory up to 8 GB; the rest are decoded again at each read.

    Args:
        paths: the files, all of one folder.
        channels: 1 (gray) or 3 (RGB), to which the images are converted.
        smallest: the least height and width in pixels.
        left_out: what else the folder holds, for the description.
        training: patches are cut from them, for which they may be too small.

    Raises:
        InputError: a file is damaged, or an image has a side below ``smallest`` pixels.
    """

    def __init__(
        self,
        paths: list[Path],
        channels: int,
        smallest: int,
        left_out: Sequence[str] = (),
        training: bool = False,
    ) -> None:
        self._paths = paths
        self._channels = channels
        self._cache: dict[int, np.ndarray] = {}
        self.names = unique_names([path.name for path in paths])
        self.sizes, self.coloured = [], []
        small, room, sequences = [], _CACHE_BYTES, []
        with ThreadPoolExecutor() as pool:
            for index, picture in enumerate(pool.map(read_picture, paths)):
                pixels = picture.pixels
                if picture.other_frames:
                    sequences.append(paths[index].name)
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
        self.description = f"{len(paths)} images of {paths[0].parent}"
        if left_out:
            self.description += f" (left out, no images: {comma_list(left_out)})"
        if sequences:
            self.description += f" (of {comma_list(sequences)} the first frame or page)"
        if small:
            raise InputError(
                f"{paths[0].parent}: {len(small)} of {len(paths)} images are smaller than the "
                f"{smallest} pixels needed along a side: {comma_list(small)}; take them out"
                f"{_OR_SMALLER if training else ''}"
            )

    def entries(self) -> list[ImageEntry]:
        """Return the names of the files, and the sizes of their images."""
        return [ImageEntry(path.name, w, h) for path, (h, w) in zip(self._paths, self.sizes)]

    def _decode(self, path: Path) -> np.ndarray:
        return to_channels(read_picture(path).pixels, self._channels)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> np.ndarray:
        cached = self._cache.get(index)
        return self._decode(self._paths[index]) if cached is None else cached


class EarlierImages(NamedTuple):
    """The names of the images that a run trained and validated on when it began."""

    trained: frozenset[str]
    validated: frozenset[str]


def open_training(
    data: DataSettings, channels: int, smallest: int, earlier: Optional[EarlierImages] = None
) -> tuple[TrainingSource, ImageSource]:
    """Return the training and the validation source that a recipe's ``data`` section names.

    The training images are those of ``data.dir``, a folder of images or one that prepare wrote,
    or else the embedded photos or phantoms that ``data.embedded`` names; they are also resized by
    ``data.scales``. The validation images are those of ``data.valid_dir``, or else the validation
    subfolder of a recognised layout, every tenth image of a plain folder, or the held-out embedded
    photos; prepared patches cannot be held out and so also validate on the embedded photos.

    Args:
        data: the recipe's settings.
        channels: 1 (gray) or 3 (RGB), of the images.
        smallest: the least height and width in pixels that can be scored.
        earlier: the images of a run that is resumed, whose held-out images stay held out; images
            that came later are trained on.

    Raises:
        InputError: a folder cannot be used, no held-out image is left in it, or its prepared
            patches have another size, stride or scales than the recipe's.
    """
    least = max(data.patch_size, smallest)
    if data.dir is None:
        train: ImageSource
        if data.embedded == "phantoms":
            train = PhantomSource("train", data.patch_size)
        else:
            train = PhotoSource("train", channels, least, data.embedded == "colour_photos")
        valid = open_evaluation(data.valid_dir, data, channels, smallest)
        return _rescaled(train, data), valid
    train_folder, valid_part = split_layout(Path(data.dir))
    if data.valid_dir is not None:
        valid_part = Path(data.valid_dir)
    if is_prepared(train_folder) and layout_of(train_folder) == PATCHES:
        expected = ExpectedPatches(channels, data.patch_size, data.stride, data.scales)
        patches = PatchSource(train_folder, _CACHE_BYTES, expected)
        if valid_part is None:
            return patches, PhotoSource("held_out", channels, smallest)
        return patches, _open_folder(valid_part).source(channels, smallest)
    contents = _open_folder(train_folder)
    count = len(contents.names)
    if valid_part is not None:
        train = contents.source(channels, least, training=True)
        return _rescaled(train, data), _open_folder(valid_part).source(channels, smallest)
    if count == 1:
        raise InputError(
            f"{data.dir}: one image only, nothing is left to validate on; "
            "add images or name some with --data.valid_dir"
        )
    held_out = _held_out(contents.names, earlier, train_folder)
    kept = sorted(set(range(count)) - set(held_out))
    train = contents.source(channels, least, kept, training=True)
    return _rescaled(train, data), contents.source(channels, smallest, held_out)


def _held_out(names: list[str], earlier: Optional[EarlierImages], folder: Path) -> list[int]:
    """Return which images of a plain folder are not trained on, but validate."""
    numbers = list(range(len(names)))
    if earlier is not None:
        still = [number for number in numbers if names[number] in earlier.validated]
        if still:
            return still
        numbers = [number for number in numbers if names[number] not in earlier.trained]
        if not numbers:
            raise InputError(
                f"{folder}: none of the images that the run held out is left ("
                f"{comma_list(sorted(earlier.validated), 3)}); put them back, or name others with "
                "--data.valid_dir and --allow_changes"
            )
    return numbers[_HELD_OUT_INTERVAL - 1 :: _HELD_OUT_INTERVAL] or [numbers[-1]]


def _rescaled(source: ImageSource, data: DataSettings) -> ImageSource:
    """Return the source with its images resized by ``data.scales``."""
    plain = tuple(data.scales) == (1.0,)
    return source if plain else RescaledSource(source, data.scales, data.patch_size)


def open_evaluation(
    folder: Optional[str], data: DataSettings, channels: int, smallest: int
) -> ImageSource:
    """Return the source of the images to score.

    These are the images of the folder, those of its validation subfolder where it has a recognised
    layout, or without a folder the held-out embedded photos or phantoms.

    Args:
        folder: of images, or one that prepare wrote; None for the embedded images.
        data: the recipe's settings, for the embedded images.
        channels: 1 (gray) or 3 (RGB), of the images.
        smallest: the least height and width in pixels.

    Raises:
        InputError: the folder cannot be used, or an image has a side below ``smallest`` pixels.
    """
    if folder is None and data.embedded == "phantoms":
        return PhantomSource("held_out", data.patch_size)
    if folder is None:
        return PhotoSource("held_out", channels, smallest)
    _, valid_part = split_layout(Path(folder))
    return _open_folder(valid_part or Path(folder)).source(channels, smallest)


@dataclasses.dataclass(frozen=True)
class _FolderImages:
    """The images of a folder, before they are divided into training and validation images.

    ``names`` are those of ``ImageSource.entries``; ``open`` takes the indices of images, their
    channels, the least side in pixels, and whether they are for training.
    """

    names: list[str]
    open: Callable[[Sequence[int], int, int, bool], ImageSource]

    def source(
        self,
        channels: int,
        smallest: int,
        indices: Optional[Sequence[int]] = None,
        training: bool = False,
    ) -> ImageSource:
        """Return a source of the images with these indices; None means all images."""
        chosen = range(len(self.names)) if indices is None else indices
        return self.open(chosen, channels, smallest, training)


def _open_folder(folder: Path) -> _FolderImages:
    """Return the images of a folder, whether they are image files or a prepared set."""
    if not is_prepared(folder):
        return _open_files(folder)
    layout = layout_of(folder)
    if layout == PATCHES:
        raise InputError(
            f"{folder} holds training patches, but whole images are needed here; "
            "name a folder of images, or one that was prepared with a valid/ part"
        )
    if layout == FRAMES:
        frames = PreparedFrames(folder)
        return _FolderImages(
            [scene.long.name for scene in frames.scenes],
            lambda chosen, _, smallest, training: FrameSource(
                frames, chosen, smallest, by_scene=training
            ),
        )
    images = PreparedSet(folder)
    return _FolderImages(
        [image.name for image in images.images],
        lambda chosen, channels, smallest, training: RecordSource(
            images, chosen, channels, smallest, _CACHE_BYTES, training
        ),
    )


def _open_files(folder: Path) -> _FolderImages:
    """Return the image files of a folder."""
    if exposures.has_raw_files(folder):
        raise InputError(
            f"{folder} holds raw files, which are prepared first: ms-restore prepare --model "
            f"sid_sony --source {folder} --output FOLDER"
        )
    listing = list_folder(folder)
    return _FolderImages(
        [path.name for path in listing.pictures],
        lambda chosen, channels, smallest, training: FolderSource(
            [listing.pictures[index] for index in chosen],
            channels,
            smallest,
            listing.left_out,
            training,
        ),
    )


def split_layout(folder: Path) -> tuple[Path, Optional[Path]]:
    """Return the training and the validation subfolder, or the folder itself and None.

    The recognised pairs of names are DIV2K_train_HR and DIV2K_valid_HR, train and valid, and train
    and val.
    """
    for train, valid in _LAYOUTS:
        if (folder / train).is_dir() and (folder / valid).is_dir():
            return folder / train, folder / valid
    return folder, None
