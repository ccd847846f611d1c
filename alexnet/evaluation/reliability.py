"""What probabilities are worth: calibration error by bins of confidence, and the error of those sure enough.

Not in the paper. Expected calibration error: Guo et al., On Calibration of Modern Neural Networks, ICML 2017. Risk and
coverage: El-Yaniv and Wiener, JMLR 2010.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from alexnet.evaluation import metrics

SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
_BINS = 15
_DRAWS = 200


@dataclass(frozen=True)
class Bin:
    """The images whose best probability is above `low` and at most `high`."""

    low: float
    high: float
    images: int
    confidence: float
    """The mean of their best probabilities; 0 without images."""
    accuracy: float
    """The share of them whose answer is right; 0 without images."""


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be trusted at one temperature. Errors are fractions, the loss is in nats."""

    temperature: float
    top1_error: float
    loss: float
    calibration_error: float
    """The expected calibration error: the mean over images of |confidence - accuracy| of an image's bin."""
    by_chance: float
    """What it would be on average if every probability were exact: few images alone make it more than 0."""
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Answered:
    """What remains when the least sure images are left unanswered."""

    share: float
    """The share of images answered,"""
    images: int
    """and how many they are:"""
    abstain_below: float
    """those whose best probability is this at least."""
    error: float
    """The top-1 error among them."""
    standard_error: float


def reliability(columns: Tensor, temperature: float = 1.0, bins: int = _BINS) -> Reliability:
    """How far the confidences are from the accuracy, in `bins` of equal width.

    Args:
        columns: float64 `[3, N]`: each image's best probability, its top-1 error, and its loss.
        temperature: at which they were measured.
    """
    confidences, errors, losses = columns
    sure, right = confidences.numpy(), 1 - errors.numpy()
    places = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    random = np.random.default_rng(0)
    chances = [_gap(places, sure, random.random(len(sure)) < sure, bins) for _ in range(_DRAWS)]
    images = np.bincount(places, minlength=bins)
    means = [np.bincount(places, values, bins) / np.maximum(images, 1) for values in (sure, right)]
    rows = zip(images.tolist(), *(values.tolist() for values in means), strict=True)
    return Reliability(
        temperature,
        top1_error=float(errors.mean()),
        loss=float(losses.mean()),
        calibration_error=_gap(places, sure, right, bins),
        by_chance=float(np.mean(chances)),
        bins=tuple(Bin(i / bins, (i + 1) / bins, *row) for i, row in enumerate(rows)),
    )


def risk_coverage(confidences: Tensor, errors: Tensor, shares: Sequence[float] = SHARES) -> tuple[Answered, ...]:
    """The error among the surest images, for each share of them that is to be answered.

    Images as sure as the last one answered are answered too, as `abstain_below` would.

    Args:
        confidences: float64 `[N]`, each image's best probability.
        errors: float64 `[N]`, its top-1 error.
        shares: above 0, at most 1.
    """
    order = confidences.sort(descending=True)
    rows = []
    for share in shares:
        below = float(order.values[max(1, math.ceil(share * len(confidences) - 1e-9)) - 1])
        kept = confidences >= below
        count, error = int(kept.sum()), float(errors[kept].mean())
        rows.append(Answered(count / len(errors), count, below, error, metrics.standard_error(error, count)))
    return tuple(rows)


def _gap(places: np.ndarray, sure: np.ndarray, right: np.ndarray, bins: int) -> float:
    """The expected calibration error: |sum of confidence - sum of right answers| of each bin, over all images."""
    return float(np.abs(np.bincount(places, sure - right, bins)).sum() / len(sure))
