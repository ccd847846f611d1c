"""Early learning, what augmentation costs, and their rules fed with each verdict."""

import math
from types import SimpleNamespace

import pytest

from alexnet.experiments import pictures, regularisation
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import Difference
from alexnet.experiments.regularisation import biased, early_loss
from alexnet.experiments.reproduce import reproduce

RULES = {experiment.name: experiment.judge for experiment in (*regularisation.AUGMENTATION, *regularisation.LEARNING)}


def run(losses, epochs, per_epoch):
    """A run whose journal has a step line for each of `losses`."""
    steps = [{"event": "step", "epoch": (i + 1) / per_epoch, "loss": loss} for i, loss in enumerate(losses)]
    lines = [*steps, {"event": "epoch", "epoch": 1, "training": {"loss": 99}}]
    recipe = SimpleNamespace(schedule=SimpleNamespace(epochs=epochs))
    return SimpleNamespace(recipe=recipe, journal=lambda: lines)


def test_early_is_the_first_tenth_of_the_epochs():
    losses = [5.0, 4.0, 3.0, 2.0, 1.0] * 8
    assert early_loss(run(losses, 4, 10)) == pytest.approx((5 + 4 + 3 + 2) / 4)
    assert early_loss(run(losses, 40, 10)) == pytest.approx(sum(losses) / 40)
    assert early_loss(run(losses, 1, 2)) == 5, "one line at least"


def test_biases_start_where_the_paper_has_them(tmp_path):
    data = pictures.photographs(tmp_path, train=10, val=10).path
    base = Bench(data, tmp_path, Budget("smoke")).base
    for bias in (0.0, 1.0):
        starts = {row.name: row.bias for row in biased(base, bias).model.table() if hasattr(row, "bias")}
        ones = {name for name, value in starts.items() if value == 1}
        assert ones == ({"conv2", "conv4", "conv5", "fc6", "fc7"} if bias else set())


@pytest.mark.parametrize(
    ("mean", "spread", "verdict"),
    [
        (0.2, 0.01, "reproduced"),
        (-2.5, 0.1, "not reproduced"),
        (0.01, 0.01, "not reproduced"),
        (0.1, 1, "not testable here"),
    ],
)
def test_the_rule_of_biases(mean, spread, verdict):
    found = Difference(mean, spread / math.sqrt(3), spread, 3, 0, 4)
    assert RULES["biases"]({"difference": found.to_json()}).verdict == verdict


@pytest.mark.parametrize(
    ("waiting", "views", "verdict"),
    [
        (0.01, 0.02, "reproduced"),
        (0.05, 0.0, "reproduced"),
        (0.06, 0.06, "not reproduced"),
        (0.3, 0.0, "not reproduced"),
        (0.04, 0.04, "not testable here"),
    ],
)
def test_the_rule_of_what_views_cost(waiting, views, verdict):
    assert RULES["crops-free"]({"waiting": waiting, "views": views}).verdict == verdict


@pytest.mark.slow
def test_trials(tmp_path):
    cost = reproduce("crops-free", smoke=True, results=tmp_path)["numbers"]
    assert 0 <= cost["waiting"] < 1
    assert cost["views"] > 0
    found = reproduce("biases", smoke=True, results=tmp_path)
    (rows,) = found["tables"].values()
    zeros, ones = ([row[f"biases of {bias}"] for row in rows] for bias in (0, 1))
    assert found["numbers"]["difference"]["mean"] == pytest.approx((sum(zeros) - sum(ones)) / 2)
