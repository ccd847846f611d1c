"""Calibration: the temperature at which a classifier's probabilities can be taken at their word.

Not in the paper. Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from alexnet import randomness
from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError, counted
from alexnet.evaluation import metrics
from alexnet.evaluation.classifier import Classifier, ViewsName
from alexnet.evaluation.evaluate import joined, require_size
from alexnet.evaluation.reliability import Answered, Reliability, reliability, risk_coverage

_DOUBLINGS = 10  # above and below the spread of the logits, where the temperature is looked for
_PRECISION = 1e-6  # of the temperature's logarithm
_BLOCK = 1 << 24  # logits at once, in float64


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `calibrate` found."""

    temperature: float
    views: ViewsName
    split: str
    """Where the temperature was fitted,"""
    images: int
    """on so many images."""
    measured: str
    """The split that all the following is measured on,"""
    how: Literal["apart", "crosswise", "same"]
    """apart from the fit; or on the same split, each half at the temperature of the other half; or on the very images
    of the fit, which is optimistic."""
    before: Reliability
    """At temperature 1."""
    after: Reliability
    confidences: Tensor
    """float64 `[N]`, the best probability of each image measured, calibrated,"""
    errors: Tensor
    """float64 `[N]`, and its top-1 error: 0 or 1, or between them where the maximum is shared."""
    file: str = ""
    """The classifier file that now has the temperature, and the figure, where they are written."""
    figure: str = ""

    @property
    def worse(self) -> bool:
        """Whether the loss measured is higher at the temperature than at 1: it was fitted to too few images."""
        return self.after.loss > self.before.loss

    @property
    def farther(self) -> bool:
        """Whether the calibration error measured is higher at the temperature than at 1."""
        return self.after.calibration_error > self.before.calibration_error

    @property
    def too_few_to_tell(self) -> bool:
        """Whether the calibration error measured is such as chance alone makes of so many images."""
        return self.after.calibration_error <= self.after.by_chance_at_most

    @property
    def answered(self) -> tuple[Answered, ...]:
        """The error among the images that are answered, for the shares of `SHARES`."""
        return risk_coverage(self.confidences, self.errors)

    def to_json(self) -> dict[str, Any]:
        """All but the single images, as JSON values."""
        return {
            "temperature": self.temperature,
            "views": self.views,
            "fitted": {"split": self.split, "images": self.images},
            "measured": {"split": self.measured, "images": len(self.errors), "how": self.how},
            "before": asdict(self.before),
            "after": asdict(self.after),
            "risk_coverage": [asdict(row) for row in self.answered],
            "file": self.file,
            "figure": self.figure,
        }


def calibrate(
    classifier: Classifier,
    prepared: PreparedSet,
    split: str = "val",
    views: ViewsName = "centre",
    progress: Callable[[int], object] = lambda _: None,
) -> Calibration:
    """The temperature fitted on a split of a set, and what it is worth on `test`; nothing is changed.

    Without a `test` split, or fitted on it, the figures are of the split itself. Then each half is measured at the
    temperature fitted to the other half, or, where a half is too easy for that, all of it at the one temperature.
    The logits of the split lie in memory, float32: 2 GB for ten views of ImageNet's 50,000 images.

    Args:
        progress: told the number of images of each batch.

    Raises:
        InputError: set and classifier do not fit, `split` is `train`, its images determine no temperature, or the
            answers to them are no better than guessing: wrong as often as classes drawn by lot.
    """
    if split == "train":
        raise InputError(
            "a network is surer of the images that it learnt from than of others: calibrate on `val`, or on `test`."
        )
    require_size(classifier, prepared.size)
    count = len(prepared.split(split))
    if not count:
        raise InputError(f"{prepared.path} has no images in its {split} split; prepare it with --holdout 0.1.")
    logits, labels = _whole(_logits(classifier, prepared, split, views, progress), count)
    _require_better_than_guessing(logits, labels, f"{prepared.path}, {split}")
    found = temperature(logits, labels, f"{prepared.path}, {split}")
    how: Literal["apart", "crosswise", "same"] = "apart"
    if split != "test" and prepared.counts.get("test"):
        measured, columns = "test", []
        for some, truth in _logits(classifier, prepared, "test", views, progress):
            columns.append([seen(some, truth, t) for t in (1.0, found)])
        before, after = (torch.cat(values, 1) for values in zip(*columns, strict=True))
    else:
        measured = split
        each = _crosswise(logits, labels)
        how = "same" if each is None else "crosswise"
        before, after = seen(logits, labels, 1.0), seen(logits, labels, found if each is None else each)
    return Calibration(
        *(found, views, split, len(labels), measured, how),
        before=reliability(before, 1.0),
        after=reliability(after, found),
        confidences=after[0],
        errors=after[1],
    )


