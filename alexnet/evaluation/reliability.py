"""What probabilities are worth: calibration error by bins of confidence, and the error of those sure enough.

Not in the paper. Expected calibration error: Guo et al., On Calibration of Modern Neural Networks, ICML 2017. Risk and
coverage: El-Yaniv and Wiener, JMLR 2010. Intervals: Wilson, JASA 1927.
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
_DIGITS = 6  # of a threshold: a probability computed in float32 has hardly more


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
    by_chance_at_most: float
    """And what it would then stay below in 95 of 100 cases."""
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Answered:
    """What remains when the least sure images are left unanswered."""

    share: float
    """The share of images answered,"""
    images: int
    """and how many they are:"""
    abstain_below: float
    """those whose best probability is this at least: four digits, up to six where fewer do not divide them."""
    error: float
    """The top-1 error among them."""
    standard_error: float
    interval: tuple[float, float]
    """Wilson's interval, 95 %, for the error: it keeps its meaning where few images, or none, are answered wrongly."""


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
        by_chance_at_most=float(np.quantile(chances, 0.95)),
        bins=tuple(Bin(i / bins, (i + 1) / bins, *row) for i, row in enumerate(rows)),
    )


def risk_coverage(confidences: Tensor, errors: Tensor, shares: Sequence[float] = SHARES) -> tuple[Answered, ...]:
    """The error among the surest images, for each share of them that is to be answered.

    Images as sure as the last one answered, to six digits, are answered too, as `abstain_below` would.

    Args:
        confidences: float64 `[N]`, each image's best probability.
        errors: float64 `[N]`, its top-1 error.
        shares: above 0, at most 1.
    """
    finest = 10**_DIGITS
    # What float32 rounds to 1 is as sure as the step below it, or the threshold would be 1 and let nothing else pass.
    sure = (confidences * finest).floor().clamp(max=finest - 1) / finest
    order = sure.sort(descending=True).values
    rows = []
    for share in shares:
        least = float(order[max(1, math.ceil(share * len(sure) - 1e-9)) - 1])
        kept = sure >= least
        count, error = int(kept.sum()), float(errors[kept].mean())
        below = _between(float(order[count]) if count < len(order) else -1.0, least)
        spread = metrics.standard_error(error, count)
        rows.append(Answered(count / len(errors), count, below, error, spread, metrics.wilson(error, count)))
    return tuple(rows)


def _between(left_out: float, least: float) -> float:
    """The threshold of fewest digits, at least four, above `left_out` and at most `least`."""
    for digits in range(4, _DIGITS):
        parts = int(10**digits)
        value = math.floor(least * parts) / parts
        if value > left_out:
            return value
    return least


def _gap(places: np.ndarray, sure: np.ndarray, right: np.ndarray, bins: int) -> float:
    """The expected calibration error: |sum of confidence - sum of right answers| of each bin, over all images."""
    return float(np.abs(np.bincount(places, sure - right, bins)).sum() / len(sure))
