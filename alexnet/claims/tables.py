"""Tables 1 and 2 on the photographs at hand: rivals, one network, several averaged, pretrained ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from alexnet.evaluation import metrics
from alexnet.evaluation.classifier import ViewsName
from alexnet.experiments import averaging, pretraining, rivals
from alexnet.experiments.bench import REDUCED, Bench, Budget
from alexnet.experiments.comparison import Difference, apart, guessing, helps, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.training.run import Run

_SMALLEST = 0.005
_PRETRAINED = 2
_FULL = Budget("full", seeds=5)
_REDUCED = replace(REDUCED, seeds=5)
_SPARSE, _FISHER, _PRE = "sparse coding", "SIFT + Fisher vectors", "pretrained CNN"
_RULE = (
    "Each gap is a difference of top-1 errors on the same images. Reproduced where every gap's 95 % interval "
    "lies above 0 and its mean is at least 0.5 points; not reproduced where one's lies below that; else, and where a "
    "row is missing or was fitted to fewer images than the other, or a network has learnt nothing (a pretrained one on "
    "its own set), not testable here. An average of networks is taken as it is, over images alone. The gaps: "
)


@dataclass(frozen=True, eq=False)
class Row:
    """A line of a table."""

    name: str
    top1: tuple[Tensor, ...]
    """float64 `[N]` for each run: each image's top-1 error."""
    top5: tuple[float, ...]
    """The top-5 error of each run."""
    paper: str = ""
    """The paper's numbers."""
    networks: int = 0
    """How many networks, trained apart, it was computed from; a rival has none and no seeds."""
    images: int | None = None
    """Training images that it was fitted to; None is all of them."""

    def line(self) -> dict[str, Any]:
        """The row as the table shows it: means over its runs, and the standard deviation where there are several."""
        means = torch.stack([errors.mean() for errors in self.top1])
        return {
            "model": self.name,
            "top-1 error": float(means.mean()),
            "± between runs": float(means.std()) if len(means) > 1 else None,
            "top-5 error": sum(self.top5) / len(self.top5),
            "runs": len(means),
            "training images": "all" if self.images is None else self.images,
            "paper": self.paper,
        }


def _measure1(bench: Bench) -> Measured:
    runs = [bench.train(bench.base, seed) for seed in bench.seeds()]
    sparse, fisher = (_rival(bench, *which) for which in _RIVALS[1])
    cnn = _each(bench, "CNN, ten views", runs, "37.5 % / 17.0 %")
    centre = _each(bench, "CNN, centre view", runs, "39.0 % / 18.3 %", "centre")
    gaps = {f"{_SPARSE} - {_FISHER}": (sparse, fisher), f"{_FISHER} - CNN": (fisher, cnn)}
    return _measured(bench, [sparse, fisher, centre, cnn], gaps, cnn, ())


def _measure2(bench: Bench) -> Measured:
    runs = [bench.train(bench.base, seed) for seed in bench.seeds()]
    (fisher,) = (_rival(bench, *which) for which in _RIVALS[2])
    single = _each(bench, "1 CNN", runs, "40.7 % / 18.2 %")
    several, weights = _averaged(bench, f"{len(runs)} CNNs", runs, "38.1 % / 16.4 %")
    rows: list[Row | str] = [fisher, single, *several]
    pretrained: Row | str = f"{_PRE}: no set to pretrain on was given (--pretrain-data)"
    everyone = pretrained
    untaught = None
    if bench.pretrain is not None:
        untaught = pretraining.untaught(bench)
        tuned = [pretraining.finetuned(bench, seed) for seed in range(min(_PRETRAINED, bench.budget.seeds))]
        pretrained = _each(bench, "1 CNN, pretrained", tuned, "39.0 % / 16.6 %")
        together = [*runs, *tuned]
        name = f"{len(together)} CNNs, {len(tuned)} of them pretrained"
        all_, more = _averaged(bench, name, together, "36.7 % / 15.4 %")
        everyone = all_[0]
        rows, weights = [*rows, pretrained, *all_], [*weights, *more]
    gaps: dict[str, tuple[Row | str, Row | str]] = {
        f"{_FISHER} - 1 CNN": (fisher, single),
        "1 CNN - CNNs averaged": (single, several[0]),
        f"1 CNN - {_PRE}": (single, untaught or pretrained),
        f"{_FISHER} - {_PRE}": (fisher, untaught or pretrained),
        f"{_FISHER} - CNNs averaged": (fisher, several[0]),
        f"{_FISHER} - all CNNs averaged": (fisher, untaught or everyone),
    }
    return _measured(bench, rows, gaps, several[0], (_DIFFERENT, *weights))


