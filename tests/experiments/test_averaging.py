"""Averages of answers: weights fitted by coordinate search, never on the images that they answer."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet.data.loader import part
from alexnet.experiments import averaging


def answers(seed, labels, classes, right):
    """float `[N, K]`: random probabilities; a share `right` of the images leans to the true class."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1, (len(labels), classes))
    leaning = random.random(len(labels)) < right
    scores[leaning, labels[leaning]] += 3
    return torch.from_numpy(scores).softmax(1)


def error_by_loop(given, weights, labels, top):
    wrong = 0.0
    for n, label in enumerate(labels.tolist()):
        mean = [sum(w * float(g[n, k]) for g, w in zip(given, weights, strict=True)) for k in range(given[0].shape[1])]
        wrong += label not in sorted(range(len(mean)), key=lambda k: -mean[k])[:top]
    return wrong / len(labels)


@pytest.fixture
def three():
    labels = np.random.default_rng(1).integers(0, 7, 300)
    given = [answers(seed, labels, 7, right) for seed, right in ((2, 0.8), (3, 0.7), (4, 0.0))]
    return given, torch.from_numpy(labels)


def test_the_weighted_mean_is_that_of_a_loop(three):
    given, _ = three
    mean = averaging.weighted(given, [2.0, 1.0, 0.0])
    assert torch.allclose(mean, (2 * given[0] + given[1]) / 3)
    assert torch.allclose(mean.sum(1), torch.ones(300, dtype=torch.float64))


@pytest.mark.parametrize("top", [1, 5])
def test_no_single_weight_changed_errs_less_than_the_fitted_ones(three, top):
    given, labels = three
    found = averaging.fitted(given, labels, top)
    best = error_by_loop(given, found, labels, top)
    assert best < error_by_loop(given, [1.0, 1.0, 1.0], labels, top)
    for i in range(3):
        for value in (0, 0.25, 0.5, 1, 2, 4):
            tried = [*found[:i], value, *found[i + 1 :]]
            if any(tried):
                assert error_by_loop(given, tried, labels, top) >= best


def test_equal_networks_keep_equal_weights(three):
    given, labels = three
    assert averaging.fitted([given[0], given[0]], labels, 1) == [1.0, 1.0]


def test_each_half_is_answered_with_the_weights_of_the_other(three):
    given, labels = three
    mean, (first, second) = averaging.halves(given, labels, 1)
    half = torch.zeros(300, dtype=torch.bool)
    half[torch.from_numpy(part(labels.numpy(), 0.5, 0))] = True
    assert first == averaging.fitted([g[~half] for g in given], labels[~half], 1)
    assert second == averaging.fitted([g[half] for g in given], labels[half], 1)
    assert torch.allclose(mean[half], averaging.weighted([g[half] for g in given], first))
    assert torch.allclose(mean[~half], averaging.weighted([g[~half] for g in given], second))
    for label in range(7):
        assert abs(int((labels[half] == label).sum()) - int((labels[~half] == label).sum())) <= 1


class FakeBench:
    """A set with `val` and `test`, whose runs' answers are given."""

    def __init__(self, splits):
        self.splits = splits
        counts = {name: len(labels) for name, (labels, _) in splits.items()}
        split = lambda name: SimpleNamespace(labels=splits[name][0])  # noqa: E731
        self.prepared = SimpleNamespace(counts=counts, split=split)
        self.split = "test" if "test" in splits else "val"

    def evaluate(self, run, split, views, probabilities):
        assert probabilities
        assert views == "ten"
        return SimpleNamespace(probabilities=self.splits[split][1][run])


def test_weights_are_fitted_on_val_where_there_is_a_test_split(three):
    given, labels = three
    noise = np.random.default_rng(9).integers(0, 7, 50)
    other = [answers(seed, noise, 7, right) for seed, right in ((5, 0.1), (6, 0.2), (7, 0.9))]
    bench = FakeBench({"val": (labels.numpy(), given), "test": (noise, other)})
    mean, (weights,) = averaging.fitted_apart(bench, [0, 1, 2], 1)
    assert weights == averaging.fitted(given, labels, 1)
    assert torch.allclose(mean, averaging.weighted(other, weights))
    alone = FakeBench({"val": (labels.numpy(), given)})
    assert len(averaging.fitted_apart(alone, [0, 1, 2], 1)[1]) == 2
    assert not math.isnan(float(mean.sum()))
