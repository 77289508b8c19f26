"""Colour profile, EXIF, XMP and resolution of a picture's file."""

from __future__ import annotations

import math
import re
from typing import Any, Optional

import PIL.Image
from PIL.ExifTags import IFD, Base

from ms_restore.images.picture import Embedded

# Tags that describe how the pixels are stored; those of the written file differ. TIFF 6.0 and
# EXIF 2.32; 700 and 34675 are XMP and the colour profile, which are kept apart.
_STORAGE = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279}
_STORAGE |= {280, 281, 282, 283, 284, 290, 291, 292, 293, 296, 297, 301, 317, 318, 319, 320}
_STORAGE |= {*range(321, 348), *range(512, 533), 700, 32781, 34377, 34675, 40965}
_SIZE = (Base.ExifImageWidth, Base.ExifImageHeight)
_MOST_BYTES = 64 << 10  # of EXIF, as a JPEG can hold no more
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")
_SPACES = {1: b"GRAY", 3: b"RGB "}


def embedded_in(file: PIL.Image.Image, channels: int) -> Embedded:
    """Return what an opened file that was turned upright holds beside pixels.

    ``channels``: 1 or 3, of the decoded picture. A colour profile for other pixels, such as CMYK,
    is not kept.
    """
    return Embedded(
        icc_profile=_profile(file.info.get("icc_profile"), channels),
        exif=_exif(file),
        xmp=_xmp(file.info),
        dpi=_dpi(file.info.get("dpi")),
    )


class _Text(str):
    """EXIF's text, which Pillow decodes as Latin-1 and would encode as ASCII, with "?" in it."""

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        return super().encode("latin-1", "replace")


def as_read(value: Any) -> Any:
    """Return a value of EXIF that Pillow writes with the bytes that it was read from."""
    return _Text(value) if isinstance(value, str) else value


def _profile(profile: Any, channels: int) -> Optional[bytes]:
    """Return an ICC profile whose header says that it is for such pixels, else None."""
    if not isinstance(profile, bytes) or len(profile) < 128:
        return None
    return profile if profile[16:20] == _SPACES[channels] else None


def _exif(file: PIL.Image.Image) -> Optional[bytes]:
    try:
        exif = file.getexif()
        kept = PIL.Image.Exif()
        for tag, value in exif.items():
            if tag not in _STORAGE:
                kept[tag] = as_read(value)
        for ifd in (IFD.Exif, IFD.GPSInfo):
            inner = {tag: as_read(v) for tag, v in exif.get_ifd(ifd).items() if tag not in _SIZE}
            if inner:
                kept[ifd] = inner
            elif ifd in kept:
                del kept[ifd]
        block = kept.tobytes() if len(kept) else None
    except Exception:  # a damaged block raises errors of many types
        return None
    return block if block is None or len(block) <= _MOST_BYTES else None


def _xmp(info: dict[Any, Any]) -> Optional[bytes]:
    packet = info.get("xmp", info.get("XML:com.adobe.xmp"))
    if isinstance(packet, str):
        packet = packet.encode("utf-8")
    if not isinstance(packet, bytes) or not packet:
        return None
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _dpi(dpi: Any) -> Optional[tuple[float, float]]:
    try:
        horizontal, vertical = float(dpi[0]), float(dpi[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    usable = all(math.isfinite(value) and 1 <= value <= 100_000 for value in (horizontal, vertical))
    return (horizontal, vertical) if usable else None
