"""docs/text-and-code.md: each field that it names exists, and no difference between the known networks is missing."""

import dataclasses
import inspect
import re
import types
import typing
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet import recipes
from alexnet.claims.catalogue import EXPERIMENTS
from alexnet.claims.text_and_code import groups
from alexnet.config import difference
from alexnet.data.prepare import prepare
from alexnet.experiments.comparison import Difference
from alexnet.files import read_json
from alexnet.interchange.caffe_blobs import BVLC_ALEXNET, CAFFENET
from alexnet.interchange.torchvision_state import TORCHVISION
from alexnet.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "text-and-code.md").read_text(encoding="utf-8")
SECTIONS = ["prepare", *(field.name for field in dataclasses.fields(Recipe))]
FIELDS = set(re.findall(rf"`((?:{'|'.join(SECTIONS)})\.[\w.]+)`", PAGE))


def exists(name, kind=Recipe):
    """Whether a dotted name leads to a field; of a union, in any of its classes."""
    first, _, rest = name.partition(".")
    if first == "prepare" and kind is Recipe:
        return rest in inspect.signature(prepare).parameters
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    found = [typing.get_type_hints(k)[first] for k in kinds if first in getattr(k, "__dataclass_fields__", ())]
    return any(not rest or exists(rest, inner) for inner in found)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_field_of_the_ledger_exists(name):
    assert exists(name)


def test_a_field_that_is_gone_would_be_seen():
    assert exists("model.initialisation.bias")
    assert not exists("model.initialisation.biases")
    assert not exists("model.norm.k")
    assert not exists("prepare.geometries")


def with_model(config):
    return replace(Recipe(), model=config, views=replace(Recipe().views, crop=config.input))


@pytest.mark.parametrize(
    "other",
    [recipes.code_2012(), recipes.one_tower(), *map(with_model, (BVLC_ALEXNET, CAFFENET, TORCHVISION))],
    ids=["code-2012", "one-tower", "bvlc_alexnet", "CaffeNet", "torchvision"],
)
def test_no_difference_is_missing(other):
    """A plateau has fields that milestones lack: for the schedule one row speaks."""
    found = {name for name, _, _ in difference(Recipe(), other)} - {"name"}
    assert len(found) > 3
    assert {name for name in found if not name.startswith("schedule.")} <= FIELDS
    assert "schedule.milestones" in FIELDS


def effects():
    """(fields, what stands in the last column) of each row whose effect is measured."""
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|")]
    return [(row[6], row[7].strip()) for row in rows if len(row) == 8 and "results.md#" in row[7]]


def measured():
    """(fields, experiment) of each such row."""
    return [(fields, re.search(r"\[([\w-]+)\]\(results\.md#\1\)", effect)[1]) for fields, effect in effects()]


def test_what_measures_a_row_is_an_experiment():
    found = {name for _, name in measured()}
    assert len(found) > 5
    assert found <= {experiment.name for experiment in EXPERIMENTS}


def test_every_difference_of_the_code_is_measured():
    """By `text-and-code`, but for what computes the same function."""
    said = " ".join(fields for fields, name in measured() if name == "text-and-code")
    measured_alone = [
        field for fields in groups(recipes.paper_2012(), recipes.code_2012()).values() for field in fields
    ]
    assert len(measured_alone) > 8
    for field in set(measured_alone) - {"model.order5"}:
        assert f"`{field}" in said


def test_the_effects_are_those_of_the_result():
    numbers = read_json(ROOT / "results" / "experiments" / "text-and-code.json")["numbers"]
    measured_alone = {**numbers["alone"], "border": numbers["border"]}
    named = {**groups(recipes.paper_2012(), recipes.code_2012()), "border": ("model.norm_across",)}
    shown = set()
    for fields, effect in effects():
        if "[text-and-code]" in effect:
            (name,) = (name for name, of in named.items() if any(f"`{field}" in fields for field in of))
            gap = Difference.from_json(measured_alone[name])
            number = f"{100 * gap.mean:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
            assert effect == f"{number}, [text-and-code](results.md#text-and-code)", f"{name}: {fields}"
            shown.add(name)
    assert shown == set(named)


def test_each_row_has_every_column():
    tables = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        header, _, *rows = [line.strip("|").split("|") for line in table.splitlines()]
        for row in rows:
            assert len(row) == len(header), row[1]
            assert all(cell.strip() for cell in row), row[1]
            assert len(header) < 8 or re.search(r"`[a-z]+\.\w+", row[6]), f"{row[1]} names no field"
