"""Colour profile, EXIF, XMP and resolution as chunks of a PNG that was encoded without them."""

from __future__ import annotations

import struct
import zlib

from ms_restore.images.picture import Embedded

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33  # of the signature and the chunk IHDR
END = b"\0\0\0\0IEND\xaeB`\x82"
_INCH = 0.0254  # in metres


def chunks(embedded: Embedded) -> bytes:
    """Return the chunks, which stand behind the header."""
    made = b""
    if embedded.icc_profile is not None:
        made += chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(embedded.icc_profile))
    if embedded.dpi is not None:
        per_metre = [round(value / _INCH) for value in embedded.dpi]
        made += chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if embedded.exif is not None:
        made += chunk(b"eXIf", embedded.exif.removeprefix(b"Exif\0\0"))
    if embedded.xmp is not None:
        made += chunk(b"iTXt", b"XML:com.adobe.xmp" + b"\0" * 5 + embedded.xmp)
    return made


def with_chunks(png: bytes, embedded: Embedded) -> bytes:
    """Return an encoded PNG with the chunks."""
    return png[:_HEADER_END] + chunks(embedded) + png[_HEADER_END:]


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a kind."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
