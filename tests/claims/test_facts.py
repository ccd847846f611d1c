"""The paper's numbers: which agree, what a rule refuses, and the dense net by a loop."""

import math
from dataclasses import asdict, replace

import pytest

from alexnet.claims import facts
from alexnet.claims.facts import Row, dense_connections, rows
from alexnet.claims.reproduce import reproduce

JUDGE = facts.EXPERIMENTS[0].judge
SLIPS = {
    "side of the first maps, from 224, 11 and 4 alone": 54,
    "conv1: neurons": 290_400,
    "times the training set grows by patches and mirrors": 2178,
    "conv3: % of the parameters": 1.4518,
    "conv4: % of the parameters": 1.0890,
}


def test_all_agree_but_five_which_are_explained():
    found = {row.what: row for row in rows()}
    assert {name: round(row.ours, 4) for name, row in found.items() if not row.agrees} == SLIPS
    assert all(bool(row.note) != row.agrees for row in found.values())
    assert len(found) == len(rows()) > 30


def test_a_dense_net_of_the_same_layers_by_a_loop():
    """What each layer reads, as many units as figure 2's maps hold: pooled before the second, third and sixth."""
    below = [224 * 224 * 3, 27 * 27 * 96, 13 * 13 * 256, 13 * 13 * 384, 13 * 13 * 384, 6 * 6 * 256, 4096, 4096]
    own = [55 * 55 * 96, 27 * 27 * 256, 13 * 13 * 384, 13 * 13 * 384, 13 * 13 * 256, 4096, 4096, 1000]
    weights = sum(a * b for a, b in zip(below, own, strict=True))
    assert dense_connections() == weights
    ours = {row.what: row.ours for row in rows()}
    assert ours["connections: a dense net's over ours"] == pytest.approx(weights / 724_406_816)
    assert ours["parameters: a dense net's over ours"] == pytest.approx(weights / 60_965_224)
    assert ours["parameters: a locally connected net's over ours"] == pytest.approx(724_406_816 / 60_965_224)
    assert ours["bits of a label"] == math.log(1000, 2)


@pytest.mark.parametrize(
    ("row", "agrees"),
    [
        (Row("", "", 60e6, 60.97e6, 1e6), True),
        (Row("", "", 60e6, 59.2e6, 1e6), True),
        (Row("", "", 60e6, 61e6, 1e6), False),
        (Row("", "", 96, 96), True),
        (Row("", "", 96, 97), False),
        (Row("", "", 1, 1.0, rule="at most"), True),
        (Row("", "", 1, 1.09, rule="at most"), False),
        (Row("", "", 10, 11.9, rule="at least"), True),
        (Row("", "", 10, 9.9, rule="at least"), False),
    ],
)
def test_the_rule_of_a_row(row, agrees):
    assert row.agrees is agrees


def test_the_verdict():
    agreeing = [row for row in rows() if row.agrees]
    assert JUDGE({"rows": [asdict(row) for row in agreeing]}).verdict == "reproduced"
    for number, row in enumerate(agreeing):
        wrong = replace(row, ours=row.paper + (2 if row.rule == "at most" else -2) * row.unit)
        found = JUDGE({"rows": [asdict(row) for row in [*agreeing[:number], wrong, *agreeing[number + 1 :]]]})
        assert found.verdict == "not reproduced"
        assert row.what in found.reason


def test_it_needs_no_data(tmp_path):
    result = reproduce("facts", results=tmp_path)
    assert result["verdict"] == "not reproduced"
    assert result["ours"] == "33 of 38 agree"
    assert all(name in result["reason"] for name in SLIPS)
    assert result["data"] is None
    assert result["tables"]["Layers"][-1]["parameters"] == "60,965,224"
    again = reproduce("facts", results=tmp_path / "smoke", smoke=True)
    assert again["numbers"] == result["numbers"]
