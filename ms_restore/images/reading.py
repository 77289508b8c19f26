"""Reading of picture files: gray, RGB, with alpha or palette, 8 and 16 bit.

Pillow decodes and checks; OpenCV decodes the 16 bit colour files that Pillow would reduce to 8 bit.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from ms_restore.errors import InputError, comma_list
from ms_restore.images.picture import SUFFIXES, Picture

PIL.Image.MAX_IMAGE_PIXELS = None  # scans of 100 megapixels are restored in tiles
_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _SAMPLE_FORMAT = 274, 258, 262, 277, 284, 339


def read_picture(path: Path) -> Picture:
    """Read a picture, turned upright by its EXIF orientation.

    Raises InputError where the file is missing, damaged, truncated or of an unsupported format.
    """
    try:
        data = path.read_bytes()
        with PIL.Image.open(io.BytesIO(data)) as file:
            _check_tiff(file, path)
            if not _is_16_bit_colour(file, data):
                del data  # large pictures: avoid a further copy
                profile = None if file.mode == "CMYK" else file.info.get("icc_profile")
                PIL.ImageOps.exif_transpose(file, in_place=True)
                return _split_alpha(_to_array(file), profile)
            orientation = file.getexif().get(_ORIENTATION, 1) if file.format == "PNG" else 1
            file.load()  # detects truncation, which OpenCV ignores
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
    return _split_alpha(_orient(_decode_with_opencv(data, path), orientation))


def decoded_bytes(path: Path) -> int:
    """Return the approximate size in bytes of the decoded picture, from its header.

    Where the header cannot be read it is estimated from the file's size, and 0 without a file.
    """
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
    """Raise InputError for TIFF layouts that would be decoded to wrong pixels."""
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


def _orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return the pixels turned upright, by the EXIF orientation 1 to 8."""
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


def _split_alpha(array: np.ndarray, icc_profile: Optional[bytes] = None) -> Picture:
    if array.ndim == 2:
        array = array[:, :, None]
    colours = 1 if array.shape[2] < 3 else 3
    alpha = array[:, :, colours] if array.shape[2] > colours else None
    return Picture(np.ascontiguousarray(array[:, :, :colours]), alpha, icc_profile)


def list_pictures(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return the image files of a folder, sorted by name.

    Raises InputError where the folder does not exist or holds no image.
    """
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
            way_out = f"; its subfolders {comma_list(inside)} hold some: name one of them"
        elif entries:
            way_out = f"; it holds {comma_list(path.name for path in entries)}"
        else:
            way_out = ": it is empty"
        raise InputError(f"{folder}: no image ({', '.join(suffixes)}) in it{way_out}")
    return pictures


def unique_names(files: list[str]) -> list[str]:
    """Return file names without their suffixes, or with them if two would be the same."""
    stems = [Path(file).stem for file in files]
    return stems if len(set(stems)) == len(stems) else files
