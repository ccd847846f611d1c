"""Section 6.1's suggestion: codes of the last hidden layer beside codes of pixels, and the time that they save."""

from statistics import fmean
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import devices, drawing
from alexnet.evaluation.classifier import Classifier
from alexnet.experiments.bench import REDUCED, Bench
from alexnet.experiments.comparison import Difference, apart, guessing, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.experiments.sample import STAGE, Pictures, last_hidden, sample
from alexnet.features.coder import Settings
from alexnet.features.retrieval import BITS, Classes, Vectors, Way, coded, exact, projected, reduced
from alexnet.training.run import Run

_NEAREST = 6
_JUDGED = 64  # bits
_QUERIES, _STORED = 1_000, 20_000  # at most, as for figure 4
_SMALLEST = 0.2  # more of the neighbours of a query's class: "much better"
_FASTER = 10.0  # times: "efficient"
_LEAST = 1_000  # stored images, for times to say anything
_VERSION = 1


def _measure(bench: Bench) -> Measured:
    runs = [bench.train(bench.base, seed) for seed in bench.seeds()]
    stored = sample(bench.prepared.split("train"), _STORED)
    queries = sample(bench.prepared.split(bench.split), _QUERIES)
    ways = [
        _pixels(bench, queries, stored, seed, runs[0].recipe.views.crop) + _codes(bench, run, queries, stored, seed)
        for seed, run in enumerate(runs)
    ]
    by_pixels, by_network = (f"{name}, {_JUDGED} bits" for name in ("pixels", STAGE))
    missed = {name: [_missed(each, name) for each in ways] for name in (by_pixels, by_network)}
    difference = apart(missed[by_pixels], missed[by_network])
    rows = _rows(ways)
    named = {row["nearest by"]: row for row in rows}
    evaluations = [bench.evaluate(run) for run in runs]
    times = named[STAGE]["milliseconds a query"] / named[by_network]["milliseconds a query"]
    numbers = {
        "difference": difference.to_json(),
        "faster": times,
        "stored": len(stored.places),
        "ways": rows,
        "error": fmean(each.top1_error for each in evaluations),
        "guessing": guessing(evaluations[0].labels),
    }
    share = (
        f"{named[by_network]['precision']:.3f} of six neighbours by {_JUDGED} bits of {STAGE} are of the query's class"
    )
    ours = f"{share}, {named[by_pixels]['precision']:.3f} by {_JUDGED} bits of pixels; {times:.0f} times faster"
    return Measured(numbers, ours, {"precision": _figure(named)}, {"Six nearest": rows}, _remarks(stored, queries))


def _pixels(bench: Bench, queries: Pictures, stored: Pictures, seed: int, crop: int) -> list[Way]:
    """By pixels, and by their codes."""

    def compute() -> list[Way]:
        seen = [np.concatenate([reduced(images, crop) for _, images in part.batches()]) for part in (stored, queries)]
        vectors, classes = Vectors(*seen), Classes(stored.labels, queries.labels)
        ways = [exact("pixels", vectors, classes, _NEAREST, bench.say)]
        return ways + coded("pixels", vectors, classes, BITS, _NEAREST, Settings(seed=seed), bench.say)

    names = ["pixels", *(f"pixels, {bits} bits" for bits in BITS)]
    return _kept(bench, [*_asked(bench), "pixels", seed, crop], names, compute)


def _codes(bench: Bench, run: Run, queries: Pictures, stored: Pictures, seed: int) -> list[Way]:
    """By a run's last hidden layer, by codes of it, and by random projections."""

    def compute() -> list[Way]:
        bench.say(f"{run.name}: vectors of {len(stored.places):,} pictures")
        classifier = Classifier.load(run.path, str(devices.choose(bench.machine.devices[0])))
        vectors = Vectors(*(last_hidden(classifier, part).numpy() for part in (stored, queries)))
        classes = Classes(stored.labels, queries.labels)
        ways = [exact(STAGE, vectors, classes, _NEAREST, bench.say)]
        ways += coded(STAGE, vectors, classes, BITS, _NEAREST, Settings(seed=seed), bench.say)
        return ways + projected(STAGE, vectors, classes, BITS, _NEAREST, bench.say)

    names = [
        STAGE,
        *(f"{STAGE}, {bits} {kind}" for kind in ("bits", "random projections") for bits in BITS),
    ]
    return _kept(bench, [*_asked(bench), run.name, seed], names, compute, run)


def _kept(bench: Bench, decides: list[Any], names: list[str], compute: Any, *runs: Run) -> list[Way]:
    """The ways of those names, measured once: times too are those of the first time."""

    def tensors() -> dict[str, Tensor]:
        ways = compute()
        assert [way.name for way in ways] == names
        return {
            "same": torch.from_numpy(np.stack([way.same_class for way in ways])),
            "seconds": torch.tensor([way.seconds for way in ways], dtype=torch.float64),
            "bytes": torch.tensor([way.bytes for way in ways]),
        }

    kept = bench.kept("codes", decides, tensors, _VERSION, runs)
    rows = zip(names, kept["same"].numpy(), kept["seconds"].tolist(), kept["bytes"].tolist(), strict=True)
    return [Way(*row) for row in rows]


def _asked(bench: Bench) -> list[Any]:
    return [bench.prepared.fingerprint, bench.split, _QUERIES, _STORED, _NEAREST, list(BITS)]


