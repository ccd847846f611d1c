"""Section 4.2 on photographs: overfitting without dropout, what dropout costs in time, and the network of all masks."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import devices, drawing, randomness
from alexnet.data.loader import Loader, Loading
from alexnet.data.views import centre_view
from alexnet.evaluation import metrics
from alexnet.evaluation.classifier import Classifier
from alexnet.experiments.ablations import FULL, Ablation, ablation, trained_on, without
from alexnet.experiments.bench import REDUCED, Bench, Budget
from alexnet.experiments.comparison import Difference, guessing, helps, of_values, paired, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.model import rows
from alexnet.model.network import Network
from alexnet.training.finished import epochs
from alexnet.training.recipe import Recipe
from alexnet.training.run import Run
from alexnet.training.schedule import Milestones

_MASKS = 50
_VERSION = 1  # of what `masked` finds
_WITHIN = 0.01  # of the error of the mean of all masks
_NEAR = 0.5  # of a single mask's distance from the mean
_MARGIN = 0.02  # of error: so near its lowest a network has converged
_FLAT = 0.8  # of the epochs: what comes so near later may not have ended
_SLOWER = math.log2(1.5)  # doublings of the epochs; the paper has about 1


def masked(network: Network, images: Tensor, masks: Sequence[Tensor]) -> dict[str, Tensor]:
    """Log-probabilities float32 `[N, K]`: of the test network, and of means over networks with sampled masks.

    "halved" multiplies by the share kept (section 4.2), "geometric" and "arithmetic" are means of the softmax over all
    of `masks`, "single" is the first of them.

    Args:
        images: float `[N, 3, side, side]`.
        masks: for each mask int64 keys `[N]`.
    """
    names = [row.name for row in network.rows]
    first = next(number for number, row in enumerate(network.rows) if isinstance(row, rows.Dropout))
    training = network.training
    halved = network.eval()(images).log_softmax(1)
    units = network.stages(images, only=[names[first - 1]])[names[first - 1]]
    network.train()
    logs = torch.stack([_through(network, first, units, keys).log_softmax(1) for keys in masks])
    network.train(training)
    arithmetic = logs.logsumexp(0) - math.log(len(masks))
    return {"halved": halved, "geometric": logs.mean(0).log_softmax(1), "arithmetic": arithmetic, "single": logs[0]}


def _through(network: Network, first: int, units: Tensor, keys: Tensor) -> Tensor:
    """The logits of `units`, which row number `first` reads."""
    for row in network.rows[first:]:
        module = network.get_submodule(row.name)
        units = module(units, keys) if isinstance(row, rows.Dropout) else module(units)
    return units


def _masks_of(bench: Bench, run: Run) -> dict[str, Tensor]:
    """`masked` on the test images, and their "labels"."""

    def compute() -> dict[str, Tensor]:
        device = devices.choose(bench.machine.devices[0])
        classifier = Classifier.load(run.path, str(device))
        shards = bench.prepared.split(bench.split)
        parts: list[dict[str, Tensor]] = []
        with torch.no_grad():
            for batch in Loader(shards, Loading(batch=128), device, cache="none").in_order():
                images = centre_view(batch.images, classifier.views, classifier.statistics)[:, 0]
                keys = [randomness.keys(mask, "mask", 0, batch.indices) for mask in range(_MASKS)]
                parts.append({"labels": batch.labels, **masked(classifier.network, images, keys)})
        return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}

    return bench.kept("masks", [run.name, bench.prepared.fingerprint, bench.split, _MASKS], compute, _VERSION, [run])


def distance(a: Tensor, b: Tensor) -> float:
    """The mean over images of the total variation between two log-probabilities `[N, K]`, 0 to 1."""
    return float((a.exp() - b.exp()).abs().sum(1).mean() / 2)


def _measure_masks(bench: Bench) -> Measured:
    found = [_masks_of(bench, bench.train(bench.base, seed)) for seed in bench.seeds()]
    errors = {
        name: [metrics.errors(one[name], one["labels"], 1) for one in found]
        for name in ("halved", "geometric", "arithmetic", "single")
    }
    difference = paired(errors["halved"], errors["geometric"])
    numbers = {
        "difference": difference.to_json(),
        "distance": fmean([distance(one["halved"], one["geometric"]) for one in found]),
        "single": fmean([distance(one["single"], one["geometric"]) for one in found]),
        "error": fmean([float(error.mean()) for error in errors["geometric"]]),
        "guessing": guessing(found[0]["labels"]),
    }
    table = [
        {
            "network": name,
            "top-1 error": fmean([float(error.mean()) for error in per_seed]),
            "distance from the geometric mean": fmean([distance(one[name], one["geometric"]) for one in found]),
        }
        for name, per_seed in errors.items()
    ]
    ours = f"{100 * difference.mean:+.2f} points of top-1 error; probabilities {numbers['distance']:.3f} away, "
    ours += f"a single mask's {numbers['single']:.3f}"
    note = f"{_MASKS} masks; the distance is the total variation of probabilities, the mean over images."
    return Measured(numbers, ours, tables={"Means over masks": table}, remarks=(note, trained_on(bench)))


def _judge_masks(numbers: Numbers) -> Verdict:
    found = Difference.from_json(numbers["difference"])
    near = numbers["distance"] / numbers["single"] if numbers["single"] else math.inf
    reason = (
        f"halving errs {100 * found.mean:+.2f} points more than the geometric mean, 95 % from {100 * found.low:+.2f} "
        f"to {100 * found.high:+.2f}; its probabilities are {near:.2f} of a single mask's distance away"
    )
    if nothing := unlearnt(numbers["error"], numbers["guessing"]):
        return nothing
    if found.low > -_WITHIN and found.high < _WITHIN and near <= _NEAR:
        return Verdict("reproduced", f"{reason}.")
    if found.low >= _WITHIN or found.high <= -_WITHIN or near >= 1:
        return Verdict("not reproduced", f"{reason}.")
    return Verdict("not testable here", f"{reason}.")


def reached(errors: Sequence[float], target: float, begin: float) -> float:
    """The epochs, with a fraction, after which `errors` (one after each epoch) first come down to `target`.

    Between epochs they are taken to fall evenly, from `begin` before the first. Infinite where they never do.
    """
    before = begin
    for epoch, error in enumerate(errors):
        if error <= target:
            return epoch + (before - target) / (before - error) if before > error else float(epoch)
        before = error
    return math.inf


def at_one_rate(recipe: Recipe) -> Recipe:
    """`recipe` whose rate never falls: a schedule that ends at 0 would end every network's learning at its own end."""
    return replace(recipe, schedule=Milestones(recipe.schedule.epochs, warmup=recipe.schedule.warmup))