def temperature(logits: Tensor, labels: Tensor, where: str = "the images", images: Tensor | None = None) -> float:
    """What logits are divided by so that the mean probability over views has the greatest likelihood, to 6 digits.

    Of one view the loss has a single minimum; of several that is nearly so, hence a look at every power of 2 before
    golden-section search between the neighbours of the best.

    Args:
        logits: float `[N, V, K]`, N at least 1.
        labels: int64 `[N]`, 0..K-1.
        where: what the images are called in an error.
        images: int64, the positions of those that it is fitted to; all by default.

    Raises:
        InputError: logits are not finite, or the likelihood has no maximum: all is answered rightly, or no better
            than by guessing.
    """
    images = torch.arange(len(labels)) if images is None else images
    spread = _spread(logits, images)
    if not math.isfinite(spread):
        raise InputError(f"{where}: the network's outputs are not finite; train into a new run, more slowly.")
    powers = [math.log(spread or 1.0) + k * math.log(2) for k in range(-_DOUBLINGS, _DOUBLINGS + 1)]
    losses = [_loss(logits, labels, images, math.exp(power)) for power in powers]
    best = int(np.argmin(losses))
    if spread == 0 or best == len(powers) - 1:
        raise InputError(
            f"{where}: the answers are no better than guessing, and no temperature changes that: train further, or "
            "take the set that the classifier learnt from."
        )
    if best == 0:
        raise InputError(
            f"{where}: no answer to {counted(len(images), 'image')} is wrong, or hardly one, so there is no doubt to "
            "fit a temperature to; prepare a set with more images held out."
        )
    log = _golden(lambda log: _loss(logits, labels, images, math.exp(log)), powers[best - 1], powers[best + 1])
    return float(f"{math.exp(log):.6g}")


def seen(logits: Tensor, labels: Tensor, temperature: float | Tensor) -> Tensor:
    """float64 `[3, N]`: each image's best probability, its top-1 error, and its loss, of the mean over views.

    Args:
        logits: float `[N, V, K]`.
        labels: int64 `[N]`, 0..K-1.
        temperature: a number, or `[N,1,1]`.
    """
    rows = []
    step = max(1, _BLOCK // logits[0].numel())
    for i in range(0, len(logits), step):
        part = temperature[i : i + step] if isinstance(temperature, Tensor) else temperature
        logs, truth = metrics.averaged(logits[i : i + step].double(), part), labels[i : i + step]
        rows.append(torch.stack([logs.amax(1).exp(), metrics.errors(logs, truth, 1), metrics.losses(logs, truth)]))
    return torch.cat(rows, 1)


def _logits(
    classifier: Classifier, prepared: PreparedSet, split: str, views: ViewsName, progress: Callable[[int], object]
) -> Iterator[tuple[Tensor, Tensor]]:
    """(logits float32 `[n,V,K]`, labels int64 `[n]`) of a split's images in stored order, in main memory."""
    places, shards = joined(classifier, prepared.classes), prepared.split(split)
    require_size(classifier, prepared.size)
    loader = Loader(shards, Loading(), classifier.network.devices[0], cache="none")
    for batch in loader.in_order():
        yield classifier.logits(batch.images, views).cpu(), places[batch.labels.cpu()]
        progress(batch.count)


def _require_better_than_guessing(logits: Tensor, labels: Tensor, where: str) -> None:
    """Nothing; a temperature can be fitted to a guess too, but probabilities of it promise what is not there."""
    answers, wrong, classes = set(), 0.0, logits.shape[2]
    for block in _blocks(logits, torch.arange(len(labels))):
        logs = metrics.averaged(logits[block].double(), 1.0)
        answers |= set(logs.argmax(1).tolist())
        wrong += float(metrics.errors(logs, labels[block], 1).sum())
    error = wrong / len(labels)
    if wrong and error > 1 - 1 / classes - 1e-9:
        told = "the same answer to all of them" if len(answers) == 1 else f"{counted(classes, 'class', 'classes')}"
        raise InputError(
            f"{where}: the answers are no better than guessing ({told}, error {error:.4f}), and no temperature changes "
            "that: train further, or take the set that the classifier learnt from."
        )


def _whole(parts: Iterator[tuple[Tensor, Tensor]], count: int) -> tuple[Tensor, Tensor]:
    """(logits float32 `[N,V,K]`, labels int64 `[N]`) of `count` images; besides them one batch at a time is held."""
    labels = torch.empty(count, dtype=torch.int64)
    logits, done = torch.empty(0), 0
    for some, truth in parts:
        if not done:
            logits = torch.empty(count, *some.shape[1:])
        logits[done : done + len(some)], labels[done : done + len(some)] = some, truth
        done += len(some)
    return logits, labels


def _crosswise(logits: Tensor, labels: Tensor) -> Tensor | None:
    """`[N,1,1]`: for each image the temperature fitted to the half that it is not in; None where that cannot be."""
    order = torch.from_numpy(randomness.permutation(0, "calibration", 0, len(labels)))
    halves = order.tensor_split(2)
    each = torch.empty(len(labels), 1, 1, dtype=torch.float64)
    try:
        for half, other in (halves, halves[::-1]):
            each[half] = temperature(logits, labels, images=other)
    except InputError:
        return None
    return each


def _blocks(logits: Tensor, images: Tensor) -> list[Tensor]:
    """`images` in parts whose logits are few enough to be copied to float64."""
    step = max(1, _BLOCK // logits[0].numel())
    return [images[i : i + step] for i in range(0, len(images), step)]


def _spread(logits: Tensor, images: Tensor) -> float:
    """The mean distance from the least logit to the greatest."""
    total = 0.0
    for block in _blocks(logits, images):
        some = logits[block]
        total += float((some.amax(2) - some.amin(2)).double().sum())
    return total / (len(images) * logits.shape[1])


def _loss(logits: Tensor, labels: Tensor, images: Tensor, temperature: float) -> float:
    """The mean loss over `images`, in float64."""
    total = 0.0
    for block in _blocks(logits, images):
        logs = metrics.averaged(logits[block].double(), temperature)
        total += float(metrics.losses(logs, labels[block]).sum())
    return total / len(images)


def _golden(value: Callable[[float], float], low: float, high: float) -> float:
    """Where `value` is least between `low` and `high`."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = value(left), value(right)
    while high - low > _PRECISION:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = value(right)
    return (low + high) / 2
