"""How a TIFF file stores its pixels, and which ways are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import PIL.Image

from ms_restore.errors import InputError

_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
_WIDTH, _HEIGHT, _STRIP_OFFSETS, _ROWS = 256, 257, 273, 278
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS = 322, 323, 324
_PLANES = 2  # of PlanarConfiguration: a plane after the other
_MULTIPLIED = 1  # "associated alpha" of TIFF 6.0


def bits(file: PIL.Image.Image) -> int:
    """Return the bits of a sample of an opened TIFF; 0 for other formats."""
    return max(_tag(file, _BITS, (1,))) if file.format == "TIFF" else 0


def is_multiplied_by_alpha(file: PIL.Image.Image) -> bool:
    """Return whether an opened file is a TIFF whose colours are stored multiplied by alpha."""
    return file.format == "TIFF" and _tag(file, _EXTRA, (0,))[0] == _MULTIPLIED


def check(file: PIL.Image.Image, path: Path) -> None:
    """Raise InputError for layouts of an opened TIFF that would be decoded to wrong pixels."""
    depth, samples = bits(file), _tag(file, _SAMPLES, (1,))[0]
    kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(
        max(_tag(file, _SAMPLE_FORMAT, (1,))), "unknown"
    )
    photometric = _tag(file, _PHOTOMETRIC, (1,))[0]
    planar = _tag(file, _PLANAR, (1,))[0]
    plain = (samples, photometric) in ((1, 1), (3, 2), (4, 2)) and planar == 1
    known = depth in (1, 2, 4, 8) or (depth == 12 and samples == 1) or (depth == 16 and plain)
    if kind != "unsigned" or not known:
        raise InputError(
            f"{path}: this layout of TIFF is not supported ({depth} bit {kind}, {samples} samples, "
            f"photometric {photometric}, planar {planar}); save it as 8 or 16 bit gray or RGB"
        )

    missing = _missing_parts(file, samples if planar == _PLANES else 1)
    if missing:
        raise InputError(f"{path}: damaged or truncated image ({missing})")


def _missing_parts(file: PIL.Image.Image, planes: int) -> Optional[str]:
    """Return how many strips or tiles are missing, for which decoders leave black, or None."""
    width, height = (_tag(file, tag, (0,))[0] for tag in (_WIDTH, _HEIGHT))
    tiles = _tag(file, _TILE_OFFSETS, ())
    if tiles:
        across, down = (_tag(file, tag, (1,))[0] for tag in (_TILE_WIDTH, _TILE_HEIGHT))
    else:
        across, down = width, _tag(file, _ROWS, (height,))[0]
    if min(across, down) < 1:
        return "parts without a size"
    needed = planes * -(-width // across) * -(-height // min(down, height))
    found = len(tiles or _tag(file, _STRIP_OFFSETS, ()))
    return f"{found} parts of {needed}" if found < needed else None


def _tag(file: PIL.Image.Image, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = file.tag_v2.get(tag, default)  # type: ignore[attr-defined]
    return value if isinstance(value, tuple) else (value,)
