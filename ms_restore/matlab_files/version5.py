"""Reading of MATLAB files up to version 7.

The format is that of MathWorks' "MAT-File Format", 2019: version 5 (which ``save -v6`` and ``-v7``
write) is a list of elements, each a type, a length and that many bytes; of version 4, matrices of
numbers are read.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ms_restore.errors import InputError
from ms_restore.limits import check_elements

_HEADER, _V4_HEADER = 128, 20
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_TYPES |= {13: "u8", 16: "u1", 17: "u2", 18: "u4"}  # the last are the units of text
_V4_TYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}
_COMPLEX = 8  # a flag
_DEEPEST = 8  # cells and structs within each other


def read(path: Path) -> dict[str, Any]:
    """Return the variables as ``read_mat`` does, in the order of the file."""
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    try:
        if len(content) >= _V4_HEADER and 0 in content[:4]:
            return _read_v4(path, content)
        return _read_v5(path, content)
    except InputError:
        raise
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise InputError(
            f"{path}: not a MATLAB file, or a damaged one ({' '.join(str(error).split())})"
        ) from None


class _Element(NamedTuple):
    """An element of version 5: its type, its bytes, and where the next one begins."""

    type: int
    content: memoryview
    end: int


def _read_v5(path: Path, content: memoryview) -> dict[str, Any]:
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:_HEADER]))
    if order is None:
        raise ValueError("its header is not one of MATLAB")
    reader = _Version5(path, order)
    variables: dict[str, Any] = {}
    at = _HEADER
    while at < len(content):
        element = reader.element(content, at)
        at = element.end
        if element.type == _COMPRESSED:
            element = reader.decompressed(element.content)
        if element.type == _MATRIX:
            name, value = reader.matrix(element.content, 0)
            variables[name] = value
    return variables


class _Version5:
    """A reader of the elements of a file.

    Args:
        path: of the file, for messages.
        order: "<" or ">", the order of bytes.
    """

    def __init__(self, path: Path, order: str) -> None:
        self._path = path
        self._order = order

    def element(self, content: memoryview, at: int) -> _Element:
        """Return the element that begins at a byte; raise ValueError where it is not whole."""
        kind, length = struct.unpack_from(f"{self._order}II", content, at)
        begin = at + 8
        if kind >> 16:  # a small element has its length beside the type, and 4 bytes at most
            kind, length, begin = kind & 0xFFFF, kind >> 16, at + 4
            end, whole = at + 8, length <= 4
        else:
            padded = length if kind == _COMPRESSED else length + -length % 8
            end, whole = begin + padded, begin + length <= len(content)
        if not whole:
            raise ValueError(f"truncated: an element of {length} bytes is not whole")
        return _Element(kind, content[begin : begin + length], end)

    def decompressed(self, content: memoryview) -> _Element:
        """Return the element in a compressed one."""
        unpacker = zlib.decompressobj()
        head = unpacker.decompress(content, 8)
        _, length = struct.unpack(f"{self._order}II", head)
        check_elements(self._path, (length // 8,), "a variable")
        body = unpacker.decompress(unpacker.unconsumed_tail, length) if length else b""
        return self.element(memoryview(head + body), 0)

    def matrix(self, content: memoryview, depth: int) -> tuple[str, Any]:
        """Return the name and the value of a matrix element."""
        if not len(content):
            return "", np.empty((0, 0))
        if depth > _DEEPEST:
            raise ValueError(f"cells in each other, more than {_DEEPEST} deep")
        flags = self.element(content, 0)
        word = int(self._numbers(flags)[0])
        sides = self.element(content, flags.end)
        shape = tuple(int(side) for side in self._numbers(sides))
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"a matrix of shape {shape}")
        check_elements(self._path, shape)
        named = self.element(content, sides.end)
        name = bytes(named.content).decode("utf-8", "replace")
        kind, rest = word & 0xFF, content[named.end :]
        if kind == _CELL:
            return name, self._cells(rest, shape, depth)
        if kind == _STRUCT:
            return name, self._structs(rest, shape, depth)
        if kind == _CHAR:
            return name, self._text(rest)
        if kind not in _CLASSES:
            return name, None
        if word >> 8 & _COMPLEX:
            raise ValueError(f"{name or 'a matrix'} is complex, expected real numbers")
        numbers = self._numbers(self.element(rest, 0))
        return name, numbers.reshape(shape, order="F").astype(_CLASSES[kind])

    def _numbers(self, element: _Element) -> np.ndarray:
        if element.type not in _TYPES:
            raise ValueError(f"an element of type {element.type}, expected numbers")
        dtype = np.dtype(self._order + _TYPES[element.type])
        numbers = np.frombuffer(element.content, dtype)
        if not numbers.size and element.type != 9:
            return numbers.astype("f8")
        return numbers

    def _text(self, content: memoryview) -> str:
        numbers = self._numbers(self.element(content, 0))
        return "".join(map(chr, numbers.tolist()))

    def _next_matrix(self, content: memoryview, at: int, depth: int) -> tuple[Any, int]:
        element = self.element(content, at)
        if element.type != _MATRIX:
            raise ValueError(f"an element of type {element.type}, expected a matrix")
        return self.matrix(element.content, depth + 1)[1], element.end

    def _cells(self, content: memoryview, shape: tuple[int, ...], depth: int) -> list[Any]:
        count, at = int(np.prod(shape, dtype=np.int64)), 0
        values = []
        for _ in range(count):  # each takes bytes of the content, so a false count ends early
            value, at = self._next_matrix(content, at, depth)
            values.append(value)
        return [values[n] for n in np.arange(count).reshape(shape, order="F").ravel()]

    def _structs(self, content: memoryview, shape: tuple[int, ...], depth: int) -> Any:
        length = self.element(content, 0)
        names = self.element(content, length.end)
        step, text = int(self._numbers(length)[0]), bytes(names.content)
        if step < 1:
            raise ValueError(f"names of {step} letters")
        keys = [
            text[n : n + step].split(b"\0")[0].decode("utf-8", "replace")
            for n in range(0, len(text), step)
        ]
        at, made = names.end, []
        for _ in range(int(np.prod(shape, dtype=np.int64)) if keys else 0):
            fields = {}
            for key in keys:
                fields[key], at = self._next_matrix(content, at, depth)
            made.append(fields)
        return made[0] if len(made) == 1 else made


def _read_v4(path: Path, content: memoryview) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    at = 0
    while at < len(content):
        order = "<" if struct.unpack_from("<I", content, at)[0] < 5000 else ">"
        kind, rows, columns, imaginary, letters = struct.unpack_from(f"{order}IIIII", content, at)
        if kind > 5000 or kind // 10 % 10 not in _V4_TYPES:
            raise ValueError(f"a matrix of type {kind}")
        dtype = np.dtype(order + _V4_TYPES[kind // 10 % 10])
        at += _V4_HEADER
        check_elements(path, (rows, columns))
        name = bytes(content[at : at + letters]).split(b"\0")[0].decode("utf-8", "replace")
        at += letters
        end = at + rows * columns * dtype.itemsize * (2 if imaginary else 1)
        if end > len(content):
            raise ValueError("truncated")
        if kind % 10 == 0 and not imaginary:  # else text, sparse or complex
            numbers = np.frombuffer(content, dtype, rows * columns, at)
            variables[name] = numbers.reshape(rows, columns, order="F").astype(
                dtype.newbyteorder("=")
            )
        at = end
    return variables
