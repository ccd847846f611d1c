"""Two networks compared over seeds and images: the difference, how sure it is, and what that allows to say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.evaluation.evaluate import Evaluation
from alexnet.experiments.experiment import Verdict

LEARNT = 0.9  # of the error of always the same answer: above it a network has learnt nothing
_SURE = 1.96  # standard errors on either side: 95 of 100 intervals hold the true difference
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # the same for 1 ... 10 freedoms
_MOST = 10_000


@dataclass(frozen=True)
class Difference:
    """The mean over seeds of error without a thing minus error with it, as fractions: positive where it helps."""

    mean: float
    standard_error: float
    """Over seeds where there are two or more, but never less than that of the test images; infinite where networks
    trained apart have one run each."""
    spread: float | None
    """The standard deviation over seeds; None for one seed."""
    seeds: int
    images: int
    freedom: int | None = None
    """How many independent deviations `spread` was taken from; seeds - 1 when not given."""

    @property
    def reach(self) -> float:
        """Half the 95 % interval: of a few seeds the spread itself is uncertain, so Student's factor widens it."""
        if not self.spread:
            return _SURE * self.standard_error
        of_seeds = student(self.freedom or self.seeds - 1) * self.spread / math.sqrt(self.seeds)
        return max(_SURE * self.standard_error, of_seeds)

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return self.mean - self.reach

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.mean + self.reach

    @property
    def points(self) -> str:
        """The mean in points, a hundredth each, with its standard error where that is known."""
        known = math.isfinite(self.standard_error)
        return f"{100 * self.mean:+.1f} ± {f'{100 * self.standard_error:.1f}' if known else 'unknown'} points"

    def seeds_for(self, smallest: float) -> int | None:
        """About how many seeds would tell an effect of `smallest` from none; None where nobody can say."""
        one = max(self.spread or 0.0, self.standard_error * math.sqrt(self.seeds))
        if not math.isfinite(one):
            return None
        per_seed = (self.freedom or self.seeds - 1) / (self.seeds - 1) if self.seeds > 1 else 1.0
        counts = range(2, _MOST)
        enough = (n for n in counts if student(round(per_seed * (n - 1))) * one <= smallest * math.sqrt(n))
        return next(enough, None)

    def to_json(self) -> dict[str, Any]:
        """The difference with its interval, by name; what is not finite is None."""
        whole = {**asdict(self), "low": self.low, "high": self.high}
        return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in whole.items()}

    @classmethod
    def from_json(cls, numbers: Mapping[str, Any]) -> "Difference":
        """`to_json` undone."""
        given = {field.name: numbers[field.name] for field in fields(cls) if field.name in numbers}
        return cls(**{**given, "standard_error": math.inf if (e := numbers["standard_error"]) is None else e})


def paired(without: Sequence[Tensor], with_: Sequence[Tensor], *, independent: bool = False) -> Difference:
    """The difference of errors between pairs of runs on the same images.

    Args:
        without, with_: per seed, float `[N]`: each image's top-1 error, in stored order.
        independent: whether a pair are two networks, trained apart: one seed then gives them little in common, and
            the spread is taken from the runs of each, which are twice as many deviations; from one run of each
            nothing is known of it, and the standard error is infinite. Otherwise a pair is one network seen in two
            ways.
    """
    return _difference([(torch.stack(list(without)), torch.stack(list(with_)))], independent)


def apart(without: Sequence[Evaluation], with_: Sequence[Evaluation]) -> Difference:
    """The difference of top-1 errors between networks trained apart, a pair for each seed, on the same images."""
    errors = ([found.top1_errors for found in evaluations] for evaluations in (without, with_))
    return paired(*errors, independent=True)


