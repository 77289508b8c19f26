"""The size above which pictures and arrays are refused, by their headers, before memory is taken.

A file of a few bytes can declare any size, so that decoding it could take all of the memory.
"""

from __future__ import annotations

from pathlib import Path

from ms_restore.errors import InputError

_KEY = "runtime.max_megapixels"
_max_megapixels = 512
_option = _KEY


def set_max_megapixels(megapixels: int, option: str = _KEY) -> None:
    """Set the limit of this process, in millions of pixels, and the option that raises it."""
    global _max_megapixels, _option
    _max_megapixels, _option = megapixels, option


def check_pixels(path: Path, height: int, width: int, frames: int = 1) -> None:
    """Raise InputError for a picture whose declared size is above the limit, or is none.

    ``frames``: how many of that size the file holds.
    """
    if height < 1 or width < 1:
        raise InputError(f"{path}: declares a size of {width}x{height} pixels; expected at least 1")
    megapixels = height * width * frames / 1e6
    if megapixels > _max_megapixels:
        times = f", {frames} times" if frames > 1 else ""
        raise InputError(
            f"{path}: declares {width}x{height} pixels{times}, which is above the limit of "
            f"{_max_megapixels} megapixels; if that is its true size, raise the limit by "
            f"--{_option} {int(megapixels) + 1}"
        )


def check_elements(path: Path, shape: tuple[int, ...], what: str = "an array") -> None:
    """Raise InputError for an array whose declared number of elements is above the limit."""
    elements = 1
    for length in shape:
        elements *= length
    if elements > _max_megapixels * 1_000_000:
        raise InputError(
            f"{path}: declares {what} of {' x '.join(map(str, shape))} elements, above the limit "
            f"of {_max_megapixels} million; if that is its true size, raise the limit by "
            f"--{_option} {elements // 1_000_000 + 1}"
        )