_RIVALS: dict[int, tuple[tuple[str, rivals.Rival, str], ...]] = {
    1: ((_SPARSE, "sparse-coding", "47.1 % / 28.2 %"), (_FISHER, "fisher-vectors", "45.7 % / 25.7 %")),
    2: ((_FISHER, "fisher-vectors", "top-5 26.2 % (test)"),),
}
_DIFFERENT = (
    "The CNNs averaged differ in their seeds alone; by the names of the submitted files, the paper's five had "
    "different architectures, and three, not two, of its seven were pretrained."
)


def _rival(bench: Bench, name: str, rival: rivals.Rival, paper: str) -> Row | str:
    """The rival's row, or why there is none."""
    found = rivals.measured(bench, rival)
    if isinstance(found, str):
        return f"{name}: {found}"
    images = found.images if rivals.capped(bench) else None
    return Row(name, (found.top1_errors,), (found.top5_error,), paper, images=images)


def _each(bench: Bench, name: str, runs: Sequence[Run], paper: str, views: ViewsName = "ten") -> Row:
    """The row of single networks."""
    given = [averaging.answers(bench, run, bench.split, views) for run in runs]
    return replace(row(name, given, averaging.labels_of(bench, bench.split), paper), networks=len(runs))


def _averaged(bench: Bench, name: str, runs: Sequence[Run], paper: str) -> tuple[list[Row], list[str]]:
    """The rows of the runs averaged with equal and with fitted weights; the weights in words."""
    labels = averaging.labels_of(bench, bench.split)
    given = [averaging.answers(bench, run, bench.split) for run in runs]
    equal = averaging.weighted(given, [1.0] * len(given))
    top = 1 if len(bench.prepared.classes) <= 10 else 5
    mean, found = averaging.fitted_apart(bench, runs, top)
    rows = [row(f"{name}, equal weights", [equal], labels, paper), row(f"{name}, fitted weights", [mean], labels, "")]
    rows = [replace(each, networks=len(runs)) for each in rows]
    shown = "; ".join(", ".join(f"{weight / sum(weights):.2f}" for weight in weights) for weights in found)
    where = "on `val`" if len(found) == 1 else "on each half of the images for the other half"
    return rows, [f"Weights of the {name}, fitted to the top-{top} error {where}: {shown}."]


def row(name: str, given: Sequence[Tensor], labels: Tensor, paper: str) -> Row:
    """The row of answers, float `[N, K]` a run, to images of these labels."""
    top1 = tuple(metrics.errors(each, labels, 1).double() for each in given)
    return Row(name, top1, tuple(float(metrics.errors(each, labels, 5).double().mean()) for each in given), paper)


def gap(worse: Row, better: Row) -> Difference:
    """The difference of two rows' mean errors on the same images.

    A rival, or an average of several networks, is taken as it is: what other seeds would have made of an average is not
    known. Single networks are of their runs; of one run alone the standard error is infinite.
    """
    worse_fixed, better_fixed = (len(row.top1) == 1 and row.networks != 1 for row in (worse, better))
    return apart(worse.top1, better.top1, fixed=(worse_fixed, better_fixed))


def _measured(
    bench: Bench,
    rows: Sequence[Row | str],
    gaps: dict[str, tuple[Row | str, Row | str]],
    ours: Row,
    remarks: Sequence[str],
) -> Measured:
    """What a table's rows say; a row that is missing is a sentence."""
    missing = {name: why for name, pair in gaps.items() if (why := _incomparable(*pair))}
    found = {
        name: gap(a, b).to_json()
        for name, (a, b) in gaps.items()
        if name not in missing and isinstance(a, Row) and isinstance(b, Row)
    }
    fewer = [each for each in rows if isinstance(each, Row) and each.images is not None]
    lines = [each.line() for each in rows if isinstance(each, Row)]
    best = min(lines, key=lambda line: line["top-1 error"])
    classes = len(bench.prepared.classes)
    scale = f"Photographs of {classes} classes, errors on {bench.split}; the paper's are of 1000 classes of ILSVRC."
    said, chance = ours.line(), guessing(bench.prepared.split(bench.split).labels)
    return Measured(
        {"rows": lines, "gaps": found, "missing": missing, "error": said["top-1 error"], "guessing": chance},
        f"{ours.name}: {said['top-1 error']:.1%} / {said['top-5 error']:.1%}; best: {best['model']}",
        tables={
            "Errors, ten views unless said; the paper's are top-1 / top-5": lines,
            "Gaps, top-1 error": [_gap_line(name, found, missing) for name in gaps],
        },
        remarks=(
            scale,
            *(f"{each.name}: fitted to {each.images:,} of the training images only." for each in fewer),
            *remarks,
            *(f"Without a row: {each}." for each in rows if isinstance(each, str)),
        ),
    )


