"""A part of the system taken away: the network with it against the same network without it, seen in the same way.

Four numbers are taken of every pair: the top-1 and top-5 error, the training error, and how far the network overfits,
which is the first less the third. All are of the centre view without dropout, so that test and training images are
shown alike; of the training images as many as there are test images, the first in the stored (shuffled) order.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, Literal

from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.evaluation.evaluate import Evaluation
from alexnet.experiments.bench import REDUCED, Bench, Budget
from alexnet.experiments.comparison import Difference, apart, apart_gaps, guessing, helps, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.model.alexnet import AlexNetConfig
from alexnet.training.recipe import Recipe

Effect = Literal["top-1 error", "top-5 error", "training error", "overfitting"]

FULL = Budget("full", rates=(0.5, 1.0, 2.0))
COST = (
    "full: 2 recipes x 3 seeds and 2 more learning rates, whole schedules; reduced: a quarter of the width, "
    "10 of 40 epochs, 3 seeds, 20 minutes on one core with AMX; the runs with everything on are shared"
)
_FITS = 0.5  # of that error on training images: above it nothing can have overfitted


@dataclass(frozen=True)
class Ablation:
    """A part, and the recipes with and without it; more recipes may be shown beside them."""

    what: str
    without: Callable[[Bench], Recipe]
    with_: Callable[[Bench], Recipe] = lambda bench: bench.base
    beside: Mapping[str, Callable[[Bench], Recipe]] | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """One run, measured on the test images and on training images."""

    test: Evaluation
    training: Evaluation

    @property
    def overfitting(self) -> float:
        """The test error less the training error."""
        return self.test.top1_error - self.training.top1_error


def ablation(
    name: str,
    section: str,
    claim: str,
    paper: str,
    part: Ablation,
    effect: Effect,
    smallest: float,
    printed: Mapping[str, float] | None = None,
    remarks: tuple[str, ...] = (),
) -> Experiment:
    """The experiment that takes `part` away and judges by `effect`.

    Args:
        smallest: the smallest effect that counts, as a fraction.
        printed: the paper's effects, as fractions, for the figure.
    """
    rule = (
        f"{effect.capitalize()} without {part.what} less with it: reproduced where the 95 % interval over seeds and "
        f"images lies above 0 and the mean is at least {100 * smallest:.1f} points; not reproduced where the interval "
        f"lies below that; else not testable here, nor where the network with everything has learnt nothing."
    )
    if effect == "overfitting":
        rule += (
            f" Nor where the network without {part.what} errs on {_FITS:.0%} or more of what guessing errs on, on "
            "training images: it does not fit them, so it cannot have overfitted."
        )
    measure = partial(_measure, part=part, effect=effect, printed=printed or {}, remarks=remarks)
    judge = partial(_judge, what=part.what, effect=effect, smallest=smallest)
    return Experiment(name, section, claim, paper, "photographs", COST, rule, REDUCED, measure, judge, FULL)


def changed(recipe: Recipe, **fields: Any) -> Recipe:
    """`recipe` with other fields of its network."""
    assert isinstance(recipe.model, AlexNetConfig)
    return replace(recipe, model=replace(recipe.model, **fields))


def without(**fields: Any) -> Callable[[Bench], Recipe]:
    """The bench's base with other fields of its network."""
    return lambda bench: changed(bench.base, **fields)


def seen(bench: Bench, recipe: Recipe) -> list[Seen]:
    """A run of `recipe` for each seed, measured."""
    count = len(bench.prepared.split(bench.split))
    runs = [bench.train(recipe, seed) for seed in bench.seeds()]
    return [Seen(bench.evaluate(run), bench.evaluate(run, split="train", first=count)) for run in runs]


def differences(bare: list[Seen], full: list[Seen]) -> dict[str, Difference]:
    """Each effect: the number without a part less that with it, over seeds and images."""
    gaps = ([(run.test.top1_errors, run.training.top1_errors) for run in runs] for runs in (bare, full))
    return {
        "top-1 error": apart([run.test.top1_errors for run in bare], [run.test.top1_errors for run in full]),
        "top-5 error": apart([run.test.top5_errors for run in bare], [run.test.top5_errors for run in full]),
        "training error": apart([run.training.top1_errors for run in bare], [run.training.top1_errors for run in full]),
        "overfitting": apart_gaps(*gaps),
    }


