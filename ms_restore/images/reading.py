"""Reading of picture files: gray, RGB, with alpha or palette, 8 and 16 bit, one frame or several.

Pillow decodes and checks; OpenCV decodes the 16 bit colour files that Pillow would reduce to 8 bit.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import PIL.Image

from ms_restore.errors import InputError
from ms_restore.images import tiff_layout
from ms_restore.images.decoding import (
    bits_of_sample,
    decode_deep_colour,
    is_deep_colour,
    to_array,
)
from ms_restore.images.embedded import embedded_in
from ms_restore.images.picture import Picture, PictureSequence
from ms_restore.images.raw import SUFFIXES as RAW
from ms_restore.images.silence import silence
from ms_restore.images.transparency import divide_by_alpha
from ms_restore.limits import check_pixels

silence()
PIL.Image.MAX_IMAGE_PIXELS = None  # ``limits`` states the limit
_ORIENTATION = 274
_SEQUENCES = ("GIF", "PNG", "TIFF", "WEBP", "AVIF")  # others, as MPO, hold previews or views beside
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|unknown|unrecogni[sz]ed|cannot handle|not implemented|no decoder|"
    "find loader",
    re.I,
)


def read_picture(path: Path) -> Picture:
    """Read a picture, turned upright by its EXIF orientation; of a sequence, the first one.

    Raises InputError where the file is missing, damaged, truncated, of an unsupported format or
    larger than the limit.
    """
    sequence = _read(path, every=False)
    picture = sequence.pictures[0]
    picture.other_frames = sequence.left_out
    return picture


def read_pictures(path: Path) -> PictureSequence:
    """Read every picture of a file, each turned upright: the frames, or the pages.

    Raises InputError as ``read_picture`` does.
    """
    return _read(path, every=True)


def decoded_bytes(path: Path) -> int:
    """Return the approximate size in bytes of the decoded pictures, from the file's header.

    Where the header cannot be read it is estimated from the file's size, and 0 without a file.
    """
    try:
        with warnings.catch_warnings(), PIL.Image.open(path) as file:
            warnings.simplefilter("ignore")
            depth = 2 if file.mode.startswith("I") else 1
            return file.width * file.height * len(file.getbands()) * depth * _frames(file)
    except Exception:  # a damaged header raises errors of many types
        return 4 * path.stat().st_size if path.is_file() else 0


def is_document(path: Path) -> bool:
    """Return whether a file is a TIFF of several pages."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with warnings.catch_warnings(), PIL.Image.open(path) as file:
            warnings.simplefilter("ignore")
            return file.format == "TIFF" and _frames(file) > 1
    except Exception:  # a damaged header raises errors of many types; it is reported when read
        return False


def _frames(file: PIL.Image.Image) -> int:
    """Return how many frames or pages an opened file holds."""
    if file.format not in _SEQUENCES:
        return 1
    count: int = file.n_frames  # type: ignore[attr-defined]
    if file.format == "PNG" and file.info.get("default_image"):
        count -= 1  # a picture for programs that show no animation
    return max(count, 1)


def _read(path: Path, every: bool) -> PictureSequence:
    if path.suffix.lower() in RAW:  # many are TIFF files, of which Pillow reads the thumbnail
        raise InputError(
            f"{path}: a raw file of a camera; develop it to PNG or TIFF first, or use a model of "
            "raw files, such as sid_sony"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with the file is said in one line
            # Given a path, Pillow maps uncompressed files to memory and turns no TIFF upright
            with path.open("rb") as stream, PIL.Image.open(stream) as file:
                return _decode(path, file, every)
    except PIL.UnidentifiedImageError:
        tiff_layout.check_unopened(path)
        raise InputError(
            f"{path}: not an image that can be read; expected gray or colour of 8 or 16 bit"
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{path}: too large for the memory that is free") from None
    except Exception as error:  # decoders raise errors of many types for damaged files
        if _UNSUPPORTED.search(str(error)):
            raise InputError(
                f"{path}: this kind of image is not supported ({error}); save it as a PNG of 8 or "
                "16 bit"
            ) from None
        raise InputError(f"{path}: damaged or truncated image ({error})") from None


def _decode(path: Path, file: PIL.Image.Image, every: bool) -> PictureSequence:
    if file.format == "EPS":  # Pillow would have Ghostscript run it
        raise ValueError("PostScript is not supported")
    count = _frames(file)
    # Of a PNG with 16 bit colour, OpenCV decodes the first frame alone
    wanted = count if every and not (file.format == "PNG" and is_deep_colour(path, file)) else 1
    check_pixels(path, file.height, file.width, wanted)
    sequence = PictureSequence([], left_out=count - wanted)
    first = 1 if wanted > 1 and file.format == "PNG" and file.info.get("default_image") else 0
    for index in range(wanted):
        if first + index:
            file.seek(first + index)
            check_pixels(path, file.height, file.width)
        sequence.pictures.append(_decode_frame(path, file, index))
        if wanted > 1 and file.format != "TIFF":
            sequence.durations.append(float(file.info.get("duration") or 100))
    if sequence.durations:
        sequence.loop = file.info.get("loop")
    return sequence


def _decode_frame(path: Path, file: PIL.Image.Image, index: int) -> Picture:
    if file.format == "TIFF":
        tiff_layout.check(file, path)
    deep, multiplied = is_deep_colour(path, file), tiff_layout.is_multiplied_by_alpha(file)
    bits = bits_of_sample(path, file)
    file.load()  # also detects truncation, which OpenCV ignores
    # A TIFF is turned upright by Pillow and OpenCV
    orientation = 1 if file.format == "TIFF" else file.getexif().get(_ORIENTATION, 1)
    array = decode_deep_colour(path, file, index) if deep else to_array(file, bits)
    picture = Picture.of(_orient(array, orientation))
    if deep and multiplied and picture.alpha is not None:
        picture.pixels = divide_by_alpha(picture.pixels, picture.alpha)
    picture.embedded = embedded_in(file, picture.pixels.shape[2])
    return picture


def _orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return the pixels turned upright, by the EXIF orientation 1 to 8."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array
