"""Section 3.3's aside: a rectifier learns as long as some example makes it positive. How many never are?"""

from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import devices, drawing, errors
from alexnet.data.loader import Loader, Loading
from alexnet.evaluation import metrics
from alexnet.evaluation.classifier import Classifier
from alexnet.experiments.bench import REDUCED, Bench
from alexnet.experiments.comparison import guessing, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.rows import Rectifier
from alexnet.training.recipe import Recipe
from alexnet.training.run import Run

_DEAD = 0.01  # of a layer's units: more than that would count
_SLOWER = 10  # than the base, whose rate was chosen on divided input; a hundredth of it learned more slowly
_VERSION = 2  # of what `counted` finds
_IMAGES = 300  # a unit that one picture in 100 makes positive escapes so many once in 20 times
_COUNTED = "train"  # the claim is of training examples


def undivided(bench: Bench) -> Recipe:
    """The base on the pixels less their mean, as in the paper; where the base divides them, at a tenth of its rate."""
    base = bench.base
    if base.views.divisor == 1.0:
        return base
    rule = replace(base.optimiser, learning_rate=base.optimiser.learning_rate / _SLOWER)
    return replace(base, views=replace(base.views, divisor=1.0), optimiser=rule)


def counted(classifier: Classifier, loader: Loader) -> dict[str, Tensor]:
    """For each rectified layer float64 `[units, 2]`, over all images of the split.

    A unit is a kernel with its whole map, or a unit of a dense layer. The columns: the share of its values that are
    zero, and the share of the images in which it is positive somewhere.
    """
    names = [row.name for row in classifier.network.rows if isinstance(row, Rectifier)]
    zeros = dict.fromkeys(names, torch.zeros(0))
    active = dict(zeros)
    images = 0
    for batch in loader.in_order():
        for name, stage in classifier.stages(batch.images, names).items():
            positive = (stage > 0).flatten(2) if stage.ndim > 2 else (stage > 0)[..., None]
            zero = 1 - positive.double().mean(2)
            zeros[name] = zero.sum(0).cpu() + (zeros[name] if images else 0)
            active[name] = positive.any(2).double().sum(0).cpu() + (active[name] if images else 0)
        images += len(batch.images)
    return {name: torch.stack([zeros[name], active[name]], 1) / images for name in names}


def summed(layers: dict[str, Tensor]) -> list[dict[str, Any]]:
    """For each layer its units, the share of zeros, and how many units no image makes positive."""
    return [
        {
            "layer": name,
            "units": len(values),
            "zeros": float(values[:, 0].mean()),
            "dead": int((values[:, 1] == 0).sum()),
            "images that make a unit positive": float(values[:, 1].mean()),
        }
        for name, values in sorted(layers.items(), key=lambda item: item[0][-1])
    ]


def _measure(bench: Bench) -> Measured:
    recipe = undivided(bench)
    runs = [bench.train(recipe, seed) for seed in bench.seeds()]
    layers = [_counted(bench, run) for run in runs]
    evaluations = [bench.evaluate(run) for run in runs]
    found = [summed(each) for each in layers]
    images = bench.prepared.counts[_COUNTED]
    numbers = {
        "images": images,
        "seeds": found,
        "error": fmean(each.top1_error for each in evaluations),
        "guessing": guessing(evaluations[0].labels),
    }
    rows = [{"seed": seed, **row} for seed, each in enumerate(found) for row in each]
    zeros = [row["zeros"] for row in rows]
    units, dead = (sum(row[name] for row in rows) for name in ("units", "dead"))
    ours = (
        f"{dead} of {units:,} units are never positive; {min(zeros):.0%} to {max(zeros):.0%} of a layer's values are 0"
    )
    remarks = (
        f"Counted on all {images:,} training images, centre view, after the last epoch; the network's error is of "
        f"{bench.split}.",
        f"The network's input is the pixels less their mean, not divided; its first weights are {_start(runs[0])}, its "
        f"rate is {recipe.optimiser.learning_rate:g}. The paper gives no number.",
    )
    return Measured(numbers, ours, {"zeros": _drawn(layers[0])}, {"After each rectifier": rows}, remarks)


