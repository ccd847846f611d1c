"""Answers of several networks averaged: with equal weights, or with weights fitted on images kept apart."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from alexnet.data.loader import part
from alexnet.evaluation import metrics
from alexnet.evaluation.classifier import ViewsName
from alexnet.experiments.bench import Bench
from alexnet.training.run import Run

_TRIED = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


def answers(bench: Bench, run: Run, split: str, views: ViewsName = "ten") -> Tensor:
    """float32 `[N, K]`: a run's probabilities on a split of the bench's set."""
    found = bench.evaluate(run, split=split, views=views, probabilities=True).probabilities
    assert found is not None
    return found


def labels_of(bench: Bench, split: str) -> Tensor:
    """int64 `[N]`: the true classes of a split's images, in stored order."""
    return torch.from_numpy(np.asarray(bench.prepared.split(split).labels, np.int64))


def fitted(given: Sequence[Tensor], labels: Tensor, top: int) -> list[float]:
    """A weight for each of the `given` answers, that makes the error of their weighted mean small on these images.

    Coordinate search from equal weights, as the authors' scripts searched: one weight after the other takes the value
    of 0, 1/4, 1/2, 1, 2 and 4 that errs least, where that is less than before, until no weight changes.

    Args:
        given: float `[N, K]` each.
        labels: int64 `[N]`.
        top: what the error is of: 1, or 5 as theirs.
    """
    weights = [1.0] * len(given)
    best, before = _error(weighted(given, weights), labels, top), float("inf")
    while best < before:
        before = best
        for i in range(len(weights)):
            for value in _TRIED:
                tried = [*weights[:i], value, *weights[i + 1 :]]
                error = _error(weighted(given, tried), labels, top) if any(tried) else float("inf")
                if error < best:
                    weights, best = tried, error
    return weights


def weighted(given: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """float `[N, K]`: the mean of the `given` answers with these weights."""
    total = sum(weights)
    mean = torch.zeros_like(given[0])
    for each, weight in zip(given, weights, strict=True):
        mean.add_(each, alpha=weight / total)
    return mean


def fitted_apart(bench: Bench, runs: Sequence[Run], top: int) -> tuple[Tensor, list[list[float]]]:
    """(float `[N, K]`, weights): the weighted mean of the runs' ten-view answers on the bench's split.

    No image has a part in the weights that it is answered with: they are fitted on `val` where errors are of `test`;
    where there is only one split, each half of it is answered with the weights fitted on the other half.
    """
    given = [answers(bench, run, bench.split) for run in runs]
    labels = labels_of(bench, bench.split)
    if bench.split != "val" and bench.prepared.counts.get("val"):
        weights = fitted([answers(bench, run, "val") for run in runs], labels_of(bench, "val"), top)
        return weighted(given, weights), [weights]
    return halves(given, labels, top)


def halves(given: Sequence[Tensor], labels: Tensor, top: int) -> tuple[Tensor, list[list[float]]]:
    """(float `[N, K]`, two lists of weights): each half answered with the weights fitted on the other half.

    The halves have the same share of every class.
    """
    first = torch.zeros(len(labels), dtype=torch.bool)
    first[torch.from_numpy(part(labels.numpy(), 0.5, seed=0))] = True
    mean, found = torch.zeros_like(given[0]), []
    for own in (first, ~first):
        weights = fitted([each[~own] for each in given], labels[~own], top)
        mean[own] = weighted([each[own] for each in given], weights)
        found.append(weights)
    return mean, found


def _error(mean: Tensor, labels: Tensor, top: int) -> float:
    return float(metrics.errors(mean, labels, top).double().mean())