def _missed(ways: list[Way], name: str) -> Tensor:
    """float64 `[Q]`: the share of each query's neighbours that are of another class."""
    (way,) = (way for way in ways if way.name == name)
    return 1 - torch.from_numpy(way.same_class)


def _rows(ways: list[list[Way]]) -> list[dict[str, Any]]:
    """A row for each way, over the seeds."""
    return [
        {
            "nearest by": each[0].name,
            "precision": fmean(way.precision for way in each),
            "milliseconds a query": 1000 * fmean(way.seconds for way in each),
            "bytes an image": each[0].bytes,
        }
        for each in zip(*ways, strict=True)
    ]


def _judge(numbers: Numbers) -> Verdict:
    found, times = Difference.from_json(numbers["difference"]), numbers["faster"]
    precision = {row["nearest by"]: row["precision"] for row in numbers["ways"]}
    floor = precision[f"{STAGE}, {_JUDGED} random projections"]
    shown = f"{found.points} more of the neighbours are of the query's class by {_JUDGED} bits of {STAGE} than by as "
    shown += f"many of pixels (95 % from {100 * found.low:+.1f} to {100 * found.high:+.1f}, {found.images} queries, "
    shown += f"{found.seeds} seed(s)), {times:.0f} times faster than by {STAGE} itself among "
    shown += f"{numbers['stored']:,}; {STAGE} itself finds {precision[STAGE]:.3f} of the class, the codes "
    shown += f"{precision[f'{STAGE}, {_JUDGED} bits']:.3f}, random projections {floor:.3f}"
    if nothing := unlearnt(numbers["error"], numbers["guessing"]):
        return nothing
    if numbers["stored"] < _LEAST:
        return Verdict("not testable here", f"{shown}, but times are told apart among {_LEAST:,} images at least.")
    if found.low > 0 and found.mean >= _SMALLEST and times >= _FASTER:
        return Verdict("reproduced", f"{shown}.")
    if found.high < _SMALLEST or times < _FASTER:
        asked = f"{100 * _SMALLEST:.0f} points and {_FASTER:.0f} times were asked for"
        return Verdict("not reproduced", f"{shown}; {asked}.")
    return Verdict("not testable here", f"{shown}: too few queries or runs to tell {100 * _SMALLEST:.0f} points.")


def _remarks(stored: Pictures, queries: Pictures) -> tuple[str, ...]:
    settings = Settings()
    return (
        f"{len(queries.places):,} queries among {len(stored.places):,} training photographs of "
        f"{len(np.unique(stored.labels))} classes. The paper suggests this and gives no number.",
        "Pixels are the middle of a picture reduced to 32×32, as in the auto-encoders that the paper cites; figure 4's "
        "table has the pixels of the whole view.",
        f"An auto-encoder has one hidden layer of {settings.hidden} rectified units on either side of the code and is "
        "fitted to the stored images without labels; settings and epochs were chosen by what is rebuilt of a part of "
        "training vectors, never by queries. The network behind relu7 did have labels: that is the claim's point.",
        "A query's time is asked alone on the CPU, coding included, the network's forward pass not.",
    )


def _figure(named: dict[str, dict[str, Any]]) -> Figure:
    """Precision by the length of codes; exact search as level lines."""
    figure = drawing.figure(6.4, 3.4)
    axes = drawing.plain(figure.add_subplot())
    kinds = (
        (f"codes of {STAGE}", STAGE, "bits", drawing.BLUE),
        (f"random projections of {STAGE}", STAGE, "random projections", drawing.MUTED),
        ("codes of pixels", "pixels", "bits", drawing.ORANGE),
    )
    for label, name, kind, colour in kinds:
        values = [named[f"{name}, {bits} {kind}"]["precision"] for bits in BITS]
        axes.plot(range(len(BITS)), values, marker="o", markersize=4, color=colour, label=label)
    for name, colour in ((STAGE, drawing.BLUE), ("pixels", drawing.ORANGE)):
        axes.axhline(named[name]["precision"], color=colour, linewidth=1, linestyle=(0, (4, 3)), label=f"{name}, exact")
    axes.set_xticks(range(len(BITS)), [str(bits) for bits in BITS])
    axes.set_xlabel("bits of a code", fontsize=8, color=drawing.MUTED)
    axes.set_ylim(0, 1)
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    drawing.title(axes, "Of the six nearest, the share of the query's class")
    return figure


EXPERIMENTS = (
    Experiment(
        name="binary-codes",
        section="6.1",
        claim="An auto-encoder to short binary codes makes the search efficient, and from the last hidden layer finds "
        "much better than one from raw pixels.",
        paper="suggested, without a number",
        needs="photographs",
        cost="full: 3 runs, shared with other experiments; reduced: a quarter of the width and of the epochs; then 8 "
        "auto-encoders a run, 10 minutes on a core for ten thousand photographs",
        rule=f"Of the six training images nearest to a test image by codes of {_JUDGED} bits, the share that is of its "
        "class, by codes of relu7 less by codes of pixels; and the time of a query by relu7 itself over that by its "
        "codes. Reproduced where the share's 95 % interval lies above 0, its mean is at least "
        f"{100 * _SMALLEST:.0f} points, and the codes are {_FASTER:.0f} times faster or more; not reproduced where "
        "the interval lies below that or they are less; else not testable here, nor among fewer than "
        f"{_LEAST:,} stored images, nor where the network has learnt nothing.",
        reduced=REDUCED,
        measure=_measure,
        judge=_judge,
    ),
)
