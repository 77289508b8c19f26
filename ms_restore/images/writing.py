"""Writing of picture files, which are written completely or not at all."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from ms_restore.errors import InputError
from ms_restore.files import atomic_write
from ms_restore.images.picture import SUFFIXES, Picture

_NO_OUTPUT = (".gif", ".pgm")  # limited to a palette, or to gray
_SIXTEEN_BIT = (".png", ".tif", ".tiff")
_ALPHA = (".png", ".tif", ".tiff", ".webp")
_LARGE = 128 << 20  # bytes of pixels above which copies are avoided


def check_output(path: Path, picture: Picture) -> None:
    """Raise InputError where the format given by the path's suffix cannot hold the picture."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or suffix in _NO_OUTPUT:
        raise InputError(f"{path}: {suffix or 'none'} is not an output format; use .png")
    if picture.pixels.dtype == np.uint16 and suffix not in _SIXTEEN_BIT:
        raise InputError(f"{path}: {suffix} cannot hold 16 bit; use .png or .tif")
    if picture.alpha is not None and suffix not in _ALPHA:
        raise InputError(f"{path}: {suffix} cannot hold transparency; use .png or .tif")


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture in the format given by the path's suffix, completely or not at all.

    Raises InputError where the format cannot hold the picture, or the file cannot be written.
    """
    check_output(path, picture)
    planes = [picture.pixels]
    if picture.alpha is not None:
        planes.append(picture.alpha[:, :, None])
    array = np.concatenate(planes, axis=2) if len(planes) > 1 else picture.pixels
    with atomic_write(path) as temporary:
        if array.dtype == np.uint16 and array.shape[2] > 1:
            _encode_with_opencv(temporary, array)
            return
        if array.nbytes > _LARGE and path.suffix.lower() == ".png":
            _write_large_png(temporary, array, picture.icc_profile)
            return
        image = PIL.Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        options: dict[str, Any] = {}
        if path.suffix.lower() in (".jpg", ".jpeg", ".webp"):
            options["quality"] = 95
        try:
            image.save(temporary, icc_profile=picture.icc_profile, **options)
        except (ValueError, OverflowError, struct.error) as error:  # too large for the format
            raise InputError(f"{path}: cannot be written ({error}); use .png") from None


def _write_large_png(path: Path, array: np.ndarray, icc_profile: Optional[bytes]) -> None:
    """Write a PNG without a copy of the pixels, which are swapped to BGR in place and back."""
    _swap_red_and_blue(array)
    try:
        done = cv2.imwrite(str(path), array)
    finally:
        _swap_red_and_blue(array)
    if not done:
        raise InputError(f"{path}: cannot be written")
    if icc_profile is not None:
        _insert_profile(path, icc_profile)


def _swap_red_and_blue(array: np.ndarray) -> None:
    if array.shape[2] >= 3:
        for row in array:
            row[:, :3] = row[:, 2::-1].copy()


def _insert_profile(path: Path, icc_profile: bytes) -> None:
    """Insert an iCCP chunk into a PNG behind its header, which ends at byte 33."""
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    plain = path.with_name(f"{path.name}.plain")
    path.rename(plain)
    try:
        with plain.open("rb") as source, path.open("wb") as target:
            target.write(source.read(33) + chunk)
            shutil.copyfileobj(source, target)
    finally:
        plain.unlink()


def _encode_with_opencv(path: Path, array: np.ndarray) -> None:
    if array.shape[2] == 2:  # OpenCV does not support gray with alpha
        array = array[:, :, [0, 0, 0, 1]]
    order = [2, 1, 0, 3][: array.shape[2]]
    done, encoded = cv2.imencode(path.suffix.lower(), array[:, :, order])
    if not done:
        raise InputError(f"{path}: cannot be encoded")
    encoded.tofile(path)