def _gap_line(name: str, found: dict[str, Any], missing: dict[str, str]) -> dict[str, str]:
    """A gap as the table shows it: with its interval and what it says alone, or why it was not taken."""
    if name in missing:
        return {"gap": name, "points": "", "95 %": "", "alone": f"not taken: {missing[name]}"}
    gap = Difference.from_json(found[name])
    ends = f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}" if math.isfinite(gap.reach) else "not known of one run"
    return {
        "gap": name,
        "points": f"{100 * gap.mean:+.1f}",
        "95 %": ends,
        "alone": helps(gap, _SMALLEST, name).verdict,
    }


def _incomparable(worse: Row | str, better: Row | str) -> str | None:
    """Why two rows cannot be compared: one is missing, or was fitted to fewer images than the other."""
    for side in (worse, better):
        if isinstance(side, str):
            return side
    assert isinstance(worse, Row)
    assert isinstance(better, Row)
    if worse.images == better.images:
        return None
    fewer = worse if better.images is None else better
    return f"{fewer.name} was fitted to {fewer.images:,} training images only"


def judge(numbers: Numbers) -> Verdict:
    """What the gaps together say."""
    if nothing := unlearnt(numbers["error"], numbers["guessing"]):
        return nothing
    said = {name: helps(Difference.from_json(gap), _SMALLEST, name) for name, gap in numbers["gaps"].items()}
    wrong = [verdict for verdict in said.values() if verdict.verdict == "not reproduced"]
    unsure = [verdict for verdict in said.values() if verdict.verdict == "not testable here"]
    if wrong:
        return Verdict("not reproduced", " ".join(verdict.reason for verdict in wrong))
    if unsure or numbers["missing"]:
        reasons = [*dict.fromkeys(numbers["missing"].values()), *(verdict.reason.rstrip(".") for verdict in unsure)]
        sure = [name for name, verdict in said.items() if verdict.verdict == "reproduced"]
        shown = f" Reproduced so far: {', '.join(sure)}." if sure else ""
        return Verdict("not testable here", f"{'; '.join(reasons)}.{shown}")
    return Verdict("reproduced", " ".join(verdict.reason for verdict in said.values()))


EXPERIMENTS = (
    Experiment(
        "table1",
        "6, table 1",
        "The network errs less than Fisher vectors of SIFT, and they less than sparse coding.",
        "37.5 % of top-1 and 17.0 % of top-5 error; 45.7 and 25.7 %; 47.1 and 28.2 %",
        "photographs",
        "full: 5 whole schedules and the two rivals; reduced: a quarter of the width and of the epochs",
        f"{_RULE}sparse coding - Fisher vectors, Fisher vectors - CNN (ten views, mean over runs).",
        _REDUCED,
        _measure1,
        judge,
        _FULL,
    ),
    Experiment(
        "table2",
        "6.1, table 2",
        "Several networks averaged err less than one, one pretrained on more classes less than one from scratch, and "
        "all of them less than Fisher vectors.",
        "one 40.7 % of top-1 error, five 38.1, one pretrained 39.0, seven 36.7; top-5 18.2, 16.4, 16.6, 15.4",
        "photographs",
        "full: 5 whole schedules, 2 of pretraining, 2 of fine-tuning, Fisher vectors; reduced: a quarter of the width "
        "and of the epochs",
        f"{_RULE}one CNN - CNNs averaged (equal weights), one CNN - one pretrained, and each of the three, "
        "and the average with the pretrained ones, below the Fisher vectors.",
        _REDUCED,
        _measure2,
        judge,
        _FULL,
    ),
)
