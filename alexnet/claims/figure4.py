"""Figure 4: eight test images with their labels; and whether the network's nearest pictures are those of a class."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import devices, drawing
from alexnet.analysis.predictions import chosen, predictions
from alexnet.evaluation.classifier import Classifier
from alexnet.experiments.bench import REDUCED, Bench
from alexnet.experiments.comparison import Difference, apart, guessing, unlearnt
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.experiments.sample import Pictures, last_hidden, sample
from alexnet.features.nearest import differences, nearest
from alexnet.training.run import Run

_NEAREST = 6
_QUERIES, _STORED = 1_000, 20_000  # at most; of more, that many are drawn by a fixed seed
_SMALLEST = 0.1  # more of the neighbours of a query's class, that counts
_VERSION = 1  # of how the nearest and their distances are found


def pixels(pictures: Pictures, crop: int, place: Path) -> np.ndarray:
    """uint8 `[N,3*crop*crop]`, mapped to the new file `place`: the centre of each picture, as the network sees it."""
    mapped = np.lib.format.open_memmap(place, "w+", np.uint8, (len(pictures.places), 3 * crop * crop))
    edge = (pictures.shards.size - crop) // 2
    for where, images in pictures.batches():
        mapped[where] = images[:, :, edge : edge + crop, edge : edge + crop].reshape(len(images), -1).numpy()
    return mapped


def pixel_distances(queries: Pictures, stored: Pictures, indices: np.ndarray, crop: int) -> np.ndarray:
    """float64 `[Q,k]`: Euclidean distances of the centres' pixels between each query and its pictures of `stored`.

    Args:
        indices: int64 `[Q,k]`, rows of `stored`.
    """
    edge = (queries.shards.size - crop) // 2
    middle = slice(edge, edge + crop)
    found = np.empty(indices.shape)
    for number, rows in enumerate(indices):
        own = queries.images(np.array([number]))[..., middle, middle].reshape(-1).numpy()
        others = stored.images(rows)[..., middle, middle].reshape(len(rows), -1).numpy()
        found[number] = differences(own, others, np.arange(len(rows)))
    return found


def same_class(queries: Pictures, stored: Pictures, indices: np.ndarray) -> np.ndarray:
    """float64 `[Q]`: the share of each query's neighbours that are of its class."""
    share: np.ndarray = (stored.labels[indices] == queries.labels[:, None]).mean(1)
    return share


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The mean share of the neighbours `one` (int64 `[Q,k]`) that are among `other`'s of the same query."""
    return float((one[:, :, None] == other[:, None, :]).any(2).mean())


@dataclass(frozen=True, eq=False)
class _Setting:
    """The pictures, and their neighbours by pixels and by chance."""

    queries: Pictures
    stored: Pictures
    crop: int
    pixels: np.ndarray
    chance: np.ndarray


def _measure(bench: Bench) -> Measured:
    runs = [bench.train(bench.base, seed) for seed in bench.seeds()]
    setting = _setting(bench, runs[0].recipe.views.crop)
    queries, stored = setting.queries, setting.stored
    found = [_indices(bench, run, setting) for run in runs]
    untrained = _indices(bench, runs[0], setting, untrained=True)
    lists = {f"relu7, seed {seed}": each for seed, each in enumerate(found)}
    lists |= {"relu7, untrained": untrained, "pixels": setting.pixels, "drawn at random": setting.chance}
    rows = [
        {
            "nearest by": name,
            "of the query's class": float(same_class(queries, stored, each).mean()),
            "also nearest by pixels": overlap(each, setting.pixels),
            "distance in pixels, random = 1": float(_distances(bench, setting, each).mean()),
        }
        for name, each in lists.items()
    ]
    other = 1 - torch.from_numpy(same_class(queries, stored, setting.pixels))
    ours = [1 - torch.from_numpy(same_class(queries, stored, each)) for each in found]
    difference = apart([other], ours, fixed=(True, False))
    shared = float(np.mean([overlap(each, setting.pixels) for each in found]))
    evaluations = [bench.evaluate(run) for run in runs]
    numbers = {
        "difference": difference.to_json(),
        "overlap": shared,
        "nearest": rows,
        "error": fmean(each.top1_error for each in evaluations),
        "guessing": guessing(evaluations[0].labels),
    }
    said = f"{difference.points} more of six neighbours are of the query's class than by pixels; {shared:.0%} in both"
    return Measured(
        numbers, said, _figures(bench, runs[0], setting, found[0]), {"Six nearest": rows}, _remarks(setting)
    )


def _setting(bench: Bench, crop: int) -> _Setting:
    queries = sample(bench.prepared.split(bench.split), _QUERIES)
    stored = sample(bench.prepared.split("train"), _STORED)

    def by_pixels() -> dict[str, Tensor]:
        bench.say(f"{_NEAREST} nearest of {len(stored.places):,} pictures by pixels, {len(queries.places):,} times")
        with tempfile.TemporaryDirectory(dir=bench.runs) as folder:
            own = pixels(queries, crop, Path(folder, "queries.npy"))
            others = pixels(stored, crop, Path(folder, "stored.npy"))
            return {"indices": torch.from_numpy(nearest(own, others, _NEAREST).indices)}

    decides = [*_asked(bench), crop]
    indices = bench.kept("nearest-pixels", decides, by_pixels, _VERSION)["indices"].numpy()
    chance = np.random.default_rng(2012).integers(0, len(stored.places), indices.shape)
    return _Setting(queries, stored, crop, indices, chance)


def _asked(bench: Bench) -> list[Any]:
    """What decides the queries and the stored pictures."""
    return [bench.prepared.fingerprint, bench.split, _QUERIES, _STORED, _NEAREST]


