"""Struct arrays from MATLAB files of version 5 (ILSVRC's meta.mat), so that no scipy is needed.

The format: MathWorks, "MAT-File Format", chapter 1. Only what such a table holds is read: structs, text, real numbers.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from alexnet.errors import InputError

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {1: "utf-8", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4


def structs(data: bytes, name: str, where: str) -> list[dict[str, Any]]:
    """The elements of the struct array `name`: text as str, numbers as arrays `[n]` in MATLAB's order.

    Args:
        where: the file's name, for errors.

    Raises:
        InputError: it is no such file, is damaged, or holds no such array.
    """
    if data[126:128] != b"IM":
        raise InputError(f"{where} is not a MATLAB file of version 5; download it again.")
    try:
        for kind, body in _elements(data[128:]):
            if kind == _COMPRESSED:
                kind, body = next(_elements(zlib.decompress(body)))
            if kind == _MATRIX:
                found, value = _matrix(body)
                if found == name and isinstance(value, list):
                    return value
    except (struct.error, zlib.error, ValueError, StopIteration, KeyError) as error:
        raise InputError(f"{where} is damaged ({error}); download it again.") from None
    raise InputError(f"{where} holds no table {name!r}; download it again.")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of each data element in turn."""
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, position)
        if kind >> 16:
            yield kind & 0xFFFF, data[position + 4 : position + 4 + (kind >> 16)]
            position += 8
            continue
        body = data[position + 8 : position + 8 + size]
        if len(body) < size:
            raise ValueError("an element is cut short")
        yield kind, body
        position += 8 + size + (0 if kind == _COMPRESSED else -size % 8)


def _matrix(data: bytes) -> tuple[str, Any]:
    """The name and the value of an array."""
    if not data:
        return "", np.zeros(0)
    parts = _elements(data)
    kind = next(parts)[1][0]
    shape = np.frombuffer(next(parts)[1], "<i4")
    name = next(parts)[1].decode("latin-1")
    if kind == _STRUCT:
        width = int(np.frombuffer(next(parts)[1], "<i4")[0])
        text = next(parts)[1].decode("latin-1")
        fields = [text[i : i + width].rstrip("\0") for i in range(0, len(text), width)]
        return name, [{field: _matrix(next(parts)[1])[1] for field in fields} for _ in range(int(shape.prod()))]
    if kind == _CELL:
        return name, tuple(_matrix(body)[1] for _, body in parts)
    stored, body = next(parts, (1, b""))
    if kind == _CHAR:
        return name, body.decode(_ENCODINGS[stored])
    return name, np.frombuffer(body, "<" + _TYPES[stored])
