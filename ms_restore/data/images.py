"""Reading and writing pictures: gray, RGB, with alpha or palette, 8 and 16 bit.

Pillow decodes and checks; OpenCV takes the 16-bit colour files that Pillow would cut to 8 bit.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from ms_restore.errors import InputError, listed
from ms_restore.files import replacing

PIL.Image.MAX_IMAGE_PIXELS = None  # scans of 100 megapixels are what the tiling is for
_NO_OUTPUT = (".gif", ".pgm")  # a palette; gray only
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
_SIXTEEN_BIT = (".png", ".tif", ".tiff")
_ALPHA = (".png", ".tif", ".tiff", ".webp")
_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _SAMPLE_FORMAT = 274, 258, 262, 277, 284, 339
_LARGE = 128 << 20  # bytes of pixels above which a copy is avoided
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


@dataclasses.dataclass
class Picture:
    """A decoded picture: pixels (H, W, 1 or 3) and alpha (H, W) or None, uint8 or uint16."""

    pixels: np.ndarray
    alpha: Optional[np.ndarray] = None
    icc_profile: Optional[bytes] = None


def read_picture(path: Path) -> Picture:
    """Decode a file, upright by its EXIF orientation; InputError names a file that is not whole."""
    try:
        data = path.read_bytes()
        with PIL.Image.open(io.BytesIO(data)) as file:
            _check_tiff(file, path)
            if not _is_16_bit_colour(file, data):
                del data  # large pictures: no more copies than must be
                profile = None if file.mode == "CMYK" else file.info.get("icc_profile")
                PIL.ImageOps.exif_transpose(file, in_place=True)
                return _split(_to_array(file), profile)
            orientation = file.getexif().get(_ORIENTATION, 1) if file.format == "PNG" else 1
            file.load()  # finds truncation, which OpenCV passes over
    except PIL.UnidentifiedImageError:
        raise InputError(
            f"{path}: not an image that can be read; expected gray or colour of 8 or 16 bit"
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise InputError(f"{path}: damaged or truncated image ({error})") from None
    return _split(_turn(_decode_with_opencv(data, path), orientation))


def decoded_bytes(path: Path) -> int:
    """About what the decoded picture takes, by its header; by its file where that tells nothing."""
    try:
        with PIL.Image.open(path) as file:
            depth = 2 if file.mode.startswith("I") else 1
            return file.width * file.height * len(file.getbands()) * depth
    except (OSError, SyntaxError, ValueError):
        return 4 * path.stat().st_size if path.is_file() else 0


def _is_16_bit_colour(file: PIL.Image.Image, data: bytes) -> bool:
    if file.format == "PNG":
        return data[24] == 16 and data[25] != 0  # IHDR: bit depth, colour type
    return file.format == "TIFF" and max(_tiff_tag(file, _BITS, (1,))) == 16 and file.mode != "I;16"


def _tiff_tag(file: PIL.Image.Image, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = file.tag_v2.get(tag, default)  # type: ignore[attr-defined]
    return value if isinstance(value, tuple) else (value,)


def _check_tiff(file: PIL.Image.Image, path: Path) -> None:
    """InputError for the TIFF layouts that would be decoded to other pixels than were meant."""
    if file.format != "TIFF":
        return
    bits, samples = max(_tiff_tag(file, _BITS, (1,))), _tiff_tag(file, _SAMPLES, (1,))[0]
    kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(
        max(_tiff_tag(file, _SAMPLE_FORMAT, (1,))), "unknown"
    )
    photometric = _tiff_tag(file, _PHOTOMETRIC, (1,))[0]
    planar = _tiff_tag(file, _PLANAR, (1,))[0]
    plain = (samples, photometric) in ((1, 1), (3, 2), (4, 2)) and planar == 1
    if kind != "unsigned" or bits > 16 or (bits == 16 and not plain):
        raise InputError(
            f"{path}: this layout of TIFF is not supported ({bits} bit {kind}, {samples} samples, "
            f"photometric {photometric}, planar {planar}); save it as 8 or 16 bit gray or RGB"
        )


def _decode_with_opencv(data: bytes, path: Path) -> np.ndarray:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise InputError(f"{path}: cannot be decoded as a 16 bit image")
    if array.ndim == 3:
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]  # BGR(A) to RGB(A)
    return array


def _turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """Upright, by the EXIF orientation 1 to 8 (TIFF and DCF: where row 0 and column 0 lie)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array


