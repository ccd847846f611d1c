"""Frozen dataclasses to JSON and back, and what differs between two of them.

A field whose type is a union of dataclasses carries the class's name under the key "class".
"""

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from alexnet.errors import InputError


def to_json(config: Any) -> Any:
    """`config` as JSON values: a dataclass becomes an object with its class's name under "class", a tuple a list."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = {field.name: to_json(getattr(config, field.name)) for field in dataclasses.fields(config)}
        return {"class": type(config).__name__, **fields}
    if isinstance(config, Mapping):
        return {str(key): to_json(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    return config


def from_json(kind: Any, data: Any, where: str, defaults: list[str] | None = None) -> Any:
    """The value of type `kind` (a frozen dataclass, a union, a tuple, a mapping or a plain type) that `data` describes.

    A field that `data` lacks takes its default, and its name is appended to `defaults`, to be said aloud.

    Args:
        where: the name of the file or field read, for errors.

    Raises:
        InputError: an unknown or missing field, or a value of the wrong type, named with what was expected.
    """
    origin = get_origin(kind)
    if kind is Any:
        return data
    if origin in (Union, types.UnionType):
        return _union(get_args(kind), data, where, defaults)
    if origin is Literal:
        if data not in get_args(kind):
            raise InputError(f"{where} is {data!r}; it can be {', '.join(map(repr, get_args(kind)))}.")
        return data
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data, where, defaults)
    if origin is tuple:
        return _tuple(get_args(kind), data, where, defaults)
    if origin in (dict, Mapping):
        if not isinstance(data, dict):
            raise InputError(f"{where} is {data!r}; an object was expected.")
        return {key: from_json(get_args(kind)[1], value, f"{where}.{key}", defaults) for key, value in data.items()}
    return _plain(kind, data, where)


def check(config: Any, where: str) -> None:
    """Nothing when each field of a dataclass holds a value of its type, as `from_json` would demand of a file.

    Raises:
        InputError: one does not; it is named with what was expected.
    """
    for name, kind in typing.get_type_hints(type(config)).items():
        from_json(kind, to_json(getattr(config, name)), f"{where}.{name}")


def difference(a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    """(field, value in `a`, value in `b`) for each leaf that differs, in order; a missing one is None."""
    left, right = dict(_leaves(to_json(a))), dict(_leaves(to_json(b)))
    names = [*left, *(name for name in right if name not in left)]
    return [(n, left.get(n), right.get(n)) for n in names if (n in left) != (n in right) or left.get(n) != right.get(n)]


def digest(config: Any) -> str:
    """8 hexadecimal digits that differ where `config`, as JSON values, differs."""
    return hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode()).hexdigest()[:8]


def nearest(word: str, words: typing.Iterable[str]) -> str:
    """ " (did you mean 'x'?)" with the nearest of `words`, or nothing when none is near."""
    found = difflib.get_close_matches(word, list(words), 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _dataclass(kind: Any, data: Any, where: str, defaults: list[str] | None) -> Any:
    if not isinstance(data, dict):
        raise InputError(f"{where} is {data!r}; an object with the fields of {kind.__name__} was expected.")
    given = {key: value for key, value in data.items() if key != "class"}
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in given:
        if key not in fields:
            raise InputError(f"{where} has the unknown field {key!r}{nearest(key, fields)}.")
    values = {}
    for name, field in fields.items():
        if name in given:
            values[name] = from_json(hints[name], given[name], f"{where}.{name}", defaults)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where} lacks the field {name!r}.")
        elif defaults is not None:
            defaults.append(f"{where}.{name}")
    return kind(**values)


def _union(kinds: tuple[Any, ...], data: Any, where: str, defaults: list[str] | None) -> Any:
    if data is None and type(None) in kinds:
        return None
    classes = {kind.__name__: kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
    if isinstance(data, dict) and classes:
        name = data.get("class") or (next(iter(classes)) if len(classes) == 1 else None)
        if name not in classes:
            raise InputError(f"{where} has the class {name!r}; it can be {', '.join(classes)}.")
        return from_json(classes[name], data, where, defaults)
    plain = [kind for kind in kinds if kind is not type(None) and not dataclasses.is_dataclass(kind)]
    for kind in plain:
        try:
            return from_json(kind, data, where, defaults)
        except InputError:
            if kind is plain[-1]:
                raise
    raise InputError(f"{where} is {data!r}; an object was expected.")


def _tuple(kinds: tuple[Any, ...], data: Any, where: str, defaults: list[str] | None) -> Any:
    if not isinstance(data, list | tuple):
        raise InputError(f"{where} is {data!r}; a list was expected.")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(data)
    if len(kinds) != len(data):
        raise InputError(f"{where} has {len(data)} values; {len(kinds)} were expected.")
    pairs = enumerate(zip(kinds, data, strict=True))
    return tuple(from_json(kind, value, f"{where}[{i}]", defaults) for i, (kind, value) in pairs)


def _plain(kind: Any, data: Any, where: str) -> Any:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise InputError(f"{where} is {data!r}; a value of type {kind.__name__} was expected.")
    return data