def _start(run: Run) -> str:
    model = run.recipe.model
    if isinstance(model, AlexNetConfig) and model.initialisation.weights == "normal":
        return f"normal with deviation {model.initialisation.deviation}"
    return "scaled to each unit's number of inputs, unlike the paper's"


def _counted(bench: Bench, run: Run) -> dict[str, Tensor]:
    def compute() -> dict[str, Tensor]:
        bench.say(f"{run.name}: zeros after its rectifiers")
        device = devices.choose(bench.machine.devices[0])
        loader = Loader(bench.prepared.split(_COUNTED), Loading(batch=128), device, cache="none")
        return counted(Classifier.load(run.path, str(device)), loader)

    return bench.kept("sparsity", [run.name, bench.prepared.fingerprint, _COUNTED], compute, _VERSION, [run])


def _judge(numbers: Numbers) -> Verdict:
    """The layer with the most dead units, over all runs, decides; in small layers a few of them may be chance."""
    names = [row["layer"] for row in numbers["seeds"][0]]
    units = {
        name: sum(row["units"] for each in numbers["seeds"] for row in each if row["layer"] == name) for name in names
    }
    dead = {
        name: sum(row["dead"] for each in numbers["seeds"] for row in each if row["layer"] == name) / units[name]
        for name in names
    }
    least = {name: metrics.wilson(dead[name], units[name])[0] for name in names}
    worst = max(names, key=lambda name: (least[name] > _DEAD, dead[name]))
    shown = f"in {worst}, the worst layer, {dead[worst]:.1%} of the {units[worst]:,} units are positive in none of "
    shown += f"{numbers['images']:,} images ({errors.counted(len(numbers['seeds']), 'run', 'runs')})"
    if nothing := unlearnt(numbers["error"], numbers["guessing"]):
        return nothing
    if dead[worst] <= _DEAD:
        return Verdict("reproduced", f"{shown}.")
    if numbers["images"] < _IMAGES:
        return Verdict("not testable here", f"{shown}, and {_IMAGES} images are needed to call a unit dead.")
    if least[worst] <= _DEAD:
        return Verdict(
            "not testable here", f"{shown}: of so few units that may be chance (95 % from {least[worst]:.1%} on)."
        )
    return Verdict("not reproduced", f"{shown}; at most {_DEAD:.0%} was asked for.")


def _drawn(layers: dict[str, Tensor]) -> Figure:
    """Each layer's share of zeros, and the spread of its units from the 5th to the 95th of a hundred."""
    figure = drawing.figure(7, 3)
    axes = drawing.plain(figure.add_subplot())
    rows = summed(layers)
    for place, row in enumerate(rows):
        low, high = torch.quantile(layers[row["layer"]][:, 0], torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
        axes.bar(place, row["zeros"], width=0.6, color=drawing.BLUE)
        axes.plot([place, place], [low, high], color=drawing.ORANGE, linewidth=2)
    axes.set_xticks(range(len(rows)), [row["layer"] for row in rows])
    axes.set_ylim(0, 1)
    drawing.title(axes, "Share of zeros after each rectifier (orange: 90 of 100 units)")
    return figure


EXPERIMENTS = (
    Experiment(
        name="sparsity",
        section="3.3",
        claim="Rectifiers need no normalised input: a unit learns as long as some example makes it positive.",
        paper="no number",
        needs="photographs",
        cost="full: 3 runs, whole schedules; reduced: a quarter of width and epochs, 20 minutes on one core with AMX",
        rule="A unit is dead if no training image makes it positive anywhere in its map. Reproduced where, in each "
        f"rectified layer, at most {_DEAD:.0%} of the units of all runs are dead; not reproduced where the 95 % "
        f"interval of some layer's share lies above that, on at least {_IMAGES} images; else not testable here, nor "
        "where the network has learnt nothing. The input is the pixels less their mean, not divided.",
        reduced=REDUCED,
        measure=_measure,
        judge=_judge,
    ),
)
