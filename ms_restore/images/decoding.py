"""Decoding of an opened file's frame to an array, whatever its mode and depth."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms

from ms_restore.errors import InputError
from ms_restore.images import native_messages, png_chunks, tiff_layout

_PNG_START, _GRAY_WITH_ALPHA = 8, 4
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_GRAY_16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_PPM_HEADER = re.compile(rb"P([36])" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" + rb"\s")
_PPM_COMMENT = re.compile(rb"#[^\r\n]*")
_HEADER = 1 << 16  # bytes in which a PPM's header ends
_CODESTREAM, _PRECISION = b"\xff\x4f\xff\x51", 42  # of JPEG 2000: its begin, and what lies there


def is_deep_colour(path: Path, file: PIL.Image.Image) -> bool:
    """Return whether an opened file has 16 bit colour, or 16 bit gray with alpha.

    Pillow would reduce that to 8 bit.
    """
    if file.format == "PNG":
        depth, colour_type = _png_header(path)
        return depth == 16 and colour_type != 0
    if file.format == "PPM":
        return file.mode == "RGB" and _ppm_header(path)[2] > 255
    if file.format == "JPEG2000":
        return file.mode not in _GRAY_16 and _jpeg_2000_bits(path.read_bytes()) > 8
    return file.format == "TIFF" and tiff_layout.bits(file) == 16 and file.mode not in _GRAY_16


def decode_deep_colour(path: Path, file: PIL.Image.Image, index: int) -> np.ndarray:
    """Decode a frame of 16 bit colour: (H, W, 2, 3 or 4) uint16, gray or RGB, alpha.

    PPM and JPEG 2000 of fewer bits are scaled to 16. OpenCV decodes all but PPM.
    """
    if file.format == "PPM":
        return _deep_ppm(path, (file.height, file.width, 3))
    data = path.read_bytes()
    if file.format == "TIFF":
        _, found = cv2.imdecodemulti(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=(index, index + 1)
        )
        array = found[0] if found else None
    else:
        still = np.frombuffer(_plain(data) if file.format == "PNG" else data, np.uint8)
        with native_messages.kept(_is_of_libpng):
            array = cv2.imdecode(still, cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise InputError(f"{path}: cannot be decoded as a 16 bit image")
    if array.ndim == 3:
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]  # BGR(A) to RGB(A)
        if file.format == "PNG" and _png_header(path)[1] == _GRAY_WITH_ALPHA:
            array = array[:, :, [0, 3]]
        elif file.format == "TIFF" and file.mode == "RGB":
            array = array[:, :, :3]  # a fourth sample that is not alpha
    return _scaled(array, _jpeg_2000_bits(data)) if file.format == "JPEG2000" else array


def bits_of_sample(path: Path, file: PIL.Image.Image) -> int:
    """Return the bits of a sample of an opened PNG or TIFF; 0 for other formats."""
    return _png_header(path)[0] if file.format == "PNG" else tiff_layout.bits(file)


def to_array(file: PIL.Image.Image, bits: int = 0) -> np.ndarray:
    """Return the pixels of a loaded file, of whatever mode, as gray or RGB with or without alpha.

    The result is (H, W) or (H, W, 2, 3 or 4), uint8 or uint16. Gray of 12 bit is scaled to 16.

    Args:
        file: the file, with a frame loaded.
        bits: of a sample in the file, where they are known.
    """
    if file.mode in _GRAY_16:
        return _gray_16(file, bits)
    if file.mode == "F":
        raise ValueError("floating-point pixels are not supported; save it as 8 or 16 bit")
    if file.mode == "CMYK":
        return np.asarray(_cmyk_to_rgb(file))
    if file.mode == "L" and bits in (2, 4):
        # Pillow has scaled the levels to 8 bit, and left the transparent one as it was
        return _with_transparent_level(np.asarray(file), file, 255 // ((1 << bits) - 1))
    colours = "L" if file.mode in ("1", "L", "LA", "La") else "RGB"
    transparent = file.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in file.info
    mode = colours + "A" * transparent
    return np.asarray(file if file.mode == mode else file.convert(mode))


def _gray_16(file: PIL.Image.Image, bits: int) -> np.ndarray:
    gray = np.clip(np.asarray(file.convert("I")), 0, 65535).astype(np.uint16)
    return _with_transparent_level(_scaled(gray, 12) if bits == 12 else gray, file)


def _with_transparent_level(gray: np.ndarray, file: PIL.Image.Image, factor: int = 1) -> np.ndarray:
    """Return gray pixels with alpha where PNG's tRNS names a level, which times the factor is none.

    Without one they are returned as they are.
    """
    level = file.info.get("transparency")
    if not isinstance(level, int):
        return gray
    most = np.iinfo(gray.dtype).max
    return np.stack([gray, np.where(gray == level * factor, 0, most).astype(gray.dtype)], axis=2)


def _scaled(samples: np.ndarray, bits: int) -> np.ndarray:
    """Return samples of a number of bits scaled to 16."""
    return _scaled_from((1 << bits) - 1, samples)


def _scaled_from(white: int, samples: np.ndarray) -> np.ndarray:
    """Return samples from 0 to ``white`` as uint16."""
    if white == 65535:
        return samples.astype(np.uint16)
    kept = np.minimum(samples, white).astype(np.uint32)
    return ((kept * 65535 + white // 2) // white).astype(np.uint16)


def _deep_ppm(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels of a PPM of two bytes a sample, or of text."""
    begin, is_text, white = _ppm_header(path)
    data, count = path.read_bytes()[begin:], math.prod(shape)
    if is_text:
        words = _PPM_COMMENT.sub(b"", data).split()[:count]
        samples = np.array(words, dtype=np.int64).clip(0, white)
    else:
        samples = np.frombuffer(data, ">u2", count)
    return _scaled_from(white, samples.reshape(shape))