def converged(errors: Sequence[float], begin: float) -> float:
    """The epochs after which `errors`, one after each epoch, first come within 2 points of their lowest."""
    return reached(errors, min(errors) + _MARGIN, begin)


def _measure_iterations(bench: Bench) -> Measured:
    """The epochs after which the network with and without dropout has come near its own lowest error."""
    curves = {
        name: [_validation(bench.train(at_one_rate(recipe(bench)), seed)) for seed in bench.seeds()]
        for name, recipe in (("with", lambda b: b.base), ("without", without(dropout=0.0)))
    }
    # Without a validation split the training error is shown, which decides nothing.
    split = "val" if bench.prepared.counts.get("val") else "train"
    chance = guessing(bench.prepared.split(split).labels)
    taken = {name: [converged(curve, chance) for curve in curves[name]] for name in curves}
    slow, quick = ([math.log2(max(count, 1e-3)) for count in taken[name]] for name in ("with", "without"))
    found = of_values(slow, quick)
    table: list[dict[str, Any]] = [
        {"dropout": name, "seed": seed, "epochs": count, "lowest error": min(curve), "of epochs": len(curve)}
        for name in curves
        for seed, (count, curve) in enumerate(zip(taken[name], curves[name], strict=True))
    ]
    numbers = {
        "difference": found.to_json(),
        "latest": max(row["epochs"] / row["of epochs"] for row in table),
        "error": max(fmean(min(curve) for curve in curves[name]) for name in curves),
        "guessing": chance,
        "split": split,
    }
    kind = "validation" if split == "val" else "training"
    note = f"Converged is: within {100 * _MARGIN:.0f} points of the lowest {kind} error of the same run. The rate does "
    note += "not fall, as a schedule that ends at 0 would end every network's learning at the same epoch."
    return Measured(
        numbers,
        f"{2**found.mean:.2f} times the epochs (95 %: {2**found.low:.2f} to {2**found.high:.2f})",
        {"curves": _drawn(curves, chance, f"{kind.capitalize()} error")},
        {"Epochs until converged": table},
        (note, trained_on(bench)),
    )


