"""Sections 4.1 and 5 on photographs: crops, colours, what they cost, weight decay, and biases of 1."""

import math
import time
from dataclasses import replace
from itertools import islice
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from alexnet import devices, recipes
from alexnet.data.loader import Loader
from alexnet.data.views import random_view
from alexnet.experiments.ablations import Ablation, ablation, changed, intervals, trained_on
from alexnet.experiments.bench import REDUCED, Bench, Budget
from alexnet.experiments.comparison import Difference, helps, of_values
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.model.alexnet import Initialisation
from alexnet.training import environment
from alexnet.training.recipe import Recipe
from alexnet.training.run import Run
from alexnet.training.schedule import Milestones

_EARLY = 0.8  # of the first epoch are over
_BEGUN = 0.95  # of the loss of guessing: above it an epoch has taught nothing
_EARLIER = 0.05  # nats of training loss that count
_FREE, _COSTLY = 0.05, 0.1  # of the time
_BATCHES, _REPEATS = 8, 3
_VERSION = 1  # of how views are timed


def _plain(bench: Bench) -> Recipe:
    return replace(bench.base, views=replace(bench.base.views, augment=False, horizontal=False))


def _grey(bench: Bench) -> Recipe:
    return replace(bench.base, views=replace(bench.base.views, colour="none"))


def _undecayed(bench: Bench) -> Recipe:
    return replace(bench.base, optimiser=replace(bench.base.optimiser, weight_decay=0.0))


def started(bench: Bench, bias: float) -> Recipe:
    """One epoch by the paper's start and rate: normal weights, inputs of 0..255, and these biases."""
    recipe = replace(
        changed(bench.base, initialisation=Initialisation(bias=bias)),
        views=replace(bench.base.views, divisor=1.0),
        optimiser=replace(bench.base.optimiser, learning_rate=0.01),
        schedule=Milestones(1),
    )
    return recipes.signals_kept(recipe, bench.budget.width)


def early_loss(run: Run) -> float:
    """The training loss, in nats, over the last fifth of the first epoch's steps."""
    steps = [line for line in run.journal() if line["event"] == "step" and _EARLY < line["epoch"] <= 1]
    return sum(float(line["loss"]) for line in steps) / len(steps)


def _measure_biases(bench: Bench) -> Measured:
    zeros, ones = (
        [early_loss(bench.train(started(bench, bias), seed)) for seed in bench.seeds()] for bias in (0.0, 1.0)
    )
    found = of_values(zeros, ones)
    rows = [
        {"seed": seed, "biases of 0": a, "biases of 1": b} for seed, (a, b) in enumerate(zip(zeros, ones, strict=True))
    ]
    note = "The weights start as the paper's and the input is not divided, unlike in the other experiments: biases "
    note += (
        "count beside signals of that size. In a narrow network the weights from conv3 on are larger by the root of "
    )
    note += "what it is narrower by, so that signals keep their size."
    numbers = {
        "difference": found.to_json(),
        "loss": min(fmean(zeros), fmean(ones)),
        "guessing": math.log(len(bench.prepared.classes)),
    }
    return Measured(
        numbers,
        f"{found.mean:+.3f} nats of training loss without them (95 %: {found.low:+.3f} to {found.high:+.3f})",
        {"differences": intervals("Biases of 0 instead of 1", {"early loss": found}, {}, "nats", 1)},
        {"Training loss over the last fifth of the first epoch": rows},
        (trained_on(bench), note),
    )


def _judge_biases(numbers: Numbers) -> Verdict:
    if numbers["loss"] > _BEGUN * numbers["guessing"]:
        reason = f"neither has begun to learn: a loss of {numbers['loss']:.3f} at best, and guessing has "
        return Verdict("not testable here", f"{reason}{numbers['guessing']:.3f}.")
    found = Difference.from_json(numbers["difference"])
    return helps(found, _EARLIER, "biases of 1", "nats of early training loss", 1)


def _measure_cost(bench: Bench) -> Measured:
    """The shares of the training time that go into waiting for images and into making their views."""
    recipe = replace(bench.base, loader=replace(bench.base.loader, share=0.2))
    run = bench.train(recipe)
    # Of the first epoch alone: later ones may find their pages in memory, or belong to another session.
    lines = [line for line in run.timing() if line["epoch"] == 1]
    seconds = sum(line["seconds"] for line in lines)
    images = sum(line["seconds"] * line["images_per_second"] for line in lines)
    waiting = sum(line["seconds"] * line["waiting_for_data"] for line in lines) / seconds
    views = _kept_seconds(bench, run) * images / seconds
    device = devices.choose(bench.machine.devices[0]).type
    numbers = {"waiting": waiting, "views": views, "images_per_second": images / seconds, "device": device}
    return Measured(
        numbers,
        f"{100 * waiting:.1f} % of the time waiting for images, {100 * views:.1f} % making their views",
        remarks=(
            "Images are read and decoded ahead by threads, which training may have to wait for; crops, mirrors and "
            "colours are made on the device within the step, timed here on batches of their own. Both are of the first "
            "epoch.",
            trained_on(bench),
        ),
    )


