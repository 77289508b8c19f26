"""The check that a MindSpore checkpoint is whole, before MindSpore reads it.

MindSpore copies a tensor's bytes into memory for its shape without comparing the two. A checkpoint
is a protobuf message (checkpoint.proto of MindSpore): values, each a name and a tensor, which has
dimensions, a type and its bytes. Only the lengths are read here, so a large file costs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, NamedTuple

_ITEM_BYTES = {"Int8": 1, "UInt8": 1, "Bool": 1, "Int16": 2, "UInt16": 2, "Float16": 2}
_ITEM_BYTES |= {"BFloat16": 2, "Int32": 4, "UInt32": 4, "Float32": 4, "Int64": 8, "UInt64": 8}
_ITEM_BYTES |= {"Float64": 8, "str": 4}
_TEXT = "str"
_VARINT, _BYTES = 0, 2  # protobuf's wire types
_CRC, _CRC_BYTES = b"crc_num", 17  # what MindSpore may append
_LONGEST_NAME, _LONGEST_TEXT = 4096, 64 << 20
_MOST_DIMENSIONS = 16


class _Tensor(NamedTuple):
    name: str
    type: str
    dimensions: tuple[int, ...]
    bytes: int


def check(path: Path) -> None:
    """Raise ValueError, which says what is wrong, unless the file is a whole checkpoint.

    Of every tensor, the length of its bytes must be what its shape and type need. A large tensor
    may be stored in several values that follow each other.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - _CRC_BYTES, 0))
        end = size - _CRC_BYTES * file.read(len(_CRC)).startswith(_CRC)
        file.seek(0)
        tensors = []
        while file.tell() < end:
            field, length = _field(file, end)
            if field != 1:
                raise ValueError(f"an unknown field {field}")
            tensors.append(_value(file, file.tell() + length))
    if not tensors:
        raise ValueError("it is empty")
    _check_sizes(tensors)


def _check_sizes(tensors: list[_Tensor]) -> None:
    names, total = set(), 0
    for number, tensor in enumerate(tensors):
        follows = number and tensors[number - 1].name == tensor.name
        if not follows and tensor.name in names:
            raise ValueError(f"{tensor.name!r} is in it twice")
        total = total + tensor.bytes if follows else tensor.bytes
        names.add(tensor.name)
        if follows and tensors[number - 1][:3] != tensor[:3]:
            raise ValueError(f"the parts of {tensor.name!r} differ in shape or type")
        if number + 1 < len(tensors) and tensors[number + 1].name == tensor.name:
            continue
        item = _ITEM_BYTES[tensor.type]
        if tensor.type == _TEXT:
            if not total or total % item or total > _LONGEST_TEXT or follows:
                raise ValueError(f"{tensor.name!r} is a text of {total} bytes")
            continue
        expected = item
        for length in () if tensor.dimensions == (0,) else tensor.dimensions:
            expected *= length
        if total != expected:
            raise ValueError(
                f"{tensor.name!r} of shape {tensor.dimensions} needs {expected} bytes, "
                f"but {total} are there"
            )


def _value(file: IO[bytes], end: int) -> _Tensor:
    """Read a value, of which the name and the tensor occur once each."""
    found: dict[int, tuple[int, int]] = {}
    while file.tell() < end:
        field, length = _field(file, end)
        if field not in (1, 2) or field in found:
            raise ValueError(f"a value with field {field}" + " twice" * (field in found))
        found[field] = file.tell(), length
        file.seek(length, 1)
    if set(found) != {1, 2}:
        raise ValueError("a value without a name or a tensor")
    name = _text(file, *found[1])
    tensor = _tensor(file, name, *found[2])
    file.seek(end)
    return tensor


def _tensor(file: IO[bytes], name: str, begin: int, length: int) -> _Tensor:
    file.seek(begin)
    end = begin + length
    dimensions: list[int] = []
    kind, count = None, None
    while file.tell() < end:
        tag = _varint(file, end)
        field, wire = tag >> 3, tag & 7
        if field == 1 and wire == _VARINT:
            dimensions.append(_varint(file, end))
            if len(dimensions) > _MOST_DIMENSIONS or dimensions[-1] >> 63:
                raise ValueError(f"{name!r} has {len(dimensions)} dimensions, or a negative one")
            continue
        if field not in (2, 3) or wire != _BYTES:
            raise ValueError(f"{name!r} has an unknown field {field}")
        length = _length(file, end)
        if field == 2 and kind is None:
            kind = _text(file, file.tell(), length)
        elif field == 3 and count is None:
            count = length
            content = file.tell()
            file.seek(length, 1)
        else:
            raise ValueError(f"{name!r} has its type or its bytes twice")
    if kind not in _ITEM_BYTES or count is None:
        raise ValueError(f"{name!r} is of an unknown type {kind!r}, or has no bytes")
    if kind == _TEXT:
        file.seek(content)  # NumPy makes of false letters a string that Python cannot handle
        file.read(min(count, _LONGEST_TEXT)).decode("utf-32-le")
    return _Tensor(name, kind, tuple(dimensions), count)


def _field(file: IO[bytes], end: int) -> tuple[int, int]:
    """Return the number and the length of the next field, which must hold bytes."""
    tag = _varint(file, end)
    if tag & 7 != _BYTES:
        raise ValueError(f"field {tag >> 3} holds no bytes")
    return tag >> 3, _length(file, end)


def _length(file: IO[bytes], end: int) -> int:
    length = _varint(file, end)
    if length > end - file.tell():
        raise ValueError(f"truncated: {length} bytes are declared, {end - file.tell()} are left")
    return length


def _varint(file: IO[bytes], end: int) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte or file.tell() > end:
            raise ValueError("truncated")
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value
    raise ValueError("a number of more than 64 bits")


def _text(file: IO[bytes], begin: int, length: int) -> str:
    if length > _LONGEST_NAME:
        raise ValueError(f"a name of {length} bytes")
    file.seek(begin)
    return file.read(length).decode("utf-8")
