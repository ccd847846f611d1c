"""Two networks compared over seeds and images: the difference, how sure it is, and what that allows to say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.experiments.experiment import Verdict

_LEARNT = 0.9  # of the error of always the same answer: above it a network has learnt nothing
_SURE = 1.96  # standard errors on either side: 95 of 100 intervals hold the true difference
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # the same for 1 ... 10 freedoms
_MOST = 10_000


@dataclass(frozen=True)
class Difference:
    """The mean error without a thing minus that with it, as fractions: positive where it helps."""

    mean: float
    of_seeds: float
    """The part of the standard error that other seeds would change; infinite where one run leaves it unknown."""
    of_images: float
    """The part that other test images would change."""
    freedom: float
    """The degrees of freedom of `of_seeds`, by Welch and Satterthwaite."""
    seeds: int
    images: int

    @property
    def standard_error(self) -> float:
        """Of the mean, over seeds and images."""
        return math.hypot(self.of_seeds, self.of_images)

    @property
    def reach(self) -> float:
        """Half the 95 % interval: of a few seeds the spread itself is uncertain, so Student's factor widens it."""
        return _reach(self.of_seeds, self.of_images, self.freedom)

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
        """About how many seeds would decide about `smallest`, were this the mean; None where 10,000 would not.

        The images stay these, and their part of the interval with them.
        """
        if not math.isfinite(self.of_seeds) or self.seeds < 2:
            return None
        one, per_seed = self.of_seeds * math.sqrt(self.seeds), self.freedom / (self.seeds - 1)
        room = self.room(smallest)
        reaches = ((n, _reach(one / math.sqrt(n), self.of_images, per_seed * (n - 1))) for n in range(2, _MOST))
        return next((n for n, reach in reaches if reach < room), None)

    def room(self, smallest: float) -> float:
        """How far the interval may reach for `helps` to decide: to 0 from above, or to `smallest` from below it."""
        return self.mean if self.mean >= smallest else smallest - self.mean

    def to_json(self) -> dict[str, Any]:
        """The difference with its interval, by name; what is not finite is None."""
        whole = {**asdict(self), "standard_error": self.standard_error, "low": self.low, "high": self.high}
        return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in whole.items()}

    @classmethod
    def from_json(cls, numbers: Mapping[str, Any]) -> "Difference":
        """`to_json` undone."""
        given: dict[str, Any] = {f.name: math.inf if (v := numbers[f.name]) is None else v for f in fields(cls)}
        return cls(**given)


def apart(
    without: Sequence[Tensor], with_: Sequence[Tensor], *, fixed: tuple[bool, bool] = (False, False)
) -> Difference:
    """The difference of errors between networks trained apart: one seed gives two of them little in common.

    From one run of a network nothing is known of its spread over seeds: the standard error is infinite.

    Args:
        without, with_: per run, float `[N]`: each image's error, in stored order. The numbers of runs may differ.
        fixed: which of the sides no seed decides, or is taken as it is: an error of its own, over images alone.
    """
    return _difference([(torch.stack(list(without)), torch.stack(list(with_)))], fixed)


def all_apart(one: Sequence[Tensor], others: Mapping[str, Sequence[Tensor]]) -> dict[str, Difference]:
    """The differences of errors between one network and each of the others, as `apart`, over one spread of seeds.

    Two or three runs of a network tell little of their spread: here all the networks' runs tell of it together, each
    about its own network's mean. That takes for granted that the networks spread alike.

    Args:
        one: per run, float `[N]`: each image's error, in stored order.
        others: the same for each of the others, by name; the differences are `one`'s errors less theirs.
    """
    networks = [torch.stack([run.double().mean() for run in runs]) for runs in (one, *others.values())]
    freedom = sum(len(means) - 1 for means in networks)
    square = sum(float(((means - means.mean()) ** 2).sum()) for means in networks) / freedom if freedom else math.inf
    found = {}
    for name, runs in others.items():
        spread = math.sqrt(square / len(one) + square / len(runs))
        found[name] = replace(apart(one, runs), of_seeds=spread, freedom=float(max(1, freedom)))
    return found


def apart_gaps(without: Sequence[tuple[Tensor, Tensor]], with_: Sequence[tuple[Tensor, Tensor]]) -> Difference:
    """The difference of overfitting, test error less training error, between networks trained apart.

    Args:
        without, with_: per run, each image's top-1 error in the test split, and in the training split.
    """
    test, training = (
        (torch.stack([run[part] for run in without]), torch.stack([run[part] for run in with_])) for part in (0, 1)
    )
    return _difference([test, (-training[0], -training[1])], (False, False))


