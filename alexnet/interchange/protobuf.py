"""Messages of protobuf by a minimal schema, built in code, after a walk over the sizes of all that will be built."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from alexnet.errors import InputError
from alexnet.interchange.weights import LIMIT

Schema = Mapping[str, Mapping[str, tuple[int, Literal["one", "many"], str]]]
"""message: field: (number, how many, type); fields that are not named are skipped.

Packed numbers look like bytes on the wire, and as bytes numpy takes them as they lie.
"""

_MOST = 1 << 14  # fields of the messages that the schema names, in all
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TYPES = {"float": 2, "int64": 3, "int32": 5, "string": 9, "bytes": 12, "uint32": 13}
_MESSAGE = 11
_MANY = {"one": 1, "many": 3}


class _Damaged(Exception):
    """Why the bytes are not a message of the schema."""


def read(path: Path, schema: Schema, root: str) -> Any:
    """The message `root` of `schema` that the file holds.

    Raises:
        InputError: it holds none, is damaged or larger than it may be, or protobuf is missing.
    """
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.protobuf") is None:
        raise InputError(f"reading {path} needs protobuf: pip install 'alexnet[caffe]'.")
    from google.protobuf.message import DecodeError

    try:
        if path.stat().st_size >= LIMIT:
            raise InputError(f"{path} is larger than a protobuf message can be ({LIMIT >> 30} GiB); refused.")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    try:
        _walk(memoryview(data), schema, root, _MOST)
        return _class(schema, root).FromString(data)
    except (_Damaged, DecodeError) as error:
        raise InputError(f"{path} is no {path.suffix} file, or a damaged one ({error}); take another copy.") from None


def _walk(data: memoryview, schema: Schema, message: str, left: int) -> int:
    """How many fields of `left` are left when `data` is a whole message.

    protobuf keeps a hundred bytes for an empty part of two: counted here, no file costs much more than its size twice.
    """
    inner = {number: kind for number, _, kind in schema[message].values() if kind in schema}
    for number, wire, value in _fields(data):
        left -= 1
        if left < 0:
            raise _Damaged(f"more than {_MOST:,} fields")
        if number in inner:
            if wire != _BYTES:
                raise _Damaged(f"field {number} of {message} is no message")
            left = _walk(value, schema, inner[number], left)
    return left


def _fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(number, wire type, bytes) of each field; only those that hold bytes have any."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire, start = key >> 3, key & 7, place
        if wire == _VARINT:
            _, place = _varint(data, place)
            start = place
        elif wire == _BYTES:
            length, start = _varint(data, place)
            place = start + length
        elif wire in (_FIXED32, _FIXED64):
            place = start = place + (4 if wire == _FIXED32 else 8)
        else:
            raise _Damaged(f"wire type {wire}")
        if place > len(data):
            raise _Damaged("truncated")
        yield number, wire, data[start:place]


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _Damaged("truncated")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _Damaged("a number of more than ten bytes")


def _class(schema: Schema, root: str) -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    # proto2, in which a field that is left out can be told from one that is zero.
    file = descriptor_pb2.FileDescriptorProto(name=f"alexnet/{root}", package="alexnet", syntax="proto2")
    for message, fields in schema.items():
        described = file.message_type.add(name=message)
        for name, (number, many, kind) in fields.items():
            field: Any = described.field.add(name=name, number=number)
            field.label = _MANY[many]
            field.type = _MESSAGE if kind in schema else _TYPES[kind]
            if kind in schema:
                field.type_name = f".alexnet.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"alexnet.{root}"))