def _kept_seconds(bench: Bench, run: Run) -> float:
    """`_seconds_of_views`, timed once on each kind of device, so that it stays beside the run's own times."""
    device = devices.choose(bench.machine.devices[0])
    decides = [run.name, bench.prepared.fingerprint, str(device), environment.device_name(device)]

    def compute() -> dict[str, Tensor]:
        return {"seconds": torch.tensor(_seconds_of_views(bench, run), dtype=torch.float64)}

    return float(bench.kept("views-seconds", decides, compute, _VERSION)["seconds"])


def _seconds_of_views(bench: Bench, run: Run) -> float:
    """Seconds an image for crop, mirror and colour: the median over a few batches."""
    device, statistics = devices.choose(bench.machine.devices[0]), bench.prepared.statistics()
    loader = Loader(bench.prepared.split("train"), run.recipe.loader, device, cache="none")
    statistics, times = statistics.to(device), []
    for batch in islice(loader.epoch(0), _BATCHES):
        for _ in range(_REPEATS):
            _wait(device)
            begun = time.perf_counter()
            random_view(batch.images, batch.indices, run.recipe.views, statistics, seed=0, epoch=0)
            _wait(device)
            times.append((time.perf_counter() - begun) / len(batch.images))
    return float(np.median(times))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _judge_cost(numbers: Numbers) -> Verdict:
    waiting, views = numbers["waiting"], numbers["views"]
    reason = (
        f"waiting for images and making their views take {100 * (waiting + views):.1f} % of the training time "
        f"({100 * waiting:.1f} % and {100 * views:.1f} %)"
    )
    if numbers["device"] == "cpu":
        return Verdict("not testable here", f"{reason}; the claim is of a step on a GPU, much quicker than this one.")
    if waiting + views <= _FREE:
        return Verdict("reproduced", f"{reason}, at most {100 * _FREE:.0f} %.")
    if waiting + views >= _COSTLY:
        return Verdict("not reproduced", f"{reason}, {100 * _COSTLY:.0f} % or more.")
    return Verdict("not testable here", f"{reason}: neither free nor a cost that counts.")


AUGMENTATION = (
    ablation(
        "crops",
        "4.1",
        "Without random crops and mirrors the network overfits substantially.",
        "substantial overfitting; no number",
        Ablation("crops and mirrors", _plain),
        "overfitting",
        0.02,
    ),
    Experiment(
        "crops-free",
        "4.1",
        "The augmented images are, in effect, computationally free.",
        "made on the CPU while the GPU trains on the batch before",
        "photographs",
        "one run of a fifth of the images at full width: full: whole schedule; reduced: 1 epoch, a minute on one core",
        f"The share of the training time that waits for images or makes their views: reproduced at {_FREE:.0%} or "
        f"less, not reproduced at {_COSTLY:.0%} or more, else not testable here, nor on a CPU, whose step is so slow "
        "that little beside it would show.",
        Budget("reduced", epochs=0.025, seeds=1),
        _measure_cost,
        _judge_cost,
        Budget("full", epochs=0.1, seeds=1),
    ),
    ablation(
        "colour",
        "4.1",
        "Changing colours along their principal axes lowers the error.",
        "more than 1 point of top-1 error",
        Ablation("colour noise", _grey),
        "top-1 error",
        0.005,
        {"top-1 error": 0.01},
    ),
)
LEARNING = (
    ablation(
        "weight-decay",
        "5",
        "Weight decay is not only a regulariser: it lowers the training error.",
        "observed; no number",
        Ablation("weight decay", _undecayed),
        "training error",
        0.005,
    ),
    Experiment(
        "biases",
        "5",
        "Biases that start at 1 accelerate the early stages of learning.",
        "stated; no number",
        "photographs",
        "2 recipes x 3 seeds of one epoch; reduced: a quarter of the width, 4 minutes on one core with AMX",
        "Training loss over the last fifth of the first epoch, biases of 0 less biases of 1: reproduced where the 95 % "
        f"interval over seeds lies above 0 and the mean is at least {_EARLIER} nats; not reproduced where the interval "
        "lies below that; else not testable here, nor where the better of them is still above "
        f"{_BEGUN:.0%} of the loss of guessing.",
        REDUCED,
        _measure_biases,
        _judge_biases,
    ),
)
