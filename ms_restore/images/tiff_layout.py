"""How a TIFF file stores its pixels, and which ways are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import PIL.Image
import PIL.TiffImagePlugin

from ms_restore.errors import InputError

_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
_WIDTH, _HEIGHT, _STRIP_OFFSETS, _ROWS = 256, 257, 273, 278
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS = 322, 323, 324
_PLANES = 2  # of PlanarConfiguration: a plane after the other
_MULTIPLIED = 1  # "associated alpha" of TIFF 6.0
_BIG = b"+"  # of BigTIFF, whose header is twice as long

_Tags = Mapping[int, Any]


def bits(file: PIL.Image.Image) -> int:
    """Return the bits of a sample of an opened TIFF; 0 for other formats."""
    return max(_tag(file, _BITS, (1,))) if file.format == "TIFF" else 0


def is_multiplied_by_alpha(file: PIL.Image.Image) -> bool:
    """Return whether an opened file is a TIFF whose colours are stored multiplied by alpha."""
    return file.format == "TIFF" and _tag(file, _EXTRA, (0,))[0] == _MULTIPLIED


def check(file: PIL.Image.Image, path: Path) -> None:
    """Raise InputError for layouts of an opened TIFF that would be decoded to wrong pixels."""
    depth, samples = bits(file), _tag(file, _SAMPLES, (1,))[0]
    tags: _Tags = file.tag_v2  # type: ignore[attr-defined]
    planar = _tag(file, _PLANAR, (1,))[0]
    plain = planar == 1 and (samples, _tag(file, _PHOTOMETRIC, (1,))[0]) in ((1, 1), (3, 2), (4, 2))
    known = depth in (1, 2, 4, 8) or (depth == 12 and samples == 1) or (depth == 16 and plain)
    if _kind(tags) != "unsigned" or not known:
        raise _unsupported(path, tags)

    missing = _missing_parts(file, samples if planar == _PLANES else 1)
    if missing:
        raise InputError(f"{path}: damaged or truncated image ({missing})")


def check_unopened(path: Path) -> None:
    """Raise InputError that names the layout of a file that Pillow does not open, if it is a TIFF.

    Pillow calls layouts that it does not know, such as floating-point RGB, no image at all.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            head += stream.read(8) if head[2:3] == _BIG else b""
            tags = PIL.TiffImagePlugin.ImageFileDirectory_v2(head)
            stream.seek(tags.next)
            tags.load(stream)
            problem = _unsupported(path, tags) if _WIDTH in tags and _HEIGHT in tags else None
    except Exception:  # a damaged header raises errors of many types
        return
    if problem is not None:
        raise problem


def _unsupported(path: Path, tags: _Tags) -> InputError:
    depth = max(_of(tags, _BITS, (1,)))
    samples, photometric, planar = (
        _of(tags, tag, (1,))[0] for tag in (_SAMPLES, _PHOTOMETRIC, _PLANAR)
    )
    return InputError(
        f"{path}: this layout of TIFF is not supported ({depth} bit {_kind(tags)}, {samples} "
        f"samples, photometric {photometric}, planar {planar}); save it as 8 or 16 bit gray or RGB"
    )


def _kind(tags: _Tags) -> str:
    kinds = {1: "unsigned", 2: "signed", 3: "floating-point"}
    return kinds.get(max(_of(tags, _SAMPLE_FORMAT, (1,))), "unknown")


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
    return _of(file.tag_v2, tag, default)  # type: ignore[attr-defined]


def _of(tags: _Tags, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return value if isinstance(value, tuple) else (value,)
