"""Section 3.1, figure 1: epochs to 25 % training error on CIFAR-10, rectifiers against tanh, rates tuned apart."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from alexnet import drawing, recipes
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import Difference, of_values
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.sweeps.trial import Epochs, Trial, trial
from alexnet.training.recipe import Recipe

_LEVEL = 0.25
_SMALLEST = 3.0
_CHANCE = 2.0  # one run of each shows no spread: its ratio decides only where half and twice of it decide the same
_LADDER = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)
_FIRST = 0.001  # cuda-convnet's rate for its CIFAR-10 nets
_LOOK = 1 / 3
_CLAIM = "A four-layer net of rectifiers reaches 25 % training error on CIFAR-10 several times faster than one of tanh."
_RULE = (
    f"Each net at the rate that reaches {_LEVEL:.0%} training error first, or else has the lowest: up or down a ladder "
    "of rates until both neighbours are worse. Reproduced where the epochs of tanh over those of the rectifiers (a "
    f"lower bound counts where tanh does not get there) are at least {_SMALLEST:g}, the mean of logarithms over seeds, "
    "and their 95 % interval lies above 1, unless tanh's best rate lies at the ladder's end. Not reproduced where the "
    f"interval lies below {_SMALLEST:g}, unless the rectifiers' rate lies at the end. One run of each has no interval: "
    f"it is reproduced from {_CHANCE * _SMALLEST:g} on, not reproduced below {_SMALLEST / _CHANCE:g}. Else not "
    "testable here, as where the rectifiers do not get there, a run of tanh breaks, or the bound is too low to tell."
)
_COST = "full: 2 nets x 3 or more rates x up to 40 epochs, 3 seeds of the best; reduced: some 110 epochs, 2 seeds"


def _measure(bench: Bench) -> Measured:
    nets = {name: _net(bench, name) for name in ("relu", "tanh")}
    numbers: dict[str, Any] = {"level": _LEVEL, "cap": _capped(bench, "relu").schedule.epochs, **nets}
    ratio, bound = _ratio(numbers), None in nets["tanh"]["reached"]
    numbers |= {"ratio": ratio, "at_least": bound}
    ours = f"the rectifiers did not reach {_LEVEL:.0%}"
    if ratio is not None:
        relu, tanh = (2 ** fmean(_doublings(nets[name]["reached"], numbers["cap"])) for name in ("relu", "tanh"))
        more = "more than " * bound
        ours = f"{more}{ratio:.1f} times fewer epochs ({relu:.1f} against {more}{tanh:.1f})"
    tables = {"Rates": _rates(nets), "Seeds": _seeds(nets)}
    return Measured(numbers, ours, {"curves": _drawn(numbers)}, tables, _remarks(bench, numbers))


def _net(bench: Bench, name: str) -> dict[str, Any]:
    """The rates tried for one net, the best one, and when each seed's run at that rate crossed the level."""
    base = _capped(bench, name)
    cap, look = base.schedule.epochs, _look(bench, base)
    tried: dict[float, list[float]] = {}

    def cost(rate: float) -> tuple[int, float]:
        # A rate that has not crossed when the best of the others had, cannot be better.
        known = [reached for errors in tried.values() if (reached := crossing(errors)) is not None]
        limit = min(look, math.ceil(min(known) + 0.5)) if known else look
        tried[rate] = _errors(_run(bench, base, rate, 0, limit))
        return _rank(tried[rate])

    best, inside = climb(_LADDER, _FIRST, cost)
    runs = [_errors(_run(bench, base, best, seed, cap)) for seed in bench.seeds()]
    return {
        "rate": best,
        "inside": inside,
        "look": look,
        "tried": {f"{rate:g}": errors for rate, errors in sorted(tried.items())},
        "errors": runs,
        "reached": [crossing(errors) for errors in runs],
    }


def _run(bench: Bench, base: Recipe, rate: float, seed: int, limit: int) -> Trial:
    """The run at `rate`, ended where it crosses the level or after `limit` epochs."""

    def stop(epochs: Epochs) -> bool:
        return len(epochs) >= limit or _of(epochs)[-1] <= _LEVEL

    setting = {"optimiser.learning_rate": rate}
    run = trial(base, setting, seed, bench.data, bench.runs, bench.machine, stop=stop, say=bench.say)
    bench.used[run.run.name] = run.recipe
    return run