def _indices(bench: Bench, run: Run, setting: _Setting, *, untrained: bool = False) -> np.ndarray:
    """int64 `[Q,k]`: the nearest in the last hidden layer of a run's network, or of the same with its first weights."""

    def compute() -> dict[str, Tensor]:
        bench.say(f"{run.name}: vectors of {len(setting.stored.places):,} pictures{', untrained' * untrained}")
        classifier = _classifier(bench, run)
        if untrained:
            classifier.network.initialise(run.recipe.seeds.weights)
        own, others = (last_hidden(classifier, each).numpy() for each in (setting.queries, setting.stored))
        return {"indices": torch.from_numpy(nearest(own, others, _NEAREST).indices)}

    decides = [*_asked(bench), run.name, untrained]
    return bench.kept("nearest-relu7", decides, compute, _VERSION, [run])["indices"].numpy()


def _distances(bench: Bench, setting: _Setting, indices: np.ndarray) -> np.ndarray:
    """float64 `[Q]`: the mean pixel distance of each query's neighbours, over that of pictures drawn at random."""

    def compute() -> dict[str, Tensor]:
        lists = (indices, setting.chance)
        own, random = (pixel_distances(setting.queries, setting.stored, each, setting.crop).mean(1) for each in lists)
        return {"relative": torch.from_numpy(own / np.where(random > 0, random, 1))}

    decides = [*_asked(bench), setting.crop, indices.tolist()]
    return bench.kept("pixel-distances", decides, compute, _VERSION)["relative"].numpy()


def _classifier(bench: Bench, run: Run) -> Classifier:
    return Classifier.load(run.path, str(devices.choose(bench.machine.devices[0])))


def _judge(numbers: Numbers) -> Verdict:
    found = Difference.from_json(numbers["difference"])
    shown = f"{found.points} more of the neighbours are of the query's class in the last hidden layer than by pixels "
    shown += f"(95 % from {100 * found.low:+.1f} to {100 * found.high:+.1f}, {found.images} queries, {found.seeds} "
    shown += f"seed(s)); {numbers['overlap']:.0%} are neighbours by pixels too"
    if nothing := unlearnt(numbers["error"], numbers["guessing"]):
        return nothing
    if found.low > 0 and found.mean >= _SMALLEST and numbers["overlap"] < 0.5:
        return Verdict("reproduced", f"{shown}.")
    if numbers["overlap"] >= 0.5 or found.high < _SMALLEST:
        return Verdict("not reproduced", f"{shown}; {100 * _SMALLEST:.0f} points and less than half were asked for.")
    return Verdict("not testable here", f"{shown}: too few queries or runs to tell {100 * _SMALLEST:.0f} points.")


def _remarks(setting: _Setting) -> tuple[str, ...]:
    count = len(np.unique(setting.stored.labels))
    return (
        f"{len(setting.queries.places):,} queries among {len(setting.stored.places):,} training photographs of {count} "
        "classes; the paper shows five queries, without a count.",
    )


def _figures(bench: Bench, run: Run, setting: _Setting, found: np.ndarray) -> Mapping[str, Figure]:
    classifier = _classifier(bench, run)
    eight = np.array(chosen(setting.queries.labels, 8))
    images, labels = setting.queries.images(eight), setting.queries.labels[eight].tolist()
    return {
        "labels": predictions(classifier, images, labels),
        "nearest": neighbours(setting.queries, setting.stored, found, classifier.labels),
        "pixels": neighbours(setting.queries, setting.stored, setting.pixels, classifier.labels),
    }


def neighbours(queries: Pictures, stored: Pictures, indices: np.ndarray, labels: list[str]) -> Figure:
    """Five queries on the left, each one's nearest stored pictures in its row; the names of its class are dark."""
    rows, columns = chosen(queries.labels, 5), indices.shape[1] + 1
    figure = drawing.figure(1.25 * columns, 1.45 * len(rows))
    grid = figure.add_gridspec(len(rows), columns + 1, width_ratios=[1, 0.15, *[1] * (columns - 1)])
    for row, query in enumerate(rows):
        images = torch.cat([queries.images(np.array([query])), stored.images(indices[query])])
        classes = [int(queries.labels[query]), *stored.labels[indices[query]].tolist()]
        for column, (image, label) in enumerate(zip(images, classes, strict=True)):
            axes = drawing.bare(figure.add_subplot(grid[row, column + (column > 0)]))
            axes.imshow(image.permute(1, 2, 0).numpy())
            ink = drawing.INK if label == classes[0] else drawing.ORANGE
            drawing.literal(axes.set_xlabel(drawing.words(labels[label], 16), fontsize=7, color=ink))
    return figure


EXPERIMENTS = (
    Experiment(
        name="figure4",
        section="6.1, figure 4",
        claim="Pictures whose vectors in the last hidden layer are near each other are alike, though not in pixels.",
        paper="shown by five queries with six training images each",
        needs="photographs",
        cost="full: 3 runs that others share; reduced: a quarter of the width and of the epochs; then minutes",
        rule="Of the six training images nearest to a test image, the share that is of its class, in relu7 less that "
        "by pixels. Reproduced where its 95 % interval lies above 0, its mean is at least "
        f"{100 * _SMALLEST:.0f} points, and less than half of the neighbours are nearest by pixels too; not reproduced "
        "where the interval lies below that or half or more are; else not testable here, nor where the network has "
        "learnt nothing.",
        reduced=REDUCED,
        measure=_measure,
        judge=_judge,
        shows_photographs=True,
    ),
)
