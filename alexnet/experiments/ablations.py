"""Sections 3.2 to 3.4, 4.1 and 7 on photographs: the network with a part against the same network without it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import Difference, helps, paired
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.training.recipe import Recipe

_REDUCED = Budget("reduced", epochs=0.2, width=0.25, seeds=2)
_COST = "full: 2 recipes x 3 seeds, whole schedules; reduced: a quarter of the width, a fifth of the epochs, 2 seeds"
_CONV = Literal["conv1", "conv2", "conv3", "conv4", "conv5"]


def _measure(bench: Bench, what: str, without: Callable[[Recipe], Recipe]) -> Measured:
    """Errors with and without, a run of each for each seed, on the same images."""
    with_ = [bench.evaluate(bench.train(bench.base, seed)) for seed in bench.seeds()]
    bare = [bench.evaluate(bench.train(without(bench.base), seed)) for seed in bench.seeds()]
    found = paired([result.top1_errors for result in bare], [result.top1_errors for result in with_])
    rows = [
        {"network": name, "seed": seed, "top-1 error": result.top1_error, "top-5 error": result.top5_error}
        for name, results in (("with", with_), ("without", bare))
        for seed, result in enumerate(results)
    ]
    ours = f"{100 * found.mean:+.1f} ± {100 * found.standard_error:.1f} points of top-1 error without {what}"
    return Measured({"difference": found.to_json()}, ours, tables={"Errors": rows})


def _judge(numbers: Numbers, what: str, smallest: float) -> Verdict:
    fields = Difference.__dataclass_fields__
    found = Difference(**{name: numbers["difference"][name] for name in fields})
    return helps(found, smallest, what)


def _ablation(
    name: str, section: str, claim: str, paper: str, what: str, smallest: float, without: Callable[[Recipe], Recipe]
) -> Experiment:
    rule = (
        f"Reproduced where the 95 % interval of (error without - error with) lies above 0 and its mean is at least "
        f"{100 * smallest:.1f} points; not reproduced where the interval lies below that; else not testable here."
    )
    measure = partial(_measure, what=what, without=without)
    judge = partial(_judge, what=what, smallest=smallest)
    return Experiment(name, section, claim, paper, "photographs", _COST, rule, _REDUCED, measure, judge)


def _model(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, model=replace(recipe.model, **changes))  # type: ignore[arg-type]


def _removed(conv: _CONV) -> Experiment:
    return _ablation(
        f"without-{conv}",
        "7",
        f"Removing {conv} makes the network worse.",
        "about 2 points of top-1 error (for a middle layer)",
        conv,
        0.01,
        lambda recipe: _model(recipe, without=(conv,)),
    )


EXPERIMENTS = (
    _ablation(
        "towers",
        "3.2",
        "Two towers are better than a network with half as many kernels, trained on one GPU.",
        "1.7 points of top-1 error, 1.2 of top-5",
        "the second tower",
        0.01,
        lambda recipe: _model(recipe, towers=1, kernels=(48, 128, 192, 192, 256)),
    ),
    *(_removed(conv) for conv in ("conv1", "conv2", "conv3", "conv4", "conv5")),
)
