"""Pickles of MRI slices and their spectra, as a source of prepared sets.

The model zoo's Noise2Noise keeps its data as a pair of arrays: images uint8 (n, S, S), S even, and
centred spectra complex64 (n, S - 1, S - 1) of the images without their last row and column. These
spectra are only checked: prepared sets hold spectra computed from the images.

Unpickling can run any code, so nothing but NumPy's arrays is admitted.
"""

from __future__ import annotations

import functools
import pickle
import re
from pathlib import Path
from typing import Any, NoReturn, Optional

import numpy as np

from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.errors import InputError, comma_list
from ms_restore.files import sha256
from ms_restore.preparation.pieces import (
    PieceSource,
    largest_tile_bytes,
    record_bytes,
    slice_record,
    tile_settings,
)
from ms_restore.preparation.shard_writer import LoadedPiece, ManifestEntry

_SUFFIXES = (".pkl", ".pickle")
_PARTS = ("train", "valid")


def find(source: Path) -> Optional[tuple[Path, Optional[Path]]]:
    """Return the pickle to train on, and the one to validate on or None.

    A folder must hold ``train.pkl`` and ``valid.pkl``, or one ``*_train.pkl`` and one
    ``*_valid.pkl``. Returns None where the source holds no pickles. Raises InputError where
    several pickles of a folder could be the same part.
    """
    if source.suffix.lower() in _SUFFIXES and not source.is_dir():
        return source, None
    if not source.is_dir():
        return None
    train, valid = (_file_of_part(source, part) for part in _PARTS)
    return (train, valid) if train and valid else None


def _file_of_part(folder: Path, part: str) -> Optional[Path]:
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SUFFIXES and f"_{path.stem}".endswith(f"_{part}")
    ]
    if len(found) > 1:
        raise InputError(
            f"{folder}: {comma_list(path.name for path in found)} all look like the {part} part; "
            "name one pickle, or a folder with one of each"
        )
    return found[0] if found else None


class PickledSlices(PieceSource):
    """The images of a pickle without their last row and column; a piece is an image.

    Raises InputError where the pickle does not hold images and spectra for slices of ``side``
    pixels.
    """

    unit = "images"
    columns = ("x", "spectrum")
    problems = ()

    def __init__(self, source: Path, side: int, grid: TileGrid) -> None:
        self.source = source
        self._pixels = _images(source, read_arrays(source), side)
        self._grid = grid
        self.max_record_bytes = largest_tile_bytes(grid)
        self.settings = {**tile_settings(grid, 1, False), "spectra": True}

    @functools.cached_property
    def _sha256(self) -> Optional[str]:
        return sha256(self.source)

    def __len__(self) -> int:
        return len(self._pixels)

    def identify(self, index: int) -> ManifestEntry:
        """Return the manifest entry of an image: its name from its number, the file's hash."""
        return {"name": f"{self.source.stem}_{index:05}", "sha256": self._sha256}

    def load(self, index: int) -> LoadedPiece:
        """Return an image of the pickle, which is in memory, as a piece."""
        pixels = np.ascontiguousarray(self._pixels[index, :-1, :-1, None])
        entry, record = self.identify(index), slice_record(pixels)
        height, width, channels = pixels.shape
        entry.update(height=height, width=width, channels=channels, dtype=str(pixels.dtype))
        return LoadedPiece(entry, pixels.nbytes, record_bytes(record), [[record]])


def _images(path: Path, content: Any, side: int) -> np.ndarray:
    """Return the images; raise InputError unless the content is images and spectra."""
    expected = (
        f"expected images uint8 (n, {side + 1}, {side + 1}) and spectra complex64 "
        f"(n, {side}, {side})"
    )
    pair = isinstance(content, (tuple, list)) and len(content) == 2
    if not pair or not all(isinstance(part, np.ndarray) for part in content):
        raise InputError(f"{path}: holds {_describe(content)}; {expected}")
    images, spectra = content
    shapes = (len(images), side + 1, side + 1), (len(images), side, side)
    fits = (images.dtype, spectra.dtype) == (np.uint8, np.complex64)
    if not fits or (images.shape, spectra.shape) != shapes or not len(images):
        found = " and ".join(f"{part.dtype} {part.shape}" for part in content)
        raise InputError(f"{path}: holds {found}; {expected}")
    return images


def _describe(content: Any) -> str:
    if isinstance(content, (tuple, list)):
        inner = (type(part).__name__ for part in content)
        return f"a {type(content).__name__} of {len(content)} ({comma_list(inner)})"
    return f"a {type(content).__name__}"


def read_arrays(path: Path) -> Any:
    """Return the content of a pickle: a NumPy array, or a tuple or list of them.

    Raises InputError where the file cannot be read or holds anything else, before any code in it
    runs.
    """
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(path, file).load()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{path}: does not fit into memory") from None
    except Exception as error:  # a damaged pickle can raise anything
        line = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a pickle, or a damaged one ({line})") from None
    if isinstance(content, (tuple, list)):
        return type(content)(map(_unwrapped, content))
    return _unwrapped(content)


def _unwrapped(part: Any) -> Any:
    """The NumPy array of one that was read."""
    return part.value if isinstance(part, _Array) else part


class _ArraysOnly(pickle._Unpickler):
    """An unpickler that reads arrays and refuses every other class before importing it.

    It is the one written in Python: a number in a damaged file has the one written in C reserve
    all of the memory. Arrays are built by classes of this module, so NumPy never gets a
    state it did not write.
    """

    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 pickled bytes as text
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy._core."):  # since NumPy 2
            module = module.replace("numpy._core.", "numpy.core.", 1)
        if (module, name) not in _ADMITTED:
            self._refuse(f"{module}.{name}")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        self._refuse("a reference to something outside")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"{self._path}: holds {what}, but only NumPy arrays are read (other objects can run "
            "code); nothing of it was run"
        )


class _Kind:
    """A numeric dtype, built from its name and then its byte order."""

    def __init__(self, name: str, *_: Any) -> None:
        if not re.fullmatch(r"[biufc]\d+", name):
            raise ValueError(f"an array of {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array, built from its pickled state: version, shape, dtype, order, bytes."""

    def __init__(self, *_: Any) -> None:
        self.value: Optional[np.ndarray] = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        self.value = _from_buffer(data, kind, shape, "F" if by_columns else "C")


def _from_buffer(data: Any, kind: _Kind, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError("an array without its bytes")
    return np.ndarray(shape, kind.dtype, data, order="F" if order == "F" else "C")


def _bytes(text: str, _: str) -> bytes:
    """Return bytes, which pickle protocol 2 writes as text."""
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None,  # an argument of _reconstruct, which ignores it
    ("numpy", "dtype"): _Kind,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _bytes,
}
