"""The kinds of images that a restorer is called with, checked and brought to one form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Union

import numpy as np
import PIL.Image

from ms_restore.errors import InputError
from ms_restore.images.decoding import to_array
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture

ImageLike = Union[np.ndarray, PIL.Image.Image, str, "os.PathLike[str]"]
"""An array, an image of Pillow, or the path of a picture's file."""

_MOST = 4.0  # noise leads out of [0, 1]; 0..255 leads much further
_EXPECTED = (
    "expected an array (H, W), (H, W, C) or (N, H, W, C) of uint8, uint16, bool, or floats in "
    "[0, 1], an image of Pillow, or a path"
)


def from_pillow(image: PIL.Image.Image) -> Picture:
    """Return an image of Pillow as a picture; raise InputError where it has no usable pixels."""
    if 0 in image.size:
        raise InputError(f"an image of {image.width}x{image.height} has no pixels; {_EXPECTED}")
    try:
        return Picture.of(to_array(image))
    except Exception as error:  # Pillow reads a file late, and raises errors of many types
        raise InputError(f"an image of Pillow that cannot be read ({error})") from None


def to_pixels(image: ImageLike) -> np.ndarray:
    """Return the array of an image, of a picture's file without its transparency.

    Raises InputError for anything else.
    """
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, (str, os.PathLike)):
        return read_picture(Path(image)).pixels
    raise InputError(f"a {type(image).__name__} is no image; {_EXPECTED}")


def to_images(array: np.ndarray, channels: int, noise_map: bool = False) -> list[np.ndarray]:
    """Return the images (H, W, C) of an array, one or a batch; bool becomes float32.

    Raises InputError for another shape or dtype, for values that are not finite or far outside of
    [0, 1], and where there are no pixels. ``channels``: of the network, to recognise an array with
    the channels first; ``noise_map``: an array may have one more.
    """
    known = (1, channels, channels + noise_map)
    shape = array.shape
    if array.ndim not in (2, 3, 4):
        raise InputError(f"an array of shape {shape}; {_EXPECTED}")
    if 0 in shape:
        raise InputError(f"an array of shape {shape} has no pixels; {_EXPECTED}")
    if array.ndim > 2 and shape[-1] not in known and shape[-3] in known:
        axes = "(1, 2, 0)" if array.ndim == 3 else "(0, 2, 3, 1)"
        raise InputError(
            f"an array of shape {shape} has its channels first; turn it by .transpose{axes}"
        )
    if array.dtype.kind == "f":
        _check_values(array)
    elif array.dtype == bool:
        array = array.astype(np.float32)
    elif array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"an array of {array.dtype}; {_EXPECTED}")
    if array.ndim == 2:
        return [array[:, :, None]]
    return [array] if array.ndim == 3 else list(array)


def like_given(restored: list[np.ndarray], array: np.ndarray) -> np.ndarray:
    """Return restored images (H, W, C) in the form of the array that was given."""
    if array.ndim == 4:
        return np.stack(restored)
    return restored[0][:, :, 0] if array.ndim == 2 else restored[0]


def _check_values(array: np.ndarray[Any, Any]) -> None:
    least, most = float(np.min(array)), float(np.max(array))
    if not (np.isfinite(least) and np.isfinite(most)):
        raise InputError("an array with NaN or infinity in it; replace these first")
    if least < -_MOST or most > 1 + _MOST:
        raise InputError(
            f"a {array.dtype} array with values from {least:g} to {most:g}, expected [0, 1]; "
            "divide by 255, or give it as uint8"
        )
