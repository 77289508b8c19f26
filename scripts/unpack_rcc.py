"""Unpacks the pictures of Qt's compiled resources (.rcc), in which a program's data may come.

python scripts/unpack_rcc.py FILE.rcc [FILE.rcc ...] OUTPUT
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

_FOLDER = 2  # flag of an entry; a file that is stored as it is has none
_PICTURES = {".jpg", ".png", ".webp"}


def main() -> None:
    """Write the pictures of all the files below the output folder, at their paths in them."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for file in sys.argv[1:-1]:
        for path, content in _files(Path(file).read_bytes()):
            if path.suffix in _PICTURES:
                target = Path(sys.argv[-1]) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


def _files(packed: bytes) -> Iterator[tuple[Path, bytes]]:
    """Yield the path and the content of every file that is stored uncompressed."""
    version, tree, data, names = struct.unpack_from(">4I", packed, 4)
    entry_size = 14 if version == 1 else 22

    def walk(entry: int, path: Path) -> Iterator[tuple[Path, bytes]]:
        at = tree + entry * entry_size
        name, flags = struct.unpack_from(">IH", packed, at)
        if entry:  # the root has no name
            (length,) = struct.unpack_from(">H", packed, names + name)
            start = names + name + 6
            path = path / packed[start : start + 2 * length].decode("utf-16-be")
        if flags & _FOLDER:
            count, first = struct.unpack_from(">2I", packed, at + 6)
            for child in range(first, first + count):
                yield from walk(child, path)
        elif not flags:
            start = data + struct.unpack_from(">I", packed, at + 10)[0]
            (length,) = struct.unpack_from(">I", packed, start)
            yield path, packed[start + 4 : start + 4 + length]

    yield from walk(0, Path())


if __name__ == "__main__":
    main()
