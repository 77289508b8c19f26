"""Damage to files, the same for the same random generator."""

from __future__ import annotations

import gzip
import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_EXTREMES += (1_000_000, 2_000_000, (1 << 63) - 1, (1 << 64) - 1)
_VALUES = ("0", "-1", "1e999", "NaN", "null", "true", '""', "[]", "{}", '"../x"', "1.5")
_VALUES += ("2000000", "99999999999999999999", "[[[[1]]]]", '"\\u0000"', "x", "'", "{", "- -")


def mutate(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Return the content of a file with one to four faults.

    ``other`` is another file for the same reader, from which parts may come.
    """
    wrapped = rng.random() < 0.5  # what lies inside checksums and compression is damaged
    if wrapped and content.startswith(b"\x89PNG"):
        return _checked_png(_damaged(rng, content, other))
    if wrapped and content.startswith(b"\x1f\x8b"):
        return gzip.compress(_damaged(rng, gzip.decompress(content), b""), 1)
    if wrapped and content.startswith(b"PK\x03\x04"):
        return _archive(rng, content)
    return _damaged(rng, content, other)


def _damaged(rng: random.Random, content: bytes, other: bytes) -> bytes:
    is_text = b"\0" not in content[:200] and content[:1] in (b"{", b"d", b"m", b"n", b"#")
    kinds = [*_FAULTS, *([_value] * 8 + [_line] * 4 if is_text else [])]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not content:
            break
        fault = rng.choice(kinds)
        content = _spliced(rng, content, other) if fault is _spliced else fault(rng, content)
    return content


def _flipped(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwritten(rng: random.Random, content: bytes) -> bytes:
    at = _place(rng, content)
    length = rng.choice((1, 2, 4, 16))
    return content[:at] + rng.randbytes(length) + content[at + length :]


def _extreme(rng: random.Random, content: bytes) -> bytes:
    """A length field, of whichever width and order, at its limits."""
    at, (size, letter) = _place(rng, content), rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    at -= at % size if rng.random() < 0.5 else 0
    value = rng.choice(_EXTREMES) % (1 << 8 * size)
    return content[:at] + struct.pack(rng.choice("<>") + letter, value) + content[at + size :]


def _truncated(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice((rng.randrange(len(content)), -rng.randrange(1, 20)))]


def _repeated(rng: random.Random, content: bytes) -> bytes:
    at, end = sorted((rng.randrange(len(content)), rng.randrange(len(content))))
    return content[:end] + content[at : min(end, at + 5000)] * rng.choice((1, 3)) + content[end:]


def _removed(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.choice((1, 2, 8, 100)) :]


def _inserted(rng: random.Random, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + rng.randbytes(rng.choice((1, 2, 8, 100))) + content[at:]


def _zeroed(rng: random.Random, content: bytes) -> bytes:
    at, length = rng.randrange(len(content)), rng.choice((4, 64, 1000))
    block = bytes([rng.choice((0, 0xFF))]) * min(length, len(content) - at)
    return content[:at] + block + content[at + length :]


def _spliced(rng: random.Random, content: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + other[at:]


def _value(rng: random.Random, content: bytes) -> bytes:
    """A number or a word of a text is another."""
    found = list(re.finditer(rb'"[^"\n]*"|[\w.+-]+', content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(_VALUES).encode() + content[match.end() :]


def _line(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at : at + 1] = [lines[at]] * rng.choice((0, 2, 60))
    return b"".join(lines)


_FAULTS: list[Callable[..., bytes]] = [
    *(_flipped, _overwritten, _truncated, _repeated, _removed, _inserted, _zeroed, _spliced),
    *(_extreme, _extreme, _extreme),
]


def _place(rng: random.Random, content: bytes) -> int:
    """A byte, half of the time of the header."""
    return rng.randrange(min(len(content), 300) if rng.random() < 0.5 else len(content))


def _checked_png(content: bytes) -> bytes:
    """The same with the checksums that its chunks should have."""
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        parts.append(content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(parts) + content[at:]


def _archive(rng: random.Random, content: bytes) -> bytes:
    """A zip file of which one member is damaged, and its checksum is not."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w") as target:
        names = source.namelist()
        chosen = rng.choice(names)
        for name in names:
            data = source.read(name)
            target.writestr(name, _damaged(rng, data, b"") if name == chosen else data)
    return made.getvalue()
