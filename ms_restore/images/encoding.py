"""Encoding of pictures to the bytes of a file, with what was embedded in the original."""

from __future__ import annotations

import io
import struct
from typing import Any, Optional

import cv2
import numpy as np
import PIL.Image
import PIL.TiffImagePlugin
from PIL.ExifTags import IFD

from ms_restore.images import png_chunks
from ms_restore.images.embedded import as_read
from ms_restore.images.picture import Embedded, Picture, PictureSequence

_QUALITY = 95  # of JPEG and WebP
_COMPRESSION = 4  # of PNG: files 1 % larger than with Pillow's 6, in less than half of the time
_FORMATS = {
    ".png": "PNG",
    ".apng": "PNG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".ppm": "PPM",
}
_LOSSY = ("JPEG", "WEBP")
_XMP_TAG, _BYTE, _TEXT, _LONG = 700, 1, 2, 4  # types of TIFF 6.0
_DIRECTORIES = (IFD.Exif, IFD.GPSInfo)
_JPEG_XMP = 65_500  # bytes that a marker of JPEG can hold
_MARK = 0xFFFF_FFF0  # no offset that a file of this kind can have


def encode(picture: Picture, suffix: str) -> bytes:
    """Return a picture encoded in the format of a suffix, such as ".png".

    Raises ValueError, OverflowError or struct.error where it is too large for the format.
    """
    array, embedded = picture.samples(), picture.embedded
    kind = _FORMATS.get(suffix, "JPEG")
    if kind == "TIFF":
        return _tiff([picture])
    if array.dtype == np.uint16 and array.shape[2] > 1:
        return png_chunks.with_chunks(_deep_png(array), embedded)
    image = to_pillow(array)
    stream = io.BytesIO()
    if kind == "PNG":
        image.save(stream, "PNG", compress_level=_COMPRESSION)
        return png_chunks.with_chunks(stream.getvalue(), embedded)
    image.save(stream, kind, **_options(embedded, kind))
    return stream.getvalue()


def encode_sequence(sequence: PictureSequence, suffix: str) -> bytes:
    """Return several pictures encoded in one file: pages of a TIFF, or an animation."""
    kind, pictures = _FORMATS[suffix], sequence.pictures
    if kind == "TIFF":
        return _tiff(pictures)
    first, *others = [to_pillow(picture.samples()) for picture in pictures]
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": others,
        "duration": [round(value) for value in sequence.durations],
        "loop": 1 if sequence.loop is None else sequence.loop,
    }
    embedded = pictures[0].embedded
    stream = io.BytesIO()
    if kind == "PNG":
        first.save(stream, "PNG", compress_level=_COMPRESSION, **options)
        return png_chunks.with_chunks(stream.getvalue(), embedded)
    first.save(stream, kind, **options, **_options(embedded, kind))
    return stream.getvalue()


def _options(embedded: Embedded, kind: str) -> dict[str, Any]:
    """Return what Pillow is told for a format: quality, and what is embedded."""
    options: dict[str, Any] = {"quality": _QUALITY} if kind in _LOSSY else {}
    if kind in ("JPEG", "BMP") and embedded.dpi is not None:
        options["dpi"] = embedded.dpi
    if kind not in _LOSSY:
        return options
    if embedded.icc_profile is not None:
        options["icc_profile"] = embedded.icc_profile
    if embedded.exif is not None:
        options["exif"] = embedded.exif
    if embedded.xmp is not None and (kind == "WEBP" or len(embedded.xmp) <= _JPEG_XMP):
        options["xmp"] = embedded.xmp
    return options


def to_pillow(array: np.ndarray) -> PIL.Image.Image:
    """Return an array (H, W, 1 to 4) as an image of Pillow."""
    return PIL.Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def _deep_png(array: np.ndarray) -> bytes:
    if array.shape[2] == 2:  # OpenCV does not support gray with alpha
        array = array[:, :, [0, 0, 0, 1]]
    order = [2, 1, 0, 3][: array.shape[2]]
    done, encoded = cv2.imencode(".png", array[:, :, order])
    if not done:
        raise ValueError("OpenCV does not encode it")
    return encoded.tobytes()


def _tiff(pictures: list[Picture]) -> bytes:
    import tifffile

    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder="<") as writer:
        for picture in pictures:
            array, embedded = picture.samples(), picture.embedded
            if array.dtype == np.uint16 and array.shape[2] == 2:  # not what OpenCV reads
                array = array[:, :, [0, 0, 0, 1]]
            writer.write(
                array if array.shape[2] > 1 else array[:, :, 0],
                photometric="rgb" if array.shape[2] > 2 else "minisblack",
                extrasamples=["unassalpha"] if picture.alpha is not None else None,
                compression="zlib",
                metadata=None,
                software=False,
                iccprofile=embedded.icc_profile,
                resolution=embedded.dpi,
                resolutionunit="INCH" if embedded.dpi else None,
                extratags=_tags(embedded),
            )
    return _with_directories(stream.getvalue(), pictures[0].embedded.exif)


def _exif_of(block: Optional[bytes]) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    if block is not None:
        exif.load(block)
    return exif


def _tags(embedded: Embedded) -> list[tuple[int, int, int, Any, bool]]:
    """Return XMP and EXIF as tags for tifffile, which does not write those of directories.

    Unused tags before them hold their places.
    """
    tags: list[tuple[int, int, int, Any, bool]] = []
    if embedded.xmp is not None:
        tags.append((_XMP_TAG, _BYTE, len(embedded.xmp), embedded.xmp, True))
    exif = _exif_of(embedded.exif)
    texts = {tag: as_read(text) for tag, text in exif.items() if isinstance(text, str)}
    tags += [(tag, _TEXT, 0, text.encode(), True) for tag, text in texts.items()]
    tags += [(tag - 1, _LONG, 1, _MARK, True) for tag in _DIRECTORIES if exif.get_ifd(tag)]
    return tags


def _with_directories(tiff: bytes, block: Optional[bytes]) -> bytes:
    """Return a TIFF with the directories of an EXIF block behind it, and their tags in place."""
    exif = _exif_of(block)
    for tag in _DIRECTORIES:
        entries = exif.get_ifd(tag)
        if not entries:
            continue
        tiff += b"\0" * (len(tiff) % 2)
        directory = PIL.TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
        for key, value in entries.items():
            directory[key] = as_read(value)
        held = struct.pack("<HHII", tag - 1, _LONG, 1, _MARK)
        entry = struct.pack("<HHII", tag, _LONG, 1, len(tiff))
        tiff = tiff.replace(held, entry) + directory.tobytes(len(tiff))
    return tiff