def paired(without: Sequence[Tensor], with_: Sequence[Tensor]) -> Difference:
    """The difference of errors of one network seen in two ways, for each seed; a single one tells of its images.

    Args:
        without, with_: per seed, float `[N]`: each image's error, in stored order.
    """
    gaps = torch.stack(list(without)).double() - torch.stack(list(with_)).double()
    return _difference([(gaps, torch.zeros(1, gaps.shape[1]))], (len(gaps) == 1, True))


def of_values(without: Sequence[float], with_: Sequence[float]) -> Difference:
    """The difference between numbers of networks trained apart, one for each run, where no images are paired."""
    sides = (torch.tensor(list(values), dtype=torch.float64)[:, None] for values in (without, with_))
    bare, full = sides
    found = _difference([(bare, full)], (False, False))
    # Numbers that are all equal, as where they are coarse, do not tell that others would be.
    return Difference(found.mean, found.of_seeds or math.inf, 0.0, found.freedom, found.seeds, 0)


def _difference(parts: Sequence[tuple[Tensor, Tensor]], fixed: tuple[bool, bool]) -> Difference:
    """The difference of sums of parts, each float `[runs, images]` without and with, of images of its own.

    An error is a mean plus what the run, what the image and what both together add to it. The spread of the runs'
    means holds the first and the third; that of the images' means the second and the third, which is taken out of it.
    """
    means = [torch.stack([part[side].double().mean(1) for part in parts]).sum(0) for side in (0, 1)]
    squares = [
        (0.0 if alone else math.inf if len(runs) == 1 else float(runs.var()) / len(runs), len(runs) - 1)
        for runs, alone in zip(means, fixed, strict=True)
    ]
    of_seeds = sum(square for square, _ in squares)
    below = sum(square**2 / freedom for square, freedom in squares if square and freedom)
    freedom = of_seeds**2 / below if below and math.isfinite(below) else float(max(1, squares[0][1], squares[1][1]))
    of_images = 0.0
    for bare, full in parts:
        gap = bare.double().mean(0) - full.double().mean(0)
        both = sum(_together(errors.double()) for errors in (bare, full))
        of_images += max(0.0, float(gap.var(correction=0)) - both) / len(gap)
    return Difference(
        float(means[0].mean() - means[1].mean()),
        math.sqrt(of_seeds),
        math.sqrt(of_images),
        freedom,
        max(len(runs) for runs in means),
        parts[0][0].shape[1],
    )


def _together(errors: Tensor) -> float:
    """The variance of an image's mean over the runs that run and image together make, from `[runs, images]`."""
    runs, images = errors.shape
    if runs == 1 or images == 1:
        return 0.0
    each = float(errors.var(0).mean() - errors.mean(1).var()) * images / (images - 1)
    return max(0.0, each) / runs


def _reach(of_seeds: float, of_images: float, freedom: float) -> float:
    """Half the 95 % interval, with the degrees of freedom of both parts together: the images are many."""
    if not math.isfinite(of_seeds):
        return math.inf
    both = math.hypot(of_seeds, of_images)
    return both * (student(freedom * (both / of_seeds) ** 4) if of_seeds else _SURE)


def unlearnt(error: float, chance: float, what: str = "the network") -> Verdict | None:
    """That nothing can be told from `what`, where it errs on more than nine tenths of what guessing errs on."""
    if error <= _LEARNT * chance:
        return None
    reason = f"{what} errs on {error:.3f} where always the same answer errs on {chance:.3f}: it has learnt nothing."
    return Verdict("not testable here", reason)


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
    if needed := found.seeds_for(smallest):
        way = f"takes about {needed} seeds"
    elif _SURE * found.of_images >= found.room(smallest):
        way = "takes more images than these"
    else:
        way = f"takes more than {_MOST:,} seeds"
    return Verdict("not testable here", f"{shown}; to decide about {least}, were this the mean, {way}.")


def guessing(labels: np.ndarray | Tensor) -> float:
    """The error of always answering the class that is most frequent in these labels, int64 `[N]`."""
    counts = np.bincount(np.asarray(labels))
    return 1 - float(counts.max()) / len(labels)


def student(freedom: float) -> float:
    """How many standard errors lie on either side in a 95 % interval, from so many degrees of freedom, 1 or more."""
    if freedom < 1:
        return math.inf
    if freedom <= len(_STUDENT):
        # Between whole numbers the logarithm is nearly straight over 1 / freedom.
        below = min(int(freedom), len(_STUDENT) - 1)
        share = (1 / freedom - 1 / below) / (1 / (below + 1) - 1 / below)
        return math.exp((1 - share) * math.log(_STUDENT[below - 1]) + share * math.log(_STUDENT[below]))
    z = _SURE  # Cornish and Fisher's expansion: right to 0.001 from here on
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
