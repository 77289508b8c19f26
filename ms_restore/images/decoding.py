"""Decoding of an opened file's frame to an array, whatever its mode and depth."""

from __future__ import annotations

import io
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


def is_deep_colour(path: Path, file: PIL.Image.Image) -> bool:
    """Return whether an opened file has 16 bit colour, or 16 bit gray with alpha.

    Pillow would reduce that to 8 bit.
    """
    if file.format == "PNG":
        depth, colour_type = _png_header(path)
        return depth == 16 and colour_type != 0
    return file.format == "TIFF" and tiff_layout.bits(file) == 16 and file.mode not in _GRAY_16


def decode_deep_colour(path: Path, file: PIL.Image.Image, index: int) -> np.ndarray:
    """Decode a frame of 16 bit colour by OpenCV: (H, W, 2, 3 or 4) uint16, gray or RGB, alpha."""
    data = path.read_bytes()
    if file.format == "TIFF":
        _, found = cv2.imdecodemulti(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=(index, index + 1)
        )
        array = found[0] if found else None
    else:
        still = np.frombuffer(_plain(data), np.uint8)
        with native_messages.kept(_is_of_libpng):
            array = cv2.imdecode(still, cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise InputError(f"{path}: cannot be decoded as a 16 bit image")
    if array.ndim == 3:
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]  # BGR(A) to RGB(A)
        if file.format == "PNG" and _png_header(path)[1] == _GRAY_WITH_ALPHA:
            array = array[:, :, [0, 3]]
    return array


def to_array(file: PIL.Image.Image, tiff_bits: int = 0) -> np.ndarray:
    """Return the pixels of a loaded file, of whatever mode, as gray or RGB with or without alpha.

    The result is (H, W) or (H, W, 2, 3 or 4), uint8 or uint16. Gray of 12 bit is scaled to 16.

    Args:
        file: the file, with a frame loaded.
        tiff_bits: bits of a sample, where the file is a TIFF.
    """
    if file.mode in _GRAY_16:
        return _gray_16(file, tiff_bits)
    if file.mode == "F":
        raise ValueError("floating-point pixels are not supported; save it as 8 or 16 bit")
    if file.mode == "CMYK":
        return np.asarray(_cmyk_to_rgb(file))
    colours = "L" if file.mode in ("1", "L", "LA", "La") else "RGB"
    transparent = file.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in file.info
    mode = colours + "A" * transparent
    return np.asarray(file if file.mode == mode else file.convert(mode))


def _gray_16(file: PIL.Image.Image, tiff_bits: int) -> np.ndarray:
    gray = np.clip(np.asarray(file.convert("I")), 0, 65535).astype(np.uint16)
    if tiff_bits == 12:
        most = (1 << 12) - 1
        gray = ((gray.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)
    key = file.info.get("transparency")
    if not isinstance(key, int):
        return gray
    alpha = np.where(gray == key, 0, 65535).astype(np.uint16)  # PNG's tRNS: this gray is none
    return np.stack([gray, alpha], axis=2)


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
