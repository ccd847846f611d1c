"""docs/text-and-code.md measured: `paper-2012` beside `code-2012`, and each of their differences alone."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import drawing, recipes
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import Difference, all_apart, guessing, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.model.alexnet import AlexNetConfig
from alexnet.training.recipe import Recipe
from alexnet.training.schedule import Plateau

_WITHIN = 0.01
_WHOLE = "all of them: code-2012"
_BORDER = "norms across the border of the towers, as Caffe's"  # the text is silent, and the code's stop there
# What belongs together; a section or a field stands for all below it. A difference that none names stands alone.
_TOGETHER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("order of norm, pooling and rectifier", ("model.order1", "model.order2", "model.order5")),
    ("alpha divided by the window's size", ("model.norm_alpha_divided",)),
    ("second norm, within maps, after conv2", ("model.same_map_norm",)),
    ("first weights of conv3 to conv5", ("model.initialisation",)),
    ("mean image's place", ("views.mean",)),
    ("colour noise", ("views.colour", "views.colour_scale")),
    ("32 images share a crop, stored order", ("views.shared", "loader.order")),
    ("rate and decay of the biases", ("optimiser.bias_rate", "optimiser.bias_decay")),
    ("schedule", ("schedule",)),
)


def groups(a: Recipe, b: Recipe) -> dict[str, tuple[str, ...]]:
    """The differences of two recipes, each with its fields, in the order of the sections."""
    found: dict[str, tuple[str, ...]] = {}
    for difference in recipes.difference(a, b):
        name, field = _group(difference.field)
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), field)))
    return found


def with_values(recipe: Recipe, other: Recipe, fields: Iterable[str]) -> Recipe:
    """`recipe` with the values that `other` has in these fields ("views.colour"), or whole sections ("schedule")."""
    for field in fields:
        recipe = _taken(recipe, other, field.split("."))
    return recipe


def across_the_border(recipe: Recipe) -> Recipe:
    """`recipe` with response norms whose windows do not end where a tower does."""
    assert isinstance(recipe.model, AlexNetConfig)
    return replace(recipe, model=replace(recipe.model, norm_across=True))


def patient(recipe: Recipe, epochs: float) -> Recipe:
    """`recipe`, whose plateau waits for two epochs at least once it is shrunk to that share of its epochs."""
    schedule = recipe.schedule
    if not isinstance(schedule, Plateau) or not epochs:
        return recipe
    return replace(recipe, schedule=replace(schedule, patience=max(schedule.patience, round(2 / epochs))))


def _group(field: str) -> tuple[str, str]:
    """The name of the difference that a field belongs to, and the field or the section to take over."""
    for name, fields in _TOGETHER:
        for known in fields:
            if field == known or field.startswith(f"{known}."):
                return name, known if known == "schedule" else field
    return field, field


def _taken(into: Any, other: Any, names: list[str]) -> Any:
    first, *rest = names
    value = getattr(other, first)
    return replace(into, **{first: _taken(getattr(into, first), value, rest) if rest else value})


def _measure(bench: Bench) -> Measured:
    text, code = recipes.named("paper-2012"), recipes.named("code-2012")
    found = groups(text, code)
    printed = _errors(bench, text)
    variants = {_WHOLE: code, **{name: with_values(text, code, fields) for name, fields in found.items()}}
    variants[_BORDER] = across_the_border(text)
    with_code = {name: _errors(bench, recipe) for name, recipe in variants.items()}
    gaps = all_apart(printed, with_code)
    rows = [
        {
            "difference": name,
            "fields": ", ".join(found.get(name, ("model.norm_across",) if name == _BORDER else ("all",))),
            "top-1 error, text": float(torch.stack(printed).mean()),
            "with this": float(torch.stack(with_code[name]).mean()),
            "saved, points": f"{100 * gap.mean:+.1f}",
            "95 %": f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}",
        }
        for name, gap in gaps.items()
    ]
    numbers = {
        "whole": gaps[_WHOLE].to_json(),
        "alone": {name: gaps[name].to_json() for name in found},
        "text": rows[0]["top-1 error, text"],
        "border": gaps[_BORDER].to_json(),
        "code": rows[0]["with this"],
        "guessing": guessing(bench.prepared.split(bench.split).labels),
    }
    whole = gaps[_WHOLE]
    ours = f"text {numbers['text']:.1%}, code {numbers['code']:.1%} of top-1 error, centre view: "
    ours += f"{whole.points} apart"
    return Measured(numbers, ours, {"effects": _drawn(gaps)}, {"Each difference alone": rows}, _remarks(bench))


def _errors(bench: Bench, recipe: Recipe) -> list[Tensor]:
    """float64 `[N]` for each seed: every image's top-1 error, centre view."""
    recipe = patient(recipes.signals_kept(recipe, bench.budget.width), bench.budget.epochs)
    return [bench.evaluate(bench.train(recipe, seed)).top1_errors for seed in bench.seeds()]