def paired_gaps(
    without: Sequence[tuple[Tensor, Tensor]], with_: Sequence[tuple[Tensor, Tensor]], *, independent: bool = False
) -> Difference:
    """The difference of overfitting, test error less training error, between pairs of runs.

    Args:
        without, with_: per seed, each image's top-1 error in the test split, and in the training split.
        independent: as for `paired`.
    """
    test, training = (
        (torch.stack([run[part] for run in without]), torch.stack([run[part] for run in with_])) for part in (0, 1)
    )
    return _difference([test, (-training[0], -training[1])], independent)


def _difference(parts: Sequence[tuple[Tensor, Tensor]], independent: bool) -> Difference:
    """The difference of sums of parts, each float `[seeds, images]` without and with, of images of its own."""
    seeds, images = parts[0][0].shape
    bare, full = (torch.stack([part[side].double().mean(1) for part in parts]).sum(0) for side in (0, 1))
    gaps = [(part[0].double() - part[1].double()).mean(0) for part in parts]
    of_images = math.sqrt(sum(float(gap.var(correction=0)) / len(gap) for gap in gaps))
    spread, freedom = None, None
    if seeds > 1:
        spread = math.sqrt(float(bare.var() + full.var())) if independent else float((bare - full).std())
        freedom = (seeds - 1) * (2 if independent else 1)
    of_seeds = spread / math.sqrt(seeds) if spread is not None else math.inf if independent else 0.0
    return Difference(float((bare - full).mean()), max(of_images, of_seeds), spread, seeds, images, freedom)


def of_values(
    without: Sequence[float], with_: Sequence[float], images: int = 0, *, independent: bool = False
) -> Difference:
    """The difference between pairs of numbers, one of each for a seed, where no images are paired.

    With one seed nothing is known of its error: the standard error is infinite.
    """
    bare, full = np.asarray(without, float), np.asarray(with_, float)
    seeds, spread, freedom = len(bare), None, None
    if seeds > 1:
        spread = float(math.hypot(bare.std(ddof=1), full.std(ddof=1)) if independent else (bare - full).std(ddof=1))
        freedom = (seeds - 1) * (2 if independent else 1)
    error = spread / math.sqrt(seeds) if spread is not None else math.inf
    return Difference(float((bare - full).mean()), error, spread, seeds, images, freedom)


def helps(
    found: Difference, smallest: float, what: str, saved: str = "points of top-1 error", scale: float = 100
) -> Verdict:
    """Whether `what` lowers the error by something that counts.

    Reproduced: the interval lies above 0 and the mean is at least `smallest`. Not reproduced: the interval lies below
    `smallest`. Otherwise these images and seeds cannot tell.

    Args:
        saved: what the numbers times `scale` are.
    """
    digits = 1 if scale == 100 else 3
    mean, low, high, least = (f"{scale * value:+.{digits}f}" for value in (found.mean, found.low, found.high, smallest))
    of = f"{found.seeds} seed{'s' * (found.seeds > 1)}" + (f", {found.images} images" if found.images else "")
    shown = f"{what}: {mean} {saved} saved, 95 % from {low} to {high} ({of})"
    if found.low > 0 and found.mean >= smallest:
        return Verdict("reproduced", f"{shown}.")
    if found.high < smallest:
        return Verdict("not reproduced", f"{shown}; at least {least} was asked for.")
    if not math.isfinite(found.standard_error):
        shown = f"{what}: {mean} {saved} saved ({of})"
        return Verdict("not testable here", f"{shown}; one run of each cannot tell what is left to chance.")
    needed = found.seeds_for(smallest)
    way = f"takes about {needed} seeds" if needed else "takes more seeds than can be told from these"
    return Verdict("not testable here", f"{shown}; to tell {least} {way}.")


def guessing(labels: np.ndarray | Tensor) -> float:
    """The error of always answering the class that is most frequent in these labels, int64 `[N]`."""
    counts = np.bincount(np.asarray(labels))
    return 1 - float(counts.max()) / len(labels)


def student(freedom: int) -> float:
    """How many standard errors lie on either side in a 95 % interval, from so many independent deviations."""
    if freedom < 1:
        return math.inf
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _SURE  # Cornish and Fisher's expansion: right to 0.001 from here on
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