def _to_array(image: PIL.Image.Image) -> np.ndarray:
    if image.mode in ("I;16", "I;16L", "I;16B", "I"):
        return np.clip(np.asarray(image.convert("I")), 0, 65535).astype(np.uint16)
    if image.mode == "F":
        raise ValueError("floating-point pixels; save it as 8 or 16 bit")
    colours = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    transparent = image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info
    mode = colours + "A" * transparent
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _split(array: np.ndarray, icc_profile: Optional[bytes] = None) -> Picture:
    if array.ndim == 2:
        array = array[:, :, None]
    colours = 1 if array.shape[2] < 3 else 3
    alpha = array[:, :, colours] if array.shape[2] > colours else None
    return Picture(np.ascontiguousarray(array[:, :, :colours]), alpha, icc_profile)


def check_output(path: Path, picture: Picture) -> None:
    """InputError where the format of ``path`` cannot hold the picture."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or suffix in _NO_OUTPUT:
        raise InputError(f"{path}: {suffix or 'none'} is not an output format; use .png")
    if picture.pixels.dtype == np.uint16 and suffix not in _SIXTEEN_BIT:
        raise InputError(f"{path}: {suffix} cannot hold 16 bit; use .png or .tif")
    if picture.alpha is not None and suffix not in _ALPHA:
        raise InputError(f"{path}: {suffix} cannot hold transparency; use .png or .tif")


def write_picture(path: Path, picture: Picture) -> None:
    """Write by the file's suffix, whole or not at all."""
    check_output(path, picture)
    planes = [picture.pixels]
    if picture.alpha is not None:
        planes.append(picture.alpha[:, :, None])
    array = np.concatenate(planes, axis=2) if len(planes) > 1 else picture.pixels
    with replacing(path) as temporary:
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
    """Without a copy of the pixels: OpenCV takes BGR, so they are swapped in place, and back."""
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
    """Copy the PNG with an iCCP chunk behind its header, which ends at byte 33."""
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
    if array.shape[2] == 2:  # OpenCV knows no gray with alpha
        array = array[:, :, [0, 0, 0, 1]]
    order = [2, 1, 0, 3][: array.shape[2]]
    done, encoded = cv2.imencode(path.suffix.lower(), array[:, :, order])
    if not done:
        raise InputError(f"{path}: cannot be encoded")
    encoded.tofile(path)


def list_pictures(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The image files of a folder, sorted by name; InputError where there is none."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; "
            "expected a folder of images"
        )
    entries = sorted(folder.iterdir())
    pictures = [path for path in entries if path.suffix.lower() in suffixes and path.is_file()]
    if not pictures:
        inside = [
            path.name
            for path in entries
            if path.is_dir() and any(f.suffix.lower() in suffixes for f in path.iterdir())
        ]
        if inside:
            way_out = f"; its subfolders {listed(inside)} hold some: name one of them"
        elif entries:
            way_out = f"; it holds {listed(path.name for path in entries)}"
        else:
            way_out = ": it is empty"
        raise InputError(f"{folder}: no image ({', '.join(suffixes)}) in it{way_out}")
    return pictures


def names_of(files: list[str]) -> list[str]:
    """The names of image files without their suffixes, unless two would be the same."""
    stems = [Path(file).stem for file in files]
    return stems if len(set(stems)) == len(stems) else files


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, 1 or 3) as gray (BT.601 luma) or RGB (gray replicated), in its own dtype."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    gray = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue  # the same in a tile of the image
    return np.round(gray).astype(pixels.dtype)[:, :, None]


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Integer pixels as float32 in [0, 1]; floating ones as they are."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32, copy=False)
    values = pixels.astype(np.float32)
    values /= np.float32(np.iinfo(pixels.dtype).max)
    return values


def from_float(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values clipped to [0, 1], scaled and rounded to an integer dtype."""
    scaled = np.clip(values, 0, 1)
    scaled *= np.iinfo(dtype).max
    return np.round(scaled, out=scaled).astype(dtype)
