"""Large PNG files, compressed by all processors, without a copy of the picture.

Strips of rows are compressed each for itself, and end at a whole byte, so that together they are
one zlib stream. All rows take the filter "Average", which makes photographs smallest.
Source: W3C, "Portable Network Graphics (PNG) Specification"; RFC 1950 for the stream.
"""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ms_restore.images import png_chunks
from ms_restore.images.picture import Picture

_STRIP = 1 << 20  # bytes of pixels
_GROUP = 32  # strips that are in memory at once
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of the channels
_AVERAGE = 3  # each byte, less the mean of those of the pixels on its left and above
_LEVEL, _RAW = 1, -15
_STREAM_HEADER, _LAST_BLOCK = b"\x78\x01", b"\x03\x00"
_ADLER = 65521  # the modulus of Adler-32


class _Strip(NamedTuple):
    """A strip's chunk, and Adler-32 and number of the bytes in it, before compression."""

    chunk: bytes
    checksum: int
    length: int


def write(path: Path, picture: Picture) -> None:
    """Write a picture of uint8 or uint16. Raises OSError where the disk is full."""
    pixels, alpha = picture.pixels, picture.alpha
    height, width, channels = pixels.shape
    channels += alpha is not None
    rows = max(1, _STRIP // (width * channels * pixels.itemsize))

    def strip(top: int) -> _Strip:
        part = slice(max(0, top - 1), top + rows)  # with the row above
        samples = pixels[part]
        if alpha is not None:
            samples = np.concatenate([samples, alpha[part, :, None]], axis=2)
        filtered = _filtered(samples)[top - part.start :]
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
        body = compressor.compress(filtered.data) + compressor.flush(zlib.Z_FULL_FLUSH)
        return _Strip(png_chunks.chunk(b"IDAT", body), zlib.adler32(filtered.data), filtered.size)

    header = struct.pack(
        ">IIBBBBB", width, height, 8 * pixels.itemsize, _COLOUR_TYPES[channels], 0, 0, 0
    )
    checksum = zlib.adler32(b"")
    tops = range(0, height, rows)
    with path.open("wb") as file, ThreadPoolExecutor() as pool:
        file.write(png_chunks.SIGNATURE + png_chunks.chunk(b"IHDR", header))
        file.write(png_chunks.chunks(picture.embedded))
        file.write(png_chunks.chunk(b"IDAT", _STREAM_HEADER))
        for first in range(0, len(tops), _GROUP):
            for done in pool.map(strip, tops[first : first + _GROUP]):
                file.write(done.chunk)
                checksum = _joined(checksum, done)
        file.write(png_chunks.chunk(b"IDAT", _LAST_BLOCK + struct.pack(">I", checksum)))
        file.write(png_chunks.END)


def _filtered(samples: np.ndarray) -> np.ndarray:
    """Return the bytes of rows, less their predictions, each row behind the number of its filter.

    Above the first row are zeros.
    """
    size = samples.itemsize * samples.shape[2]  # bytes of a pixel
    data = np.ascontiguousarray(samples, samples.dtype.newbyteorder(">")).view(np.uint8)
    data = data.reshape(len(samples), -1)
    left, above = np.zeros_like(data), np.zeros_like(data)
    left[:, size:] = data[:, :-size]
    above[1:] = data[:-1]
    filtered = np.empty((data.shape[0], 1 + data.shape[1]), np.uint8)
    filtered[:, 0] = _AVERAGE
    filtered[:, 1:] = data - ((left & above) + ((left ^ above) >> 1))  # their mean within a byte
    return filtered


def _joined(checksum: int, strip: _Strip) -> int:
    """Return Adler-32 of the bytes of a checksum and of those of the strip behind them."""
    before, after = divmod(checksum, 1 << 16), divmod(strip.checksum, 1 << 16)
    low = before[1] + after[1] - 1
    high = before[0] + after[0] + strip.length * (before[1] - 1)
    return (high % _ADLER << 16) | low % _ADLER