def climb(ladder: Sequence[float], first: float, cost: Callable[[float], Any]) -> tuple[float, bool]:
    """(the best value found on `ladder`, whether both its neighbours were tried and are worse).

    Begins with `first` and its neighbours; as long as the best lies at the edge of what was tried, its next neighbour
    is tried too. The second is False where the best lies at the ladder's end.

    Args:
        cost: what a value costs; lower is better. Asked once for each value.
    """
    at = ladder.index(first)
    costs: dict[int, Any] = {}
    wanted = [at]
    while wanted:
        for place in wanted:
            costs[place] = cost(ladder[place])
        best = min(costs, key=lambda place: costs[place])
        beside = [place for place in (best + 1, best - 1) if 0 <= place < len(ladder)]
        wanted = [place for place in beside if place not in costs]
    return ladder[best], len(beside) == 2


def crossing(errors: Sequence[float]) -> float | None:
    """The epochs after which the training error falls to the level, None where it does not.

    Between epochs it is interpolated. An epoch's error is the mean over its steps, so it stands at the epoch's middle;
    before the first stands nothing.
    """
    for number, error in enumerate(errors):
        if error <= _LEVEL:
            before = errors[number - 1] if number else error
            share = (before - _LEVEL) / (before - error) if before > error else 1.0
            return number - 0.5 + share
    return None


def _rank(errors: Sequence[float]) -> tuple[int, float]:
    """Lower is better: first what crosses the level, by when; then the rest by their error; broken runs last."""
    reached = crossing(errors)
    if reached is not None:
        return 0, reached
    return (1, errors[-1]) if errors else (2, 0.0)


def _errors(run: Trial) -> list[float]:
    """The training errors of its epochs; none of a broken run."""
    return [] if run.state == "broken" else _of(run.epochs)


def _of(epochs: Epochs) -> list[float]:
    return [float(line["training"]["top1_error"]) for line in epochs]


def _capped(bench: Bench, name: str) -> Recipe:
    return bench.budget.shrink(recipes.named(f"cifar10-{name}"))


def _look(bench: Bench, base: Recipe) -> int:
    """How long rates are compared: to the end with the full budget, else for a third of it."""
    epochs = base.schedule.epochs
    return epochs if bench.budget.epochs >= 1 else max(1, round(epochs * _LOOK))


def _doublings(reached: Sequence[float | None], cap: int) -> list[float]:
    """The logarithms of epochs to base 2; those of the last known error for runs that did not cross: lower bounds."""
    return [math.log2(cap - 0.5 if one is None else one) for one in reached]


def _found(numbers: Numbers) -> Difference | None:
    """The doublings between the epochs of the rectifiers and those of tanh; None where the rectifiers do not cross."""
    relu, tanh, cap = numbers["relu"]["reached"], numbers["tanh"]["reached"], numbers["cap"]
    return None if None in relu else of_values(_doublings(tanh, cap), _doublings(relu, cap))


def _ratio(numbers: Numbers) -> float | None:
    return None if (found := _found(numbers)) is None else float(2**found.mean)