def trained_on(bench: Bench) -> str:
    """The remark that says what the photographs are."""
    prepared = bench.prepared
    count, classes = prepared.counts["train"], len(prepared.classes)
    return f"Trained on {count:,} photographs of {classes} classes; the paper's number is of 1.2 million of 1000."


def intervals(
    title: str, found: Mapping[str, Difference], printed: Mapping[str, float], unit: str = "points", scale: float = 100
) -> Figure:
    """Each difference times `scale` with its 95 % interval, the paper's beside it as a diamond."""
    figure = drawing.figure(7, 0.9 + 0.42 * len(found))
    axes = drawing.plain(figure.subplots())
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=drawing.GRID, linewidth=0.8)
    axes.axvline(0, color=drawing.MUTED, linewidth=1)
    for row, (name, difference) in enumerate(found.items()):
        reach = scale * difference.reach if math.isfinite(difference.reach) else None
        axes.errorbar(scale * difference.mean, row, xerr=reach, fmt="o", color=drawing.BLUE, capsize=3)
        if name in printed:
            axes.plot(scale * printed[name], row, "D", color=drawing.ORANGE, markersize=7)
    axes.plot([], [], "o", color=drawing.BLUE, label="ours, 95 %")
    if printed:
        axes.plot([], [], "D", color=drawing.ORANGE, label="the paper")
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlabel(f"{unit} without it, less with it", fontsize=8, color=drawing.INK)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    drawing.title(axes, title)
    return figure


def table(networks: Mapping[str, list[Seen]]) -> list[dict[str, Any]]:
    """A row for each run."""
    return [
        {
            "network": name,
            "seed": seed,
            "top-1 error": run.test.top1_error,
            "top-5 error": run.test.top5_error,
            "training error": run.training.top1_error,
            "overfitting": run.overfitting,
        }
        for name, runs in networks.items()
        for seed, run in enumerate(runs)
    ]


def _measure(
    bench: Bench, part: Ablation, effect: Effect, printed: Mapping[str, float], remarks: tuple[str, ...]
) -> Measured:
    full, bare = seen(bench, part.with_(bench)), seen(bench, part.without(bench))
    others = {name: seen(bench, recipe(bench)) for name, recipe in (part.beside or {}).items()}
    found = differences(bare, full)
    judged = found[effect]
    ours = f"{100 * judged.mean:+.1f} points of {effect} without {part.what} (95 %: {_ends(judged)})"
    numbers = {
        "differences": {name: difference.to_json() for name, difference in found.items()},
        "error": fmean(run.test.top1_error for run in full),
        "guessing": guessing(full[0].test.labels),
        "bare training error": fmean(run.training.top1_error for run in bare),
        "guessing in training": guessing(bare[0].training.labels),
    }
    shown = f"{full[0].training.images:,} training images and {full[0].test.images:,} others, centre view, no dropout."
    return Measured(
        numbers,
        ours,
        {"differences": intervals(f"Without {part.what}", found, printed)},
        {"Errors": table({"with": full, "without": bare, **others})},
        (trained_on(bench), _rates(bench), f"Errors are of {shown}", *remarks),
    )


def _rates(bench: Bench) -> str:
    """The remark that says at which rates the networks were trained."""
    if bench.budget.rates:
        return "Each network is trained at the best of several learning rates, tried with its first seed."
    return "All are trained at the learning rate that was chosen for the network with everything."


def _judge(numbers: Numbers, what: str, effect: Effect, smallest: float) -> Verdict:
    if nothing := unlearnt(numbers["error"], numbers["guessing"], "the network with everything"):
        return nothing
    error, chance = numbers["bare training error"], numbers["guessing in training"]
    if effect == "overfitting" and error >= _FITS * chance:
        reason = f"without {what} the network still errs on {error:.3f} of training images (guessing: {chance:.3f}): "
        return Verdict("not testable here", f"{reason}it does not fit them, so it cannot have overfitted.")
    return helps(Difference.from_json(numbers["differences"][effect]), smallest, what, f"points of {effect}")


def _ends(found: Difference) -> str:
    if not math.isfinite(found.standard_error):
        return "not known from one run of each"
    return f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
