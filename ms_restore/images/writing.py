"""Writing of picture files, which are written completely or not at all."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np

from ms_restore.errors import InputError
from ms_restore.files import atomic_write
from ms_restore.images.encoding import encode, encode_sequence
from ms_restore.images.picture import SUFFIXES, Picture, PictureSequence

_NO_OUTPUT = (".gif", ".pgm", ".pbm", ".pnm", ".jp2", ".avif")  # palette, gray or untested
_SIXTEEN_BIT = (".png", ".tif", ".tiff")
_ALPHA = (".png", ".apng", ".tif", ".tiff", ".webp")
_ANIMATION = (".png", ".apng", ".webp")
_PAGES = (".tif", ".tiff")
_LARGE = 16 << 20  # bytes of pixels above which PNG is compressed by all processors


def check_output(path: Path, picture: Picture) -> None:
    """Raise InputError where the format given by the path's suffix cannot hold the picture."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or suffix in _NO_OUTPUT:
        raise InputError(f"{path}: {suffix or 'none'} is not an output format; use .png")
    if picture.pixels.dtype == np.uint16 and suffix not in _SIXTEEN_BIT:
        raise InputError(f"{path}: {suffix} cannot hold 16 bit; use .png or .tif")
    if picture.alpha is not None and suffix not in _ALPHA:
        raise InputError(f"{path}: {suffix} cannot hold transparency; use .png or .tif")


def fitting(path: Path, sequence: PictureSequence) -> PictureSequence:
    """Return what of a sequence the format given by the path's suffix can hold.

    An animation needs frames of 8 bit and one size, and a format of animations; pages need TIFF.
    Where it cannot be held, it is the first picture alone, and the others count as left out.
    """
    pictures = sequence.pictures
    if len(pictures) == 1:
        return sequence
    suffix = path.suffix.lower()
    if sequence.durations:
        alike = len({(p.pixels.shape[:2], p.pixels.dtype.name) for p in pictures}) == 1
        fits = suffix in _ANIMATION and alike and pictures[0].pixels.dtype == np.uint8
    else:
        fits = suffix in _PAGES
    if fits:
        return sequence
    left_out = sequence.left_out + len(pictures) - 1
    return dataclasses.replace(sequence, pictures=pictures[:1], durations=[], left_out=left_out)


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture in the format given by the path's suffix, completely or not at all.

    Raises InputError where the format cannot hold the picture, or the file cannot be written.
    """
    write_pictures(path, PictureSequence([picture]))


def write_pictures(path: Path, sequence: PictureSequence) -> None:
    """Write a sequence that is ``fitting``, in the format given by the path's suffix.

    A file of the same name is replaced when the new one is complete on the disk. Raises InputError
    where the format cannot hold the pictures, or the file cannot be written.
    """
    for picture in sequence.pictures:
        check_output(path, picture)
    first, suffix = sequence.pictures[0], path.suffix.lower()
    with atomic_write(path) as temporary:
        try:
            if len(sequence.pictures) > 1:
                temporary.write_bytes(encode_sequence(sequence, suffix))
            elif first.pixels.nbytes > _LARGE and suffix == ".png":
                from ms_restore.images import large_png  # not for small pictures

                large_png.write(temporary, first)
            else:
                temporary.write_bytes(encode(first, suffix))
        except (ValueError, OverflowError, struct.error) as error:  # too large for the format
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: cannot be written ({error}); use .png") from None