def _judge(numbers: Numbers) -> Verdict:
    relu, tanh, cap = numbers["relu"], numbers["tanh"], numbers["cap"]
    found, bound = _found(numbers), None in tanh["reached"]
    if found is None:
        best = min(errors[-1] if errors else 1.0 for errors in relu["errors"])
        return Verdict(
            "not testable here", f"the rectifiers did not reach {_LEVEL:.0%} in {cap} epochs (best run: {best:.1%})."
        )
    if not all(tanh["errors"]):
        return Verdict("not testable here", f"a run of tanh broke at its best rate, {tanh['rate']:g}: no bound at all.")
    ratio, alone = 2**found.mean, found.seeds == 1
    low, high = (ratio / _CHANCE, ratio * _CHANCE) if alone else (2**found.low, 2**found.high)
    sure = "one run of each" if alone else f"95 % from {low:.1f} to {high:.1f}, {found.seeds} seeds"
    shown = f"tanh takes {'more than ' * bound}{ratio:.1f} times the epochs of the rectifiers ({sure}; rates "
    shown += f"{tanh['rate']:g} and {relu['rate']:g})"
    if low >= _SMALLEST or (not alone and ratio >= _SMALLEST and low > 1):
        if tanh["inside"]:
            return Verdict("reproduced", f"{shown}; at least {_SMALLEST:g} was asked for.")
        return Verdict("not testable here", f"{shown}, but tanh's rate lies at the ladder's end: a better one may be.")
    if bound:
        return Verdict("not testable here", f"{shown}: too low a bound; tanh needs more than {cap} epochs.")
    if high >= _SMALLEST:
        why = f"it tells only from {_CHANCE * _SMALLEST:g} on, or below {_SMALLEST / _CHANCE:g}"
        why = why if alone else f"to tell {_SMALLEST:g} takes more seeds"
        return Verdict("not testable here", f"{shown}; {why}.")
    if not relu["inside"]:
        return Verdict("not testable here", f"{shown}, but the rectifiers' rate lies at the ladder's end.")
    return Verdict("not reproduced", f"{shown}; at least {_SMALLEST:g} was asked for.")


def _rates(nets: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "net": name,
            "learning rate": float(rate),
            "epochs": len(errors),
            "training error": errors[-1] if errors else "broke",
            "epochs to 25 %": crossing(errors),
        }
        for name, net in nets.items()
        for rate, errors in net["tried"].items()
    ]


def _seeds(nets: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "net": name,
            "learning rate": net["rate"],
            "seed": seed,
            "epochs": len(errors),
            "training error": errors[-1] if errors else "broke",
            "epochs to 25 %": reached,
        }
        for name, net in nets.items()
        for seed, (errors, reached) in enumerate(zip(net["errors"], net["reached"], strict=True))
    ]


def _drawn(numbers: Numbers) -> Figure:
    """Training error against epochs at the best rates, as the paper's figure: rectifiers solid, tanh dashed."""
    figure = drawing.figure(6, 4)
    axes = drawing.plain(figure.subplots())
    drawing.title(axes, "Training error on CIFAR-10, each net at its own best rate")
    for name, label, colour, dashes in (
        ("relu", "rectifiers", drawing.BLUE, "-"),
        ("tanh", "tanh", drawing.ORANGE, "--"),
    ):
        net = numbers[name]
        for seed, errors in enumerate(net["errors"]):
            places = [number + 0.5 for number in range(len(errors))]
            told = f"{label}, rate {net['rate']:g}" if seed == 0 else None
            axes.plot(places, errors, dashes, color=colour, linewidth=1.6, marker=".", markersize=4, label=told)
    axes.axhline(numbers["level"], color=drawing.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 0.9)
    axes.set_xlim(left=0)
    axes.set_xlabel("epochs", fontsize=8, color=drawing.MUTED)
    axes.legend(frameon=False, fontsize=8, labelcolor=drawing.INK)
    return figure


def _remarks(bench: Bench, numbers: Numbers) -> tuple[str, ...]:
    count, look, cap = bench.prepared.counts["train"], numbers["relu"]["look"], numbers["cap"]
    remarks = [
        "The paper does not describe its net; this one is the three convolutions and the dense layer of the authors' "
        "cuda-convnet (its 18 % net) without norms and decay.",
        f"An epoch is {count:,} training images. Its error is the mean over its steps, drawn at its middle.",
    ]
    if look < cap:
        remarks.append(
            f"Rates are compared over the first {look} epochs; only the best goes on to {cap}. A rate that is slower "
            "at first and faster later would be missed."
        )
    return tuple(remarks)


EXPERIMENTS = (
    Experiment(
        "figure1",
        "3.1, figure 1",
        _CLAIM,
        "about 6 times fewer epochs (some 6 against 36)",
        "cifar10",
        _COST,
        _RULE,
        Budget("reduced", epochs=0.75, seeds=2),
        _measure,
        _judge,
    ),
)
