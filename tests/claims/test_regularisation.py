"""Early learning, what augmentation costs, and their rules fed with each verdict."""

import math
from types import SimpleNamespace

import pytest

from alexnet import config
from alexnet.claims import regularisation
from alexnet.claims.regularisation import early_loss, started
from alexnet.claims.reproduce import reproduce
from alexnet.experiments import pictures
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import Difference

RULES = {experiment.name: experiment.judge for experiment in (*regularisation.AUGMENTATION, *regularisation.LEARNING)}


def test_early_is_the_end_of_the_first_epoch():
    steps = [{"event": "step", "epoch": (i + 1) / 10, "loss": float(i)} for i in range(30)]
    lines = [*steps[:10], {"event": "epoch", "epoch": 1, "training": {"loss": 99}}, *steps[10:]]
    assert early_loss(SimpleNamespace(journal=lambda: lines)) == (8 + 9) / 2
    one = [{"event": "step", "epoch": 1.0, "loss": 3.0}]
    assert early_loss(SimpleNamespace(journal=lambda: one)) == 3


def test_biases_start_where_the_paper_has_them_with_its_weights_and_input(tmp_path):
    data = pictures.photographs(tmp_path, train=10, val=10).path
    bench = Bench(data, tmp_path, Budget("smoke", width=1 / 4))
    recipes = {bias: started(bench, bias) for bias in (0.0, 1.0)}
    for bias, recipe in recipes.items():
        rows = {row.name: row for row in recipe.model.table() if hasattr(row, "bias")}
        ones = {name for name, row in rows.items() if row.bias == 1}
        assert ones == ({"conv2", "conv4", "conv5", "fc6", "fc7"} if bias else set())
        assert (rows["conv1"].deviation, rows["conv3"].deviation) == (0.01, 0.02)
        assert (recipe.views.divisor, recipe.optimiser.learning_rate, recipe.schedule.epochs) == (1.0, 0.01, 1)
    fields = [name for name, _, _ in config.difference(recipes[0.0], recipes[1.0])]
    assert fields == ["model.initialisation.bias"]


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
    found = Difference(mean, spread / math.sqrt(3), 0.0, 4, 3, 0)
    numbers = {"difference": found.to_json(), "guessing": math.log(10)}
    assert RULES["biases"]({**numbers, "loss": 2.0}).verdict == verdict
    assert RULES["biases"]({**numbers, "loss": 2.2}).verdict == "not testable here", "an epoch taught nothing"


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
    shares = {"waiting": waiting, "views": views}
    assert RULES["crops-free"]({**shares, "device": "cuda"}).verdict == verdict
    assert RULES["crops-free"]({**shares, "device": "cpu"}).verdict == "not testable here"


def test_what_views_cost_is_of_the_first_epoch_and_timed_once_on_a_device(tmp_path, monkeypatch):
    data = pictures.photographs(tmp_path, train=10, val=10).path
    bench = Bench(data, tmp_path / "runs", Budget("smoke"))
    pace = {"images_per_second": 50.0, "waiting_for_data": 0.1}
    lines = [
        {"epoch": 1, "seconds": 3.0, **pace},
        {"epoch": 1, "seconds": 1.0, **pace, "waiting_for_data": 0.5},
        {"epoch": 2, "seconds": 99.0, "images_per_second": 1.0, "waiting_for_data": 0.9},
    ]
    run = SimpleNamespace(name="a-run", timing=lambda: lines)
    monkeypatch.setattr(bench, "train", lambda recipe: run)
    times = iter((0.002, 0.2))
    monkeypatch.setattr(regularisation, "_seconds_of_views", lambda *_: next(times))
    measure = {each.name: each.measure for each in regularisation.AUGMENTATION}["crops-free"]
    for _ in range(2):
        found = measure(bench).numbers
        assert found["waiting"] == pytest.approx((3 * 0.1 + 1 * 0.5) / 4)
        assert found["views"] == pytest.approx(0.002 * 50)
        assert found["device"] == "cpu"
    monkeypatch.setattr(regularisation.environment, "device_name", lambda _: "another")
    assert measure(bench).numbers["views"] == pytest.approx(0.2 * 50)


@pytest.mark.slow
def test_trials(tmp_path):
    cost = reproduce("crops-free", smoke=True, results=tmp_path)["numbers"]
    assert 0 <= cost["waiting"] < 1
    assert cost["views"] > 0
    found = reproduce("biases", smoke=True, results=tmp_path)
    (rows,) = found["tables"].values()
    zeros, ones = ([row[f"biases of {bias}"] for row in rows] for bias in (0, 1))
    assert found["numbers"]["difference"]["mean"] == pytest.approx((sum(zeros) - sum(ones)) / 2)
