"""The check that a raw file based on TIFF holds the pixels that its header describes.

LibRaw fills what is missing with black or with noise. Most raw files are TIFF files (TIFF 6.0,
DNG 1.6), whose header says where the strips or tiles of each image lie and how long they are.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, Optional

from ms_restore.errors import InputError

_MAGIC = (42, 0x4F52, 0x5352)  # TIFF, and the two of Olympus
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_SUB_IMAGES = 330
_WANTED = {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, *_OFFSETS, *_COUNTS, _SUB_IMAGES}
_MOSAIC = 32803
_UNCOMPRESSED = 1
_TIGHTEST = 1032  # no lossless compression is tighter, deflate's limit in bytes
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I"}
_MOST_IMAGES, _MOST_TAGS, _MOST_VALUES = 64, 4096, 1 << 20

_Tags = dict[int, tuple[int, ...]]


def check(path: Path) -> None:
    """Raise InputError where the pixels of a raw file's largest mosaic are not all there.

    Files that are not based on TIFF, or whose header cannot be followed, are left to LibRaw.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            images = _images(file)
        except (struct.error, ValueError, OSError):
            return
    mosaics = [tags for tags in images if _MOSAIC in tags.get(_PHOTOMETRIC, ())]
    for tags in sorted(mosaics, key=_pixels)[-1:]:
        problem = _problem(tags, size)
        if problem:
            raise InputError(f"{path}: truncated raw file ({problem}); copy it again")


def _pixels(tags: _Tags) -> int:
    return max(tags.get(_WIDTH, (0,))) * max(tags.get(_HEIGHT, (0,)))


def _problem(tags: _Tags, size: int) -> Optional[str]:
    """Return what of an image is missing in a file of ``size`` bytes, or None."""
    offsets = next((tags[tag] for tag in _OFFSETS if tags.get(tag)), ())
    counts = next((tags[tag] for tag in _COUNTS if tags.get(tag)), ())
    if not offsets or len(offsets) != len(counts):
        return None
    end = max(offset + count for offset, count in zip(offsets, counts))
    if end > size:
        return f"its pixels end at byte {end:,}, but the file has {size:,}"
    pixels, bits = _pixels(tags), min(tags.get(_BITS, (1,)))
    needed = pixels * bits // 8
    if tags.get(_COMPRESSION, (_UNCOMPRESSED,))[0] != _UNCOMPRESSED:
        needed = pixels // _TIGHTEST
    if sum(counts) < needed:
        return f"{sum(counts):,} bytes for {pixels:,} pixels"
    return None


def _images(file: IO[bytes]) -> list[_Tags]:
    """Return the tags of every image of a TIFF file; none of another file."""
    order = {b"II": "<", b"MM": ">"}.get(file.read(2))
    if order is None or _unpack(file, 2, f"{order}H")[0] not in _MAGIC:
        return []
    waiting, seen = [_unpack(file, 4, f"{order}I")[0]], set()
    images: list[_Tags] = []
    while waiting and len(images) < _MOST_IMAGES:
        at = waiting.pop()
        if at and at not in seen:
            seen.add(at)
            tags, following = _directory(file, order, at)
            images.append(tags)
            waiting += [following, *tags.get(_SUB_IMAGES, ())[:_MOST_IMAGES]]
    return images


def _directory(file: IO[bytes], order: str, at: int) -> tuple[_Tags, int]:
    """Return the wanted tags of the directory that begins at a byte, and where the next begins."""
    count = _unpack(file, at, f"{order}H")[0]
    if count > _MOST_TAGS:
        raise ValueError(f"{count} tags")
    tags: _Tags = {}
    for number in range(count):
        entry = at + 2 + 12 * number
        tag, kind, values = _unpack(file, entry, f"{order}HHI")
        if tag not in _WANTED or kind not in _FORMATS or not 0 < values <= _MOST_VALUES:
            continue
        layout = f"{order}{values}{_FORMATS[kind]}"
        inside = struct.calcsize(layout) <= 4
        place = entry + 8 if inside else _unpack(file, entry + 8, f"{order}I")[0]
        tags[tag] = _unpack(file, place, layout)
    return tags, _unpack(file, at + 2 + 12 * count, f"{order}I")[0]


def _unpack(file: IO[bytes], at: int, layout: str) -> tuple[int, ...]:
    file.seek(at)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
