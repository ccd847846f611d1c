"""Means over masks against whole networks, epochs to an error by hand, and the rules' verdicts."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet import randomness, recipes
from alexnet.claims import dropout
from alexnet.claims.dropout import at_one_rate, converged, distance, masked, reached
from alexnet.claims.reproduce import reproduce
from alexnet.experiments.comparison import Difference
from alexnet.model.alexnet import AlexNet, AlexNetConfig, Initialisation

RULES = {experiment.name: experiment.judge for experiment in dropout.EXPERIMENTS}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("scaling", ["test", "inverted"])
def test_means_over_masks_are_those_of_whole_networks(before, scaling):
    start = Initialisation(weights="he", bias=0.0)
    config = AlexNetConfig(5, 67, width=1 / 32, initialisation=start, dropout_before=before, dropout_scaling=scaling)
    network = AlexNet(config)
    images = torch.randn(4, 3, 67, 67, generator=torch.Generator().manual_seed(1))
    masks = [randomness.keys(mask, "mask", 0, torch.arange(4)) for mask in range(6)]
    with torch.no_grad():
        found = masked(network.eval(), images, masks)
        assert not network.training
        whole = [network.train()(images, keys).softmax(1).double() for keys in masks]
        test = network.eval()(images).softmax(1)
    product = torch.ones_like(whole[0])
    for each in whole:
        product = product * each ** (1 / 6)
    expected = {
        "halved": test,
        "single": whole[0],
        "arithmetic": sum(whole) / 6,
        "geometric": product / product.sum(1, keepdim=True),
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name].exp().double(), values.double(), rtol=1e-4, atol=1e-6)
    assert distance(found["single"], found["halved"]) > 0.01


def test_the_distance_is_half_the_sum_of_differences():
    a, b = torch.tensor([[0.5, 0.5], [1.0, 1e-9]]).log(), torch.tensor([[0.25, 0.75], [1e-9, 1.0]]).log()
    assert distance(a, b) == pytest.approx((0.25 + 1) / 2)
    assert distance(a, a) == 0


def test_epochs_to_an_error():
    errors = [0.7, 0.5, 0.6, 0.3]
    assert reached(errors, 0.9, 0.9) == 0
    assert reached(errors, 0.8, 0.9) == pytest.approx(0.5)
    assert reached(errors, 0.7, 0.9) == pytest.approx(1)
    assert reached(errors, 0.55, 0.9) == pytest.approx(1.75)
    assert reached(errors, 0.45, 0.9) == pytest.approx(3.5)
    assert reached(errors, 0.2, 0.9) == math.inf
    assert reached([0.95], 0.95, 0.9) == 0


def test_converged_is_within_two_points_of_the_lowest():
    errors = [0.7, 0.5, 0.31, 0.3, 0.33]
    assert converged(errors, 0.9) == reached(errors, 0.32, 0.9) == pytest.approx(3 - 0.01 / 0.19)


def test_at_one_rate_nothing_but_the_fall_is_gone():
    base = recipes.named("imagenette")
    schedule = at_one_rate(base).schedule
    assert (schedule.epochs, schedule.warmup) == (base.schedule.epochs, base.schedule.warmup)
    assert base.schedule.factors(39, []).weights < 0.01
    assert {schedule.factors(epoch, []).weights for epoch in (5, 20, 39.9)} == {1.0}


def difference(mean, spread):
    return Difference(mean, spread / math.sqrt(3), 0.0, 2, 3, 1959).to_json()


@pytest.mark.parametrize(
    ("mean", "spread", "near", "error", "verdict"),
    [
        (0.001, 0.001, 0.1, 0.3, "reproduced"),
        (-0.001, 0.001, 0.5, 0.3, "reproduced"),
        (0.02, 0.001, 0.1, 0.3, "not reproduced"),
        (-0.02, 0.001, 0.1, 0.3, "not reproduced"),
        (0.001, 0.001, 1.2, 0.3, "not reproduced"),
        (0.001, 0.001, 0.7, 0.3, "not testable here"),
        (0.001, 0.02, 0.1, 0.3, "not testable here"),
        (0.001, 0.001, 0.1, 0.85, "not testable here"),
    ],
)
def test_the_rule_of_the_mean_network(mean, spread, near, error, verdict):
    numbers = {"difference": difference(mean, spread), "distance": 0.2 * near, "single": 0.2}
    assert RULES["dropout-mean"]({**numbers, "error": error, "guessing": 0.9}).verdict == verdict


@pytest.mark.parametrize(
    ("ratio", "spread", "error", "latest", "verdict"),
    [
        (2, 0.1, 0.3, 0.8, "reproduced"),
        (1.1, 0.1, 0.3, 0.5, "not reproduced"),
        (0.5, 0.1, 0.3, 0.5, "not reproduced"),
        (2, 1, 0.3, 0.5, "not testable here"),
        (2, 0.1, 0.85, 0.5, "not testable here"),
        (2, 0.1, 0.3, 0.81, "not testable here"),
    ],
)
def test_the_rule_of_iterations(ratio, spread, error, latest, verdict):
    numbers = {"difference": difference(math.log2(ratio), spread), "error": error, "guessing": 0.9, "latest": latest}
    assert RULES["dropout-iterations"]({**numbers, "split": "val"}).verdict == verdict
    found = RULES["dropout-iterations"]({**numbers, "split": "train"})
    assert (found.verdict, "no validation split" in found.reason) == ("not testable here", True)


@pytest.mark.parametrize(("split", "chance"), [("val", 0.3), ("train", 0.4)])
def test_epochs_are_counted_from_guessing_the_most_frequent_class(split, chance, tmp_path):
    """Of two classes that are not equally frequent, and on the training images where there are no others."""
    labels = {"val": np.array([0] * 7 + [1] * 3), "train": np.array([1] * 6 + [0] * 4)}
    counts = {name: len(labels[name]) for name in ("train", split)}
    prepared = SimpleNamespace(counts=counts, classes="ab", split=lambda name: SimpleNamespace(labels=labels[name]))
    whole = [{"event": "epoch", "validation": {"top1_error": 0.2}, "training": {"top1_error": 0.1}}]
    if split == "train":
        whole = [{**line, "validation": None} for line in whole]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in whole))
    run = SimpleNamespace(path=tmp_path)
    bench = SimpleNamespace(
        prepared=prepared, seeds=lambda: range(2), train=lambda recipe, seed: run, base=recipes.named("imagenette")
    )
    measured = dropout.EXPERIMENTS[1].measure(bench)
    assert measured.numbers["guessing"] == pytest.approx(chance)
    assert (measured.numbers["split"], measured.numbers["error"]) == (split, 0.2 if split == "val" else 0.1)
    (axes,) = measured.figures["curves"].axes
    assert axes.lines[0].get_ydata()[0] == pytest.approx(chance)
    assert any("lowest training error" in remark for remark in measured.remarks) == (split == "train")


@pytest.mark.slow
def test_trials(tmp_path):
    found = reproduce("dropout-mean", smoke=True, results=tmp_path)
    (rows,) = found["tables"].values()
    errors = {row["network"]: row["top-1 error"] for row in rows}
    assert found["numbers"]["difference"]["mean"] == pytest.approx(errors["halved"] - errors["geometric"])
    kept = list((tmp_path / "smoke" / "runs" / "kept").glob("masks-*"))
    assert len(kept) == 2
    found = reproduce("dropout-iterations", smoke=True, results=tmp_path)
    (rows,) = found["tables"].values()
    assert [row["dropout"] for row in rows] == ["with", "with", "without", "without"]
    assert all(0 <= row["epochs"] <= row["of epochs"] == 1 for row in rows)