def _remarks(bench: Bench) -> tuple[str, ...]:
    count, classes = bench.prepared.counts["train"], len(bench.prepared.classes)
    said = [
        f"{count:,} photographs of {classes} classes; the schedules shrink with the number of epochs, but "
        "a plateau waits for two at least.",
        "Every interval takes the spread over seeds from the runs of all the networks together; each is of 95 % by "
        "itself, so of so many one may miss the truth by chance.",
    ]
    if bench.budget.width != 1:
        said.append("First weights from conv3 on are larger by the root of the width, so that signals keep their size.")
    return tuple(said)


def _drawn(gaps: dict[str, Difference]) -> Figure:
    """Each difference's effect with its 95 % interval; the claim's band shaded."""
    figure = drawing.figure(7, 0.8 + 0.34 * len(gaps))
    axes = drawing.plain(figure.subplots())
    axes.axvspan(-100 * _WITHIN, 100 * _WITHIN, color=drawing.GRID)
    axes.axvline(0, color=drawing.MUTED, linewidth=0.8)
    places = range(len(gaps))
    for place, (name, gap) in zip(places, gaps.items(), strict=True):
        colour = {_WHOLE: drawing.ORANGE, _BORDER: drawing.MUTED}.get(name, drawing.BLUE)
        reach = 100 * gap.reach if math.isfinite(gap.reach) else None
        axes.errorbar(100 * gap.mean, place, xerr=reach, fmt="o", color=colour, capsize=3)
    axes.set_yticks(list(places), list(gaps))
    axes.invert_yaxis()
    axes.set_xlabel("points of top-1 error that this saves", fontsize=8, color=drawing.MUTED)
    drawing.title(axes, "The text with one thing of the code's, or Caffe's")
    return figure


def judge(numbers: Numbers) -> Verdict:
    """Whether text and code are the same network in effect."""
    whole = Difference.from_json(numbers["whole"])
    low, high, mean = whole.low, whole.high, whole.mean
    both = f"text {numbers['text']:.1%}, code {numbers['code']:.1%} of top-1 error"
    shown = f"{both}: {100 * mean:+.1f} points apart, 95 % from {100 * low:+.1f} to {100 * high:+.1f}"
    if nothing := unlearnt(min(numbers["text"], numbers["code"]), numbers["guessing"], "the better of the two"):
        return nothing
    if not math.isfinite(whole.reach):
        return Verdict("not testable here", f"{both}: {100 * mean:+.1f} points apart; one run of each cannot tell.")
    if low > -_WITHIN and high < _WITHIN:
        return Verdict("reproduced", f"{shown}.")
    if low > _WITHIN or high < -_WITHIN:
        alone = numbers["alone"]
        most = max(alone, key=lambda name: abs(alone[name]["mean"]))
        largest = f"the largest single effect, {100 * alone[most]['mean']:+.1f} points, is of: {most}"
        return Verdict("not reproduced", f"{shown}; {largest}.")
    return Verdict("not testable here", f"{shown}; the interval reaches across ±{100 * _WITHIN:g} points.")


EXPERIMENTS = (
    Experiment(
        "text-and-code",
        "3 to 5",
        "The paper's text describes what its authors ran: it and their files are the same network in effect.",
        "37.5 % of top-1 error on ILSVRC-2010 (of the code: net 145); of the text as printed no number is known",
        "photographs",
        "full: 12 recipes x 3 seeds, whole schedules; reduced: a quarter of the width, a fifth of the epochs, 2 seeds",
        "Reproduced where the 95 % interval of (error of the text - error of the code), the seeds' spread taken from "
        "all the networks compared, lies within ±1 point; not reproduced where it lies outside; else not testable "
        "here, as where both err on more than nine tenths of what guessing errs on.",
        Budget("reduced", epochs=0.2, width=0.25, seeds=2),
        _measure,
        judge,
    ),
)
