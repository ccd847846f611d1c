"""Fields of a recipe by the names that the command line gives them: found, read from text, changed."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

from alexnet import config
from alexnet.errors import InputError
from alexnet.training.recipe import Recipe

Value = str | int | float | bool | None
"""What a single field holds."""


@dataclass(frozen=True)
class Span:
    """Every value from `low` to `high`, for a search."""

    low: float
    high: float
    whole: bool = False
    """Whether the field is an integer."""
    log: bool = False
    """Whether equal ratios are equally likely, rather than equal differences."""


def field(recipe: Recipe, name: str) -> tuple[str, Any]:
    """(the field's dotted name, its type) for a name as the command line has it: "optimiser.learning-rate".

    Raises:
        InputError: the recipe has no such field, or it is none that a sweep can change.
    """
    kinds = dict(_leaves(recipe))
    found = name.replace("-", "_")
    if found.startswith("seeds."):
        raise InputError("seeds are not swept over: --seeds says how many runs each setting has.")
    if found not in kinds:
        near = config.nearest(name, [shown(each) for each in kinds])
        raise InputError(f"the recipe {recipe.name} has no field {name!r}{near}.")
    return found, kinds[found]


def read(recipe: Recipe, text: str) -> tuple[str, Span | tuple[Value, ...]]:
    """(the field, its values or its span) of "field=value,value" or "field=low..high".

    A span is log-uniform where it covers a decade or more, and for rates.

    Raises:
        InputError: an unknown field, or a value that is not of the field's type.
    """
    name, equals, right = text.partition("=")
    if not equals or not right:
        raise InputError(f"--over {text!r} names no values: --over optimiser.learning-rate=0.003,0.01,0.03.")
    found, kind = field(recipe, name.strip())
    low, dots, high = right.partition("..")
    if dots:
        return found, _span(found, kind, low, high)
    return found, tuple(value(found, kind, word.strip()) for word in right.split(","))


def value(name: str, kind: Any, text: str) -> Value:
    """`text` as a value of type `kind`.

    Raises:
        InputError: it is none.
    """
    for one in _alternatives(kind):
        if one is type(None) and text.lower() == "none":
            return None
        if typing.get_origin(one) is Literal and text in map(str, typing.get_args(one)):
            return next(each for each in typing.get_args(one) if str(each) == text)  # type: ignore[no-any-return]
        if one is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if one in (int, float, str):
            try:
                return one(text)  # type: ignore[no-any-return]
            except ValueError:
                continue
    raise InputError(f"{shown(name)} cannot be {text!r}; it takes {_described(kind)}.")


def changed(recipe: Recipe, setting: Mapping[str, Value]) -> Recipe:
    """`recipe` with the fields of `setting`, by dotted name, changed.

    Raises:
        InputError: no recipe can be so.
    """
    # Types first: what a section asks of its numbers is asked of numbers.
    typed = {name: config.from_json(field(recipe, name)[1], value, shown(name)) for name, value in setting.items()}
    result: Recipe = _changed(recipe, typed)
    return result


def shown(name: str) -> str:
    """A dotted name as the command line has it."""
    return name.replace("_", "-")


def flags(setting: Mapping[str, Value]) -> list[str]:
    """The words that make `alexnet train` take `setting`."""
    words = []
    for name, value in setting.items():
        section, _, last = shown(name).rpartition(".")
        if isinstance(value, bool):
            flag = last if value else f"no-{last}"
            words.append(f"--{section}.{flag}" if section else f"--{flag}")
        else:
            words += [f"--{shown(name)}", str(value)]
    return words


def _changed(part: Any, changes: Mapping[str, Value]) -> Any:
    own: dict[str, Any] = {}
    below: dict[str, dict[str, Value]] = {}
    for name, value in changes.items():
        head, dot, rest = name.partition(".")
        if dot:
            below.setdefault(head, {})[rest] = value
        else:
            own[head] = value
    for head, rest_of in below.items():
        own[head] = _changed(getattr(part, head), rest_of)
    return dataclasses.replace(part, **own)


def _leaves(part: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, type) of each field that is no dataclass itself, but for the recipe's name and seeds."""
    hints = typing.get_type_hints(type(part))
    for each in dataclasses.fields(part):
        inner = getattr(part, each.name)
        if dataclasses.is_dataclass(inner):
            yield from _leaves(inner, f"{before}{each.name}.")
        elif before or each.name != "name":
            yield f"{before}{each.name}", hints[each.name]


def _span(name: str, kind: Any, low: str, high: str) -> Span:
    if not {int, float} & set(_alternatives(kind)):
        raise InputError(f"{shown(name)} has no values between others: name them, {shown(name)}=a,b.")
    first, last = value(name, kind, low.strip()), value(name, kind, high.strip())
    if isinstance(first, str | None) or isinstance(last, str | None) or not first < last:
        raise InputError(f"{shown(name)}={low}..{high} is no span from a lower to a higher number.")
    log = first > 0 and (last >= 10 * first or "rate" in name.rpartition(".")[2])
    return Span(first, last, isinstance(first, int) and isinstance(last, int), log)


def _alternatives(kind: Any) -> Sequence[Any]:
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)


def _described(kind: Any) -> str:
    parts: list[str] = []
    for one in _alternatives(kind):
        if typing.get_origin(one) is Literal:
            parts += map(str, typing.get_args(one))
        elif one in (int, float, str, bool):
            parts.append({int: "an integer", float: "a number", str: "a word", bool: "true or false"}[one])
        elif one is type(None):
            parts.append("none")
    return " or ".join(parts) or "several values, which a sweep cannot change"
