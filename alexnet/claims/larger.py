"""The introduction and section 7: would more photographs, and would wider networks, still err less?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import drawing
from alexnet.experiments import pretraining, rivals
from alexnet.experiments.bench import REDUCED, Bench
from alexnet.experiments.comparison import Difference, apart, guessing, helps, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict

_SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_WIDTHS = (1 / 4, 1 / 2, 1.0)
_SMALLEST = 0.01
_SCRATCH, _TUNED, _FISHER = "from scratch", "pretrained on another set", "Fisher vectors"
_COLOURS = {_SCRATCH: drawing.BLUE, _TUNED: drawing.ORANGE, _FISHER: drawing.INK}

Errors = Mapping[float, Sequence[Tensor]]
"""For each share, and each run: float64 `[N]`, every image's top-1 error."""


def _more_data(bench: Bench) -> Measured:
    lines: dict[str, Errors] = {_SCRATCH: {share: _scratch(bench, share) for share in _SHARES}}
    if bench.pretrain is not None:
        lines[_TUNED] = {share: _tuned(bench, share) for share in _SHARES}
    fisher = {share: rivals.measured(bench, "fisher-vectors", share) for share in _SHARES}
    said = [found for found in fisher.values() if isinstance(found, str)]
    if not said:
        lines[_FISHER] = {share: [found.top1_errors] for share, found in fisher.items() if not isinstance(found, str)}
    count, classes = bench.prepared.counts["train"], len(bench.prepared.classes)
    remarks = [
        f"{count:,} training photographs of {classes} classes, the same share of each. Every network takes as many "
        "steps as on all of them (where these are few, more photographs teach no more); the mean image is that of the "
        "whole set. The Fisher vectors are fitted to as many images of each class, drawn on their own.",
        *crossings({name: _means(line) for name, line in lines.items()}),
    ]
    fewer = {share: fisher[share] for share in _SHARES if rivals.capped(bench, share)}
    for share, found in fewer.items():
        if not isinstance(found, str):
            remarks.append(f"At a share of {share:g} the Fisher vectors are fitted to {found.images:,} images only.")
    remarks.append(_pretraining(bench))
    if said:
        remarks.append(f"Without {_FISHER}: {said[0]}")
    names = {share: f"{round(count * share):,} images" for share in _SHARES}
    return _measured(bench, lines, names, "share of the training images", "twice the training images", remarks)


def _larger_nets(bench: Bench) -> Measured:
    base = bench.base
    line = {}
    for width in _WIDTHS:
        narrow = replace(base, model=replace(base.model, width=base.model.width * width))
        line[width] = [bench.evaluate(bench.train(narrow, seed)).top1_errors for seed in bench.seeds()]
    names = {width: f"{width * bench.budget.width * base.model.width:g} of the paper's width" for width in _WIDTHS}
    remarks = [
        "Every width is trained by the same rates for as many steps.",
        "That results improve with longer training is not measured here.",
    ]
    return _measured(bench, {_SCRATCH: line}, names, "share of the widest network's width", "twice the width", remarks)


def _scratch(bench: Bench, share: float) -> list[Tensor]:
    recipe = pretraining.with_share(bench.base, share)
    return [bench.evaluate(bench.train(recipe, seed)).top1_errors for seed in bench.seeds()]


def _tuned(bench: Bench, share: float) -> list[Tensor]:
    return [bench.evaluate(pretraining.finetuned(bench, seed, share)).top1_errors for seed in bench.seeds()]


def _pretraining(bench: Bench) -> str:
    """The remark of what was pretrained, without which its line says nothing."""
    if bench.pretrain is None:
        return "No set to pretrain on was given (--pretrain-data)."
    error, chance = pretraining.learnt(bench)
    return (
        f"Pretrained on {bench.pretrain.name}, with a sixth convolution, the network errs on {error:.1%} of that set's "
        f"own images, where always the same answer errs on {chance:.1%} (first seed)."
    )


def _means(line: Errors) -> dict[float, float]:
    return {share: float(torch.stack([*errors]).mean()) for share, errors in line.items()}


def _measured(
    bench: Bench, lines: Mapping[str, Errors], names: Mapping[float, str], axis: str, what: str, remarks: Sequence[str]
) -> Measured:
    """Lines of errors against shares; the rule speaks of the first line's last doubling."""
    first = lines[_SCRATCH]
    doublings = [apart(first[less], first[more]) for less, more in pairwise(first)]
    means = {name: _means(line) for name, line in lines.items()}
    seen = {name: _seen(name, line) for name, line in lines.items()}
    rows = [
        {"share": share, "of": of, **{key: cell for name in lines for key, cell in _cells(name, seen[name][share])}}
        for share, of in names.items()
    ]
    numbers = {
        "what": what,
        "errors": {name: {f"{share:g}": error for share, error in line.items()} for name, line in means.items()},
        "doublings": [doubling.to_json() for doubling in doublings],
        "error": means[_SCRATCH][max(first)],
        "guessing": guessing(bench.prepared.split(bench.split).labels),
    }
    last = doublings[-1]
    ours = f"{last.points} of top-1 error saved by the last doubling"
    figure = _drawn(seen, axis)
    return Measured(numbers, ours, {"errors": figure}, {"Top-1 error, centre view": rows}, tuple(remarks))