def _ppm_header(path: Path) -> tuple[int, bool, int]:
    """Return where the pixels of a PPM begin, whether they are text, and the level of white."""
    with path.open("rb") as stream:
        found = _PPM_HEADER.match(stream.read(_HEADER))
    if found is None:
        return 0, False, 255
    return found.end(), found[1] == b"3", int(found[4])


def _jpeg_2000_bits(data: bytes) -> int:
    """Return the bits of the first component of a JPEG 2000 (ISO/IEC 15444-1, A.5.1)."""
    at = data.find(_CODESTREAM)
    return (data[at + _PRECISION] & 0x7F) + 1 if 0 <= at < len(data) - _PRECISION else 0


def _cmyk_to_rgb(file: PIL.Image.Image) -> PIL.Image.Image:
    """Convert inks to sRGB by the file's profile; by plain subtraction without a usable one."""
    try:
        inks = PIL.ImageCms.ImageCmsProfile(io.BytesIO(file.info["icc_profile"]))
        srgb = PIL.ImageCms.createProfile("sRGB")
        converted = PIL.ImageCms.profileToProfile(file, inks, srgb, outputMode="RGB")
    except (KeyError, TypeError, OSError, PIL.ImageCms.PyCMSError):
        converted = None
    return converted or file.convert("RGB")


def _png_header(path: Path) -> tuple[int, int]:
    """Return the bit depth and the colour type of a PNG."""
    with path.open("rb") as stream:
        head = stream.read(26)
    return head[24], head[25]


def _plain(png: bytes) -> bytes:
    """Return a PNG of the chunks alone that its picture needs, with an end.

    OpenCV reads for ever where a chunk is longer than the file, and swaps the bytes of animations.
    """
    kept, at = [png[:_PNG_START]], _PNG_START
    while at + 12 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        name = png[at + 4 : at + 8]
        if end > len(png) or name == b"IEND":
            break
        if name in _NEEDED:
            kept.append(png[at:end])
        at = end
    return b"".join(kept) + png_chunks.END


def _is_of_libpng(line: str) -> bool:
    return line.startswith("libpng ")
