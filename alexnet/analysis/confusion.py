"""Which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.errors import counted

_NAMED = 40  # so many classes can have their names at the edges
_COUNTED = 16  # so many can have numbers in their cells
_LISTED = 18


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """The confusion matrix as shares of each true class, readable with two classes and with a thousand.

    Up to 16 classes every cell has its percentage; with more, cells are coloured by the root of the share, so that
    a confusion of one picture in fifty is seen. Up to 40 classes every one is named; with more, those that are
    recognised least and confused most are named beside the matrix.

    Args:
        matrix: integers `[K, K]`, images of the row's class that were taken for the column's.
        classes: K names, in the order of the labels.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    images = counts.sum(1, keepdims=True)
    shares = np.divide(counts, images, out=np.zeros_like(counts), where=images > 0)
    if len(classes) <= _NAMED:
        side = min(11.0, 3.6 + 0.42 * len(classes) if len(classes) <= _COUNTED else 3.2 + 0.2 * len(classes))
        figure = drawing.figure(side, side)
        axes = figure.add_subplot()
        _cells(axes, shares if len(classes) <= _COUNTED else np.sqrt(shares))
        _names(axes, shares, classes)
    else:
        figure = drawing.figure(11.5, 6.6)
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
        _cells(left, np.sqrt(_thickened(shares)))
        left.set_xlabel("answer (number of the class)", fontsize=8, color=drawing.MUTED)
        left.set_ylabel("truth", fontsize=8, color=drawing.MUTED)
        _lists(drawing.bare(right), counts, shares, classes)
    diagonal = np.trace(counts) / max(1.0, counts.sum())
    told = f"{counted(len(classes), 'class', 'classes')}, {counted(int(counts.sum()), 'image')}"
    figure.suptitle(
        f"{told}, {diagonal:.1%} on the diagonal",
        x=0.01,
        ha="left",
        fontsize=10,
        fontweight="bold",
        color=drawing.INK,
    )
    return figure


def _cells(axes: Axes, values: np.ndarray) -> None:
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, interpolation="nearest" if len(values) <= _NAMED else "auto")
    axes.tick_params(colors=drawing.MUTED, labelcolor=drawing.INK, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_color(drawing.GRID)


def _names(axes: Axes, shares: np.ndarray, classes: Sequence[str]) -> None:
    names = [drawing.words(name, 22) for name in classes]
    for axis, rotation in ((axes.xaxis, 45 if len(classes) > 2 else 0), (axes.yaxis, 0)):
        axis.set_ticks(range(len(names)), names, rotation=rotation, parse_math=False)
    if len(classes) > 2:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    axes.set_xlabel("answer", fontsize=8, color=drawing.MUTED)
    axes.set_ylabel("truth", fontsize=8, color=drawing.MUTED)
    if len(classes) <= _COUNTED:
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                colour = "white" if share > 0.55 else drawing.INK
                text = f"{share:.0%}" if share >= 0.01 else "·"
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def _thickened(shares: np.ndarray) -> np.ndarray:
    """Each cell as the largest within a few, so that a single cell of a thousand is not lost between two dots."""
    reach = len(shares) // 300
    thick = shares.copy()
    for axis in (0, 1):
        source = thick.copy()
        for shift in range(-reach, reach + 1):
            moved = np.roll(source, shift, axis)
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, shift) if shift > 0 else slice(len(shares) + shift, None)
            if shift:
                moved[tuple(edge)] = 0
            thick = np.maximum(thick, moved)
    return thick


def _lists(axes: Axes, counts: np.ndarray, shares: np.ndarray, classes: Sequence[str]) -> None:
    seen = np.flatnonzero(counts.sum(1) > 0)
    hardest = seen[np.argsort(shares.diagonal()[seen], kind="stable")][:_LISTED]
    lines = [f"{shares[i, i]:4.0%}  {drawing.words(classes[i], 48)}" for i in hardest]
    _column(axes, 1.0, "Recognised least", lines)
    apart = counts.copy()
    np.fill_diagonal(apart, 0)
    order = np.argsort(-apart, axis=None, kind="stable")[:_LISTED]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, apart.shape), strict=True) if apart[i, j] > 0]
    lines = [
        f"{int(apart[i, j]):4d}  {drawing.words(classes[i], 26)} taken for {drawing.words(classes[j], 26)}"
        for i, j in pairs
    ]
    _column(axes, 0.48, "Confused most (images)", lines)


def _column(axes: Axes, top: float, heading: str, lines: Sequence[str]) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.text(0.0, top, heading, va="top", fontsize=9, fontweight="bold", color=drawing.INK)
    for i, line in enumerate(lines):
        text = axes.text(0.0, top - 0.035 - 0.0235 * i, line, va="top", fontsize=7.5, color=drawing.INK)
        drawing.literal(text).set_fontfamily("monospace")
