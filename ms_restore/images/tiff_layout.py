"""How a TIFF file stores its pixels, and which ways are refused."""

from __future__ import annotations

from pathlib import Path

import PIL.Image

from ms_restore.errors import InputError

_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
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


def _tag(file: PIL.Image.Image, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = file.tag_v2.get(tag, default)  # type: ignore[attr-defined]
    return value if isinstance(value, tuple) else (value,)