def _seen(name: str, line: Errors) -> dict[float, Difference]:
    """Each share's error with its interval over seeds and images; of the Fisher vectors, which no seed decides, images.

    It is the difference between the line's errors and none at all.
    """
    none = [torch.zeros(len(next(iter(line.values()))[0]))]
    return {share: apart(errors, none, fixed=(name == _FISHER, True)) for share, errors in line.items()}


def _cells(name: str, error: Difference) -> list[tuple[str, Any]]:
    known = math.isfinite(error.reach)
    return [(name, error.mean), (f"± 95 %, {name}", error.reach if known else None)]


def crossings(lines: Mapping[str, Mapping[float, float]]) -> list[str]:
    """A sentence for each pair of lines: the share where they cross, or that they do not.

    Between two shares lines are straight over the logarithm of the share.

    Args:
        lines: for each name the error at each share.
    """
    found = []
    for a, b in combinations(lines, 2):
        gaps = {share: lines[a][share] - lines[b][share] for share in lines[a]}
        unequal = [share for share, gap in gaps.items() if gap]
        crossed = [(left, right) for left, right in pairwise(unequal) if gaps[left] * gaps[right] < 0]
        for left, right in crossed:
            share = left * (right / left) ** (gaps[left] / (gaps[left] - gaps[right]))
            less, more = (a, b) if gaps[left] > 0 else (b, a)
            found.append(f"Above {share:.0%} of the images, {less} errs less than {more}; below it, more.")
        if not crossed:
            less, more = (a, b) if sum(gaps.values()) < 0 else (b, a)
            found.append(f"Nowhere do they cross: at each of these shares, {less} errs less than {more}, or as much.")
    return found


def _drawn(lines: Mapping[str, Mapping[float, Difference]], axis: str) -> Figure:
    """Errors against shares, a line each; bars are the 95 % intervals over seeds and test images."""
    figure = drawing.figure(7, 3.6)
    axes = drawing.plain(figure.subplots())
    for name, line in lines.items():
        shares = list(line)
        means = [100 * error.mean for error in line.values()]
        bars = [100 * error.reach if math.isfinite(error.reach) else 0.0 for error in line.values()]
        axes.errorbar(shares, means, bars, marker="o", capsize=3, color=_COLOURS[name], label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel(axis, fontsize=8, color=drawing.MUTED)
    axes.set_ylabel("top-1 error, %", fontsize=8, color=drawing.MUTED)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    drawing.title(axes, "Top-1 error, centre view")
    return figure


def judge(numbers: Numbers) -> Verdict:
    """Whether the last doubling still lowered the error."""
    if nothing := unlearnt(numbers["error"], numbers["guessing"], "the network with most of it"):
        return nothing
    return helps(Difference.from_json(numbers["doublings"][-1]), _SMALLEST, numbers["what"])


def _rule(what: str) -> str:
    return (
        f"Of the network from scratch, {what}: reproduced where the 95 % interval, over seeds and images, of the error "
        "that this saves lies above 0 and its mean is at least 1 point; not reproduced where the interval lies below "
        "that; else not testable here, nor where the network has learnt nothing."
    )


EXPERIMENTS = (
    Experiment(
        "more-data",
        "1 and 7",
        "The network's errors still fall as the training set grows.",
        "no number: results improve simply by waiting for larger data sets",
        "photographs",
        "full: 4 shares x 3 seeds of whole schedules, as many of fine-tuning, Fisher vectors 4 times; reduced: a "
        "quarter of the width and of the epochs, 2 seeds",
        _rule("from half of the training images to all"),
        replace(REDUCED, seeds=2),
        _more_data,
        judge,
    ),
    Experiment(
        "larger-nets",
        "1 and 7",
        "The network's errors still fall as it grows; its size is limited by the GPUs' memory and patience.",
        "no number: results have improved as the network was made larger and trained longer",
        "photographs",
        "full: 3 widths x 3 seeds of whole schedules; reduced: half of the width, a quarter of the epochs",
        _rule("from half of the width to all"),
        replace(REDUCED, width=0.5),
        _larger_nets,
        judge,
    ),
)