def _judge_iterations(numbers: Numbers) -> Verdict:
    if numbers["split"] != "val":
        reason = "the set has no validation split, and the training error of a network with dropout is of its masks."
        return Verdict("not testable here", reason)
    if nothing := unlearnt(numbers["error"], numbers["guessing"], "one of the networks"):
        return nothing
    if numbers["latest"] > _FLAT:
        reason = f"a network came within {100 * _MARGIN:.0f} points of its lowest error only after "
        reason += f"{numbers['latest']:.2f} of its epochs: it may not have converged."
        return Verdict("not testable here", reason)
    found = Difference.from_json(numbers["difference"])
    return helps(found, _SLOWER, "training without dropout", "doublings of the epochs", 1)


def _validation(run: Run) -> list[float]:
    """The validation error after each epoch; the training error where the set has no validation split."""
    return [float((line["validation"] or line["training"])["top1_error"]) for line in epochs(run.path)]


def _drawn(curves: dict[str, list[list[float]]], chance: float, what: str) -> Figure:
    figure = drawing.figure(7, 3)
    axes = drawing.plain(figure.subplots())
    for (name, runs), colour in zip(curves.items(), (drawing.BLUE, drawing.ORANGE), strict=True):
        for number, errors in enumerate(runs):
            label = f"{name} dropout" if number == 0 else None
            axes.plot(range(len(errors) + 1), [chance, *errors], color=colour, label=label, linewidth=1.4)
    axes.set_xlabel("epochs", fontsize=8, color=drawing.INK)
    axes.legend(fontsize=8, frameon=False)
    drawing.title(axes, what)
    return figure


EXPERIMENTS = (
    ablation(
        "dropout",
        "4.2",
        "Without dropout the network overfits substantially.",
        "substantial overfitting; no number",
        Ablation("dropout", without(dropout=0.0)),
        "overfitting",
        0.02,
    ),
    Experiment(
        "dropout-iterations",
        "4.2",
        "Dropout roughly doubles the iterations that training takes to converge.",
        "about 2 times",
        "photographs",
        "full: 2 recipes x 3 seeds at a rate that does not fall, shared with no other claim; reduced: a quarter of the "
        "width and of the epochs, 40 minutes on one core with AMX",
        "At a rate that does not fall, the epochs until the validation error is within "
        f"{100 * _MARGIN:.0f} points of the run's lowest, with dropout over without: reproduced where the 95 % "
        "interval over seeds lies above 1 and the mean (of logarithms) is at least 1.5; not reproduced where the "
        f"interval lies below 1.5; else not testable here, nor where a run took more than {_FLAT:.0%} of its epochs "
        "for that, a network has learnt nothing, or the set has no validation split.",
        REDUCED,
        _measure_iterations,
        _judge_iterations,
        Budget("full"),  # one rate: how soon a network converges depends on it
    ),
    Experiment(
        "dropout-mean",
        "4.2",
        "Halving all outputs approximates the geometric mean of the predictions of all dropout networks.",
        "a reasonable approximation",
        "photographs",
        f"the shared runs of the base, and {_MASKS} masks through the dense layers: seconds",
        f"Top-1 error of the halved network less that of the geometric mean over {_MASKS} masks: reproduced where the "
        f"95 % interval lies within {100 * _WITHIN:.0f} point of 0 and the probabilities are at most {_NEAR} as far "
        "from the mean's as those of a single mask; not reproduced where the interval lies beyond that or halving is "
        "no nearer than a single mask; else not testable here, nor where the network has learnt nothing.",
        REDUCED,
        _measure_masks,
        _judge_masks,
        FULL,
    ),
)
