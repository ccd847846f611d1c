"""Section 6.1's codes: the rule against made-up numbers, rows by loops, a smoke run."""

import numpy as np
import pytest
import torch

from alexnet.claims import binary_codes
from alexnet.claims.binary_codes import _missed, _rows
from alexnet.claims.reproduce import reproduce
from alexnet.experiments.comparison import Difference
from alexnet.features.retrieval import Way

JUDGE = binary_codes.EXPERIMENTS[0].judge


def way(name, shares, seconds=0.001):
    return Way(name, np.array(shares), seconds, 8)


def test_rows_and_misses_by_loops():
    seeds = [[way("a", [0.5, 1.0], 0.001), way("b", [0, 0.5])], [way("a", [0, 0.5], 0.003), way("b", [1, 1])]]
    rows = _rows(seeds)
    assert [row["precision"] for row in rows] == pytest.approx([(0.75 + 0.25) / 2, (0.25 + 1) / 2])
    assert rows[0]["milliseconds a query"] == pytest.approx((1 + 3) / 2)
    assert _missed(seeds[0], "b").tolist() == [1, 0.5]


def numbers(mean, error=0.01, spread=0.0, faster=50.0, stored=9000, errs=0.5):
    found = Difference(mean, spread, error, 1, 2, 1000).to_json()
    names = ("relu7", "relu7, 64 bits", "relu7, 64 random projections", "pixels", "pixels, 64 bits")
    ways = [{"nearest by": name, "precision": 0.5} for name in names]
    return {"difference": found, "faster": faster, "stored": stored, "ways": ways, "error": errs, "guessing": 0.9}


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (numbers(0.4), "reproduced"),
        (numbers(0.4, faster=9.9), "not reproduced"),
        (numbers(0.1), "not reproduced"),
        (numbers(-0.2), "not reproduced"),
        (numbers(0.19, error=0.02), "not testable here"),
        (numbers(0.4, error=0.3), "not testable here"),
        (numbers(0.4, spread=0.2), "not testable here"),
        (numbers(0.4, stored=999), "not testable here"),
        (numbers(0.1, stored=999), "not testable here"),
        (numbers(0.4, errs=0.82), "not testable here"),
        (numbers(-0.2, errs=0.82), "not testable here"),
    ],
)
def test_the_rule(given, verdict):
    assert JUDGE(given).verdict == verdict


@pytest.mark.slow
def test_smoke(tmp_path):
    result = reproduce("binary-codes", results=tmp_path, smoke=True)
    rows = {row["nearest by"]: row for row in result["tables"]["Six nearest"]}
    assert len(rows) == 1 + 4 + 1 + 4 + 4
    assert [rows[f"relu7, {bits} bits"]["bytes an image"] for bits in (32, 64, 128, 256)] == [4, 8, 16, 32]
    gap = rows["relu7, 64 bits"]["precision"] - rows["pixels, 64 bits"]["precision"]
    assert result["numbers"]["difference"]["mean"] == pytest.approx(gap)
    assert result["numbers"]["stored"] == 128
    assert torch.tensor([row["milliseconds a query"] for row in rows.values()]).gt(0).all()
    assert JUDGE(result["numbers"]).verdict == result["verdict"]
    calls = []
    again = reproduce("binary-codes", results=tmp_path, smoke=True, say=calls.append)
    assert calls == []
    assert again["numbers"] == result["numbers"]
