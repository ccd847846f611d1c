"""Two networks compared over seeds and images: the difference, how sure it is, and what that allows to say."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.experiments.experiment import Verdict

_SURE = 1.96  # standard errors on either side: 95 of 100 intervals hold the true difference


@dataclass(frozen=True)
class Difference:
    """The mean over seeds of error without a thing minus error with it, as fractions: positive where it helps."""

    mean: float
    standard_error: float
    """Over seeds where there are two or more, but never less than that of the test images."""
    spread: float | None
    """The standard deviation over seeds; None for one seed."""
    seeds: int
    images: int

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return self.mean - _SURE * self.standard_error

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.mean + _SURE * self.standard_error

    def seeds_for(self, smallest: float) -> int:
        """How many seeds would tell an effect of `smallest` from none, were images not the limit."""
        one = self.spread if self.spread else self.standard_error * math.sqrt(self.seeds)
        return max(2, math.ceil((_SURE * one / smallest) ** 2))

    def to_json(self) -> dict[str, Any]:
        """The difference with its interval, by name."""
        return {**asdict(self), "low": self.low, "high": self.high}


def paired(without: Sequence[Tensor], with_: Sequence[Tensor]) -> Difference:
    """The difference of errors between pairs of runs on the same images.

    Args:
        without, with_: per seed, float `[N]`: each image's top-1 error, in stored order.
    """
    gaps = torch.stack([a.double() - b.double() for a, b in zip(without, with_, strict=True)])
    seeds, images = gaps.shape
    means = gaps.mean(1)
    of_images = float(gaps.mean(0).std(correction=0)) / math.sqrt(images)
    spread = float(means.std()) if seeds > 1 else None
    of_seeds = spread / math.sqrt(seeds) if spread is not None else 0.0
    return Difference(float(means.mean()), max(of_images, of_seeds), spread, seeds, images)


def of_values(without: Sequence[float], with_: Sequence[float], images: int = 0) -> Difference:
    """The difference between pairs of numbers, one of each for a seed, where no images are paired.

    With one seed nothing is known of its error: the standard error is infinite.
    """
    gaps = np.asarray(without, float) - np.asarray(with_, float)
    spread = float(gaps.std(ddof=1)) if len(gaps) > 1 else None
    error = spread / math.sqrt(len(gaps)) if spread is not None else math.inf
    return Difference(float(gaps.mean()), error, spread, len(gaps), images)


def helps(found: Difference, smallest: float, what: str) -> Verdict:
    """Whether `what` lowers the error by something that counts.

    Reproduced: the interval lies above 0 and the mean is at least `smallest`. Not reproduced: the interval lies below
    `smallest`. Otherwise these images and seeds cannot tell.
    """
    shown = f"{what}: {100 * found.mean:+.1f} points of top-1 error saved, 95 % from {100 * found.low:+.1f} to "
    shown += f"{100 * found.high:+.1f} ({found.seeds} seed{'s' * (found.seeds > 1)}, {found.images} images)"
    if found.low > 0 and found.mean >= smallest:
        return Verdict("reproduced", f"{shown}.")
    if found.high < smallest:
        return Verdict("not reproduced", f"{shown}; at least {100 * smallest:.1f} was asked for.")
    needed = found.seeds_for(smallest)
    return Verdict("not testable here", f"{shown}; to tell {100 * smallest:.1f} points takes about {needed} seeds.")
