"""NIfTI volumes of MRI as a source of prepared sets, which hold their slices.

Lehtinen et al. 2018 (arXiv 1803.04189) train on IXI-T1: slices 25 to 124 along the third axis of
the stored array (left-right, so the slices are sagittal), divided by the volume's maximum,
zero-padded on all sides to 256x256 and rounded to 8 bit; the last row and column are dropped,
which makes the sides odd. Slices whose brightest pixel is at most 1 of 255 are left out.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.data.prepared.manifest import VOLUME_SUFFIXES, volume_name
from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.data.sources import split_layout
from ms_restore.errors import InputError, comma_list
from ms_restore.files import sha256
from ms_restore.limits import check_elements
from ms_restore.preparation.pieces import (
    PieceSource,
    largest_tile_bytes,
    record_bytes,
    slice_record,
    tile_settings,
)
from ms_restore.preparation.shard_writer import LoadedPiece, ManifestEntry
from ms_restore.report.terminal import say

_FIRST, _END = 25, 125
_SLICE_AXIS = 2
_BLANK_LEVEL = 1  # of 255: a slice without a brighter pixel is blank
_UNSUPPORTED = (".mnc", ".hdr", ".img", ".mgz", ".mgh", ".nrrd", ".nhdr", ".dcm", ".par", ".rec")
_TRAINING_SHARE = 5, 6  # 5 of 6 volumes of a folder without subfolders are for training


def find(source: Path) -> Optional[tuple[list[Path], list[Path]]]:
    """Return the files of the volumes to train on and to validate on.

    These are the volumes in the subfolders train and valid, or, in the order of their names, the
    first 5 of 6 volumes of the folder and the others. Returns None where the source holds no
    volume. Raises InputError where nothing is left to train or validate on.
    """
    train_folder, valid_folder = split_layout(source)
    if valid_folder is None:
        paths = _list_volumes(source)
        return _split(source, paths) if paths else None
    train, valid = _list_volumes(train_folder), _list_volumes(valid_folder)
    if not train and not valid:
        return None
    for folder, paths in ((train_folder, train), (valid_folder, valid)):
        if not paths:
            raise InputError(f"{folder}: no volume ({', '.join(VOLUME_SUFFIXES)}) in it")
    return train, valid


def _list_volumes(folder: Path) -> list[Path]:
    """Return the volumes of a folder, and say what beside them is left out."""
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    files = [path for path in files if not path.name.startswith(".")]
    paths = [path for path in files if path.name.lower().endswith(VOLUME_SUFFIXES)]
    others = [path.name for path in files if path not in paths]
    unsupported = [name for name in others if Path(name).suffix.lower() in _UNSUPPORTED]
    if unsupported and not paths:
        raise InputError(
            f"{folder}: volumes of a format that is not supported ({comma_list(unsupported)}); "
            "convert them to NIfTI (.nii or .nii.gz)"
        )
    if paths and others:
        say(f"note: {len(others)} in {folder} are no NIfTI and are left out: {comma_list(others)}")
    names = [volume_name(path.name) for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{folder}: {comma_list(twice)} as .nii and as .nii.gz; keep one of the two"
        )
    return paths


def _split(source: Path, paths: list[Path]) -> tuple[list[Path], list[Path]]:
    if len(paths) == 1:
        raise InputError(
            f"{source}: one volume only, nothing is left to validate on; add volumes, or sort them "
            "into train/ and valid/"
        )
    part, whole = _TRAINING_SHARE
    count = max(len(paths) * part // whole, 1)
    say(
        f"{source}: of {len(paths)} volumes by name the first {count} train, "
        f"the other {len(paths) - count} validate"
    )
    return paths[:count], paths[count:]


class Volumes(PieceSource):
    """The slices of MRI volumes, ``side`` pixels high and wide; a piece is a volume.

    Raises InputError where nibabel is not installed.
    """

    unit = "volumes"
    columns = ("x", "spectrum")

    def __init__(self, paths: list[Path], side: int, grid: TileGrid) -> None:
        self.source = paths[0].parent
        self._nibabel = _import(self.source)
        self._paths = paths
        self._side = side
        self._grid = grid
        self._reading = threading.Lock()  # so that one volume is in memory at a time
        self.max_record_bytes = largest_tile_bytes(grid)
        self.settings = {**tile_settings(grid, 1, False), "spectra": True}
        bad = [f"{path.name}: {problem}" for path in paths if (problem := self._problem_of(path))]
        count = f"{len(bad)} of {len(paths)} volumes cannot be used"
        self.problems = [f"{self.source}: {count}: {comma_list(bad, 20)}"] if bad else []

    def __len__(self) -> int:
        return len(self._paths)

    def identify(self, index: int) -> ManifestEntry:
        """Return the manifest entry of a volume: its file's name and hash."""
        path = self._paths[index]
        return {"name": path.name, "sha256": sha256(path)}

    def load(self, index: int) -> LoadedPiece:
        """Read a volume; where it cannot be used, its entry has a ``reason``."""
        entry = self.identify(index)
        try:
            with self._reading:
                numbers, slices = self._slices(self._paths[index])
        except InputError as error:
            return LoadedPiece({**entry, "reason": str(error)})
        records = [slice_record(pixels) for pixels in slices]
        entry.update(height=self._side, width=self._side, channels=1, dtype="uint8", slices=numbers)
        return LoadedPiece(entry, slices.nbytes, sum(map(record_bytes, records)), [records])

    def _slices(self, path: Path) -> tuple[list[int], np.ndarray]:
        """Return the numbers and pixels (n, side, side, 1) uint8 of the slices not blank."""
        volume = self._read(path)
        if not np.isfinite(volume).all():
            bad = np.count_nonzero(~np.isfinite(volume))
            raise InputError(f"{bad} voxels are NaN or infinite; expected numbers")
        brightest = volume.max()
        if brightest <= 0:
            raise InputError("no voxel is above 0; expected an image")
        cut = np.clip(volume[:, :, _FIRST:_END] / brightest, 0, 1)
        pixels = np.zeros((_END - _FIRST, self._side + 1, self._side + 1, 1), np.uint8)
        top, left = ((self._side + 1 - size) // 2 for size in cut.shape[:2])
        inner = pixels[:, top : top + cut.shape[0], left : left + cut.shape[1], 0]
        inner[:] = np.round(255 * cut).transpose(2, 0, 1)
        kept = np.flatnonzero(pixels.max(axis=(1, 2, 3)) > _BLANK_LEVEL)
        if not len(kept):
            raise InputError(f"slices {_FIRST} to {_END - 1} are blank; expected an image in them")
        return [int(_FIRST + k) for k in kept], pixels[kept, :-1, :-1]

    def _read(self, path: Path) -> np.ndarray:
        image = self._opened(path)
        problem = self._problem_of(path, image)
        if problem:
            raise InputError(problem)
        try:
            with np.errstate(all="ignore"):  # what is infinite then is said by the caller
                return np.asarray(image.dataobj, np.float32)
        except Exception as error:  # nibabel raises many types for damaged files
            raise InputError(
                f"truncated or damaged ({_error_line(error)}); copy it again"
            ) from None

    def _opened(self, path: Path) -> Any:
        """Return nibabel's image, of which only the header has been read."""
        try:
            return self._nibabel.load(path)
        except Exception as error:  # nibabel raises many types for damaged files
            raise InputError(
                f"not NIfTI, or damaged ({_error_line(error)}); copy it again"
            ) from None

    def _problem_of(self, path: Path, image: Any = None) -> Optional[str]:
        """Return what a volume's header shows to be wrong, or None."""
        try:
            with np.errstate(all="ignore"):
                return self._header_problem(path, self._opened(path) if image is None else image)
        except InputError as error:
            return str(error).removeprefix(f"{path}: ")
        except Exception as error:  # nibabel raises many types for damaged files
            return f"its header is damaged ({_error_line(error)}); copy it again"

    def _header_problem(self, path: Path, image: Any) -> Optional[str]:
        shape, most = image.shape, self._side + 1
        check_elements(path, shape, "a volume")
        if len(shape) != 3:
            return f"{len(shape)}-D {shape}, expected one volume (height, width, slices)"
        if min(shape) < 1:
            return f"a size of {' x '.join(map(str, shape))}, expected at least one voxel"
        if image.get_data_dtype().kind not in "iuf":
            return f"voxels are {image.get_data_dtype()}, expected real numbers"
        if shape[_SLICE_AXIS] < _END:
            return (
                f"{shape[_SLICE_AXIS]} slices along its third axis, "
                f"expected at least {_END} (slices {_FIRST} to {_END - 1} are taken)"
            )
        if max(shape[:2]) > most:
            return f"slices of {shape[0]}x{shape[1]}, expected {most}x{most} at most"
        axes = "".join(axis or "?" for axis in self._nibabel.aff2axcodes(image.affine))
        if _oriented(image) and axes[_SLICE_AXIS] not in "LR":
            return (
                f"axes {axes}, expected the third one to run left-right as in IXI-T1 "
                "(such as PSR: slices are sagittal); reorient it"
            )
        return None


def _oriented(image: Any) -> bool:
    """Return whether the header gives the orientation of the axes."""
    codes = (image.header.get(key, 1) for key in ("qform_code", "sform_code"))
    return any(int(code) for code in codes)


def _import(source: Path) -> Any:
    try:
        import nibabel
    except ImportError:
        raise InputError(
            f"{source}: reading NIfTI needs nibabel; install it with pip install ms-restore[mri]"
        ) from None
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # problems are one line here
    return nibabel


def _error_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
