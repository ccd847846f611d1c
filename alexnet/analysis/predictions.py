"""Images with the five labels thought most probable (figure 4, left)."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import drawing
from alexnet.analysis.pictures import UNKNOWN, Pictures
from alexnet.evaluation.classifier import Classifier

_COLUMNS = 4
_LETTERS = 26  # of a label, and of a file's name, that fit under a picture


def predictions(
    classifier: Classifier, images: Tensor, labels: Sequence[int], paths: Sequence[str] = (), top: int = 5
) -> Figure:
    """The images, each over its true label and bars for the most probable ones, the true one's bar red.

    Args:
        images: uint8 `[N,3,S,S]`, as a prepared set stores them; eight fill the page as in the paper.
        labels: the N true classes, by their place in the classifier's, or -1 where nobody knows.
        paths: the images' files, whose names are then shown.
    """
    probabilities = classifier.probabilities(images).cpu()
    best = probabilities.topk(min(top, probabilities.shape[1]), dim=1)
    names = classifier.labels
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    figure = drawing.figure(2.25 * columns, 0.1 + rows * (2.75 + 0.2 * best.values.shape[1]))
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[2.3, 0.25 + 0.2 * best.values.shape[1]] * rows)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        axes = drawing.bare(figure.add_subplot(grid[2 * row, column]))
        axes.imshow(image.permute(1, 2, 0).cpu().numpy(), interpolation="nearest" if image.shape[1] < 64 else None)
        true = labels[number]
        under = "" if true == UNKNOWN else drawing.words(names[true], _LETTERS)
        drawing.literal(axes.set_xlabel(under, fontsize=9, fontweight="bold", color=drawing.INK))
        if paths:
            name = drawing.cut(paths[number].rsplit("/", 1)[-1], _LETTERS + 6)
            axes.set_title(name, fontsize=6, color=drawing.MUTED, pad=3, parse_math=False)
        _bars(
            figure.add_subplot(grid[2 * row + 1, column]),
            [names[i] for i in best.indices[number].tolist()],
            best.values[number].numpy(),
            [i == true for i in best.indices[number].tolist()],
        )
    return figure


def chosen(labels: np.ndarray, count: int = 8) -> list[int]:
    """Positions of `count` images (all, if there are fewer), of as many classes as can be, always the same ones.

    Args:
        labels: int64 `[N]`, the classes of the images.
    """
    return sorted(mixed(labels)[:count])


def mixed(labels: np.ndarray) -> list[int]:
    """All positions, one image of each class, then a second of each, and so on, in an order drawn by a fixed seed.

    Args:
        labels: int64 `[N]`, the classes of the images, or the numbers of their folders.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).tolist()
    seen: dict[int, int] = {}
    ranked = []
    for place, position in enumerate(order):
        label = int(labels[position])
        ranked.append((seen.get(label, 0), place, position))
        seen[label] = seen.get(label, 0) + 1
    return [position for _, _, position in sorted(ranked)]


def wrong(classifier: Classifier, pictures: Pictures, count: int = 8) -> list[int]:
    """Positions of `count` images that the classifier takes for another class (all, if there are fewer).

    Images are asked in the order of `mixed`, as far as is needed: always the same ones.

    Args:
        pictures: images with labels.
    """
    found: list[int] = []
    for positions, images in pictures.batches(mixed(pictures.labels)):
        answers = classifier.log_probabilities(images).argmax(1).cpu().numpy()
        found += positions[answers != pictures.labels[positions]].tolist()
        if len(found) >= count:
            break
    return sorted(found[:count])


def _bars(axes: Axes, names: Sequence[str], values: np.ndarray, true: Sequence[bool]) -> None:
    places = range(len(names))
    axes.barh(places, np.ones(len(names)), height=0.86, color="#f1f3f6")
    axes.barh(places, values, height=0.86, color=["#e8736c" if right else "#9db8d9" for right in true])
    for place, name, value in zip(places, names, values.tolist(), strict=True):
        text = axes.text(0.02, place, drawing.words(name, _LETTERS), va="center", fontsize=7.5, color=drawing.INK)
        drawing.literal(text)
        axes.text(0.99, place, f"{value:.0%}", va="center", ha="right", fontsize=7, color=drawing.INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    drawing.bare(axes)
