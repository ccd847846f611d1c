"""Frozen dataclasses to JSON and back; errors that name the field."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet import config
from alexnet.errors import InputError


@dataclass(frozen=True)
class Plateau:
    patience: int = 3


@dataclass(frozen=True)
class Milestone:
    epoch: float
    factor: float = 0.1


@dataclass(frozen=True)
class Milestones:
    at: tuple[Milestone, ...] = ()


@dataclass(frozen=True)
class Example:
    classes: int = 1000
    rate: float = 0.01
    mirror: bool = True
    name: str = "paper"
    precision: Literal["fp32", "bf16"] = "fp32"
    divisor: float | Literal["deviation"] = 1.0
    schedule: Plateau | Milestones = Plateau()
    warm: Plateau | None = None
    pair: tuple[int, float] = (1, 2.0)
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"conv1": 0.5}))
    free: Any = None


FULL = Example(
    divisor="deviation",
    schedule=Milestones((Milestone(23.0), Milestone(51.5, 0.5))),
    warm=Plateau(1),
    rates={"conv1": 0.0, "fc8": 10.0},
)

examples = st.builds(
    Example,
    classes=st.integers(1, 10**6),
    rate=st.floats(0, 1),
    mirror=st.booleans(),
    name=st.text(max_size=5),
    precision=st.sampled_from(["fp32", "bf16"]),
    divisor=st.one_of(st.floats(1, 255), st.just("deviation")),
    schedule=st.one_of(
        st.builds(Plateau, st.integers()),
        st.builds(Milestones, st.lists(st.builds(Milestone, st.floats(0, 90), st.floats(0, 1)), max_size=3).map(tuple)),
    ),
    warm=st.one_of(st.none(), st.builds(Plateau, st.integers())),
    rates=st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=3),
)


@given(examples)
def test_everything_round_trips_through_json_text(example):
    text = json.dumps(config.to_json(example))
    assert config.from_json(Example, json.loads(text), "example") == replace(example, rates=dict(example.rates))


def test_a_union_carries_its_class():
    data = config.to_json(FULL)
    assert data["schedule"]["class"] == "Milestones"
    assert data["schedule"]["at"][1] == {"class": "Milestone", "epoch": 51.5, "factor": 0.5}
    assert config.from_json(Example | Plateau, data, "x") == FULL


def test_missing_fields_take_their_defaults_and_are_named():
    data = config.to_json(FULL)
    del data["rate"], data["schedule"]["at"][0]["factor"]
    defaults = []
    assert config.from_json(Example, data, "recipe", defaults) == FULL
    assert defaults == ["recipe.rate", "recipe.schedule.at[0].factor"]


def test_an_integer_is_a_float_but_a_bool_is_neither():
    value = config.from_json(Example, {"rate": 1}, "x").rate
    assert isinstance(value, float)
    for name in ("rate", "classes"):
        with pytest.raises(InputError, match=f"x.{name} is True"):
            config.from_json(Example, {name: True}, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classs": 5}, r"recipe has the unknown field 'classs' \(did you mean 'classes'\?\)"),
        ({"zebra": 5}, r"recipe has the unknown field 'zebra'\.$"),
        ({"schedule": {"class": "Plateau", "patince": 5}}, r"recipe\.schedule .* 'patince' \(did you mean 'patience'"),
        ({"schedule": {"class": "Linear"}}, r"recipe\.schedule has the class 'Linear'; it can be Plateau, Milestones"),
        ({"schedule": {}}, r"recipe\.schedule has the class None"),
        ({"schedule": None}, r"recipe\.schedule is None; an object was expected"),
        ({"schedule": {"class": "Milestones", "at": [{}]}}, r"recipe\.schedule\.at\[0\] lacks the field 'epoch'"),
        ({"schedule": {"class": "Milestones", "at": 3}}, r"recipe\.schedule\.at is 3; a list was expected"),
        ({"precision": "fp16"}, r"recipe\.precision is 'fp16'; it can be 'fp32', 'bf16'"),
        ({"divisor": "variance"}, r"recipe\.divisor is 'variance'"),
        ({"classes": "many"}, r"recipe\.classes is 'many'; a value of type int"),
        ({"classes": 1.5}, r"recipe\.classes is 1\.5"),
        ({"classes": None}, r"recipe\.classes is None"),
        ({"pair": [1]}, r"recipe\.pair has 1 values; 2 were expected"),
        ({"rates": [1]}, r"recipe\.rates is \[1\]; an object"),
        ({"rates": {"conv1": "x"}}, r"recipe\.rates\.conv1 is 'x'"),
    ],
)
def test_errors_name_the_field_and_what_was_expected(change, message):
    with pytest.raises(InputError, match=message):
        config.from_json(Example, change, "recipe")


@pytest.mark.parametrize("data", [None, 3, "text", [1]])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(InputError, match="an object with the fields of Example was expected"):
        config.from_json(Example, data, "recipe.json")


def test_difference_names_each_leaf_that_differs_in_order():
    other = replace(FULL, rate=0.02, schedule=Plateau(5), warm=None)
    differences = config.difference(FULL, other)
    assert ("rate", 0.01, 0.02) in differences
    assert ("schedule.class", "Milestones", "Plateau") in differences
    assert ("schedule.patience", None, 5) in differences
    assert differences[0][0] == "rate"
    assert config.difference(FULL, dataclasses.replace(FULL)) == []


def test_difference_tells_a_none_from_an_absent_leaf():
    assert config.difference({"a": None}, {}) == [("a", None, None)]


def test_nearest():
    assert config.nearest("papr-2012", ["paper-2012", "code-2012"]) == " (did you mean 'paper-2012'?)"
    assert config.nearest("qqq", ["paper-2012"]) == ""
    assert config.nearest("foo", ["conv5", "pool5"]) == ""
