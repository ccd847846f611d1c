"""How loss and error went: the training steps and the validation, over the epochs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import drawing

_POINTS = 400  # more than a printed figure can show
_PANELS = (("loss", "Loss (nats)"), ("top1_error", "Top-1 error"), ("top5_error", "Top-5 error"))


def curves(journal: Sequence[dict[str, Any]], top5: bool = False) -> Figure:
    """The curves of loss and top-1 error over the epochs, with the learning rate's drops as vertical lines.

    Faint: the training steps, averaged in blocks; blue: the same smoothed; orange: the validation after each epoch.

    Args:
        journal: the run's journal: lines `{"event": "step", "epoch": a fraction, "loss", "top1_error"}` and
            `{"event": "epoch", "epoch": finished ones, "rate", "training", "validation"}`; others are passed over.
        top5: show the top-5 error too, of which the steps do not tell: its training curve has a point an epoch.
    """
    steps = [line for line in journal if line.get("event") == "step"]
    epochs = [line for line in journal if line.get("event") == "epoch"]
    panels = _PANELS if top5 else _PANELS[:2]
    figure = drawing.figure(12 if top5 else 9, 3.6)
    for place, (name, label) in enumerate(panels, start=1):
        axes = drawing.plain(figure.add_subplot(1, len(panels), place))
        drawing.title(axes, label)
        if name == "top5_error":
            _by_epoch(axes, epochs)
        else:
            _training(axes, steps, name)
        _validation(axes, epochs, name)
        _drops(axes, epochs)
        axes.set_xlabel("epochs", fontsize=8, color=drawing.MUTED)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, labelcolor=drawing.INK)
        else:
            axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", color=drawing.MUTED)
    return figure


def _training(axes: Axes, steps: list[dict[str, Any]], name: str) -> None:
    values = np.array([line[name] for line in steps], dtype=np.float64)
    if not len(values):
        return
    places = np.array([line["epoch"] for line in steps], dtype=np.float64)
    places, values = _blocks(places), _blocks(values)
    axes.plot(places, values, color=drawing.BLUE, alpha=0.25, linewidth=0.7)
    axes.plot(places, _smoothed(values), color=drawing.BLUE, linewidth=1.6, label="training steps")
    _limit(axes, name, values)


def _validation(axes: Axes, epochs: list[dict[str, Any]], name: str) -> None:
    points = [(line["epoch"], line["validation"][name]) for line in epochs if line.get("validation")]
    if points:
        axes.plot(
            *zip(*points, strict=True),
            color=drawing.ORANGE,
            linewidth=1.6,
            marker="o",
            markersize=3.5 if len(points) <= 30 else 0,
            label=f"validation, last {points[-1][1]:.3f}",
        )


def _by_epoch(axes: Axes, epochs: list[dict[str, Any]]) -> None:
    points = [(line["epoch"], line["training"]["top5_error"]) for line in epochs if line.get("training")]
    if points:
        axes.plot(*zip(*points, strict=True), color=drawing.BLUE, linewidth=1.6, label="training epochs")
        axes.set_ylim(0, max(0.05, 1.25 * max(error for _, error in points)))


def _limit(axes: Axes, name: str, values: np.ndarray) -> None:
    """The first few losses may be a hundred times the rest; they shall not flatten the curve."""
    finite = values[np.isfinite(values)]
    if name != "loss":
        axes.set_ylim(0, 1.02)
    elif len(finite) and finite.max() > 3 * (high := float(np.percentile(finite, 98))):
        axes.set_ylim(0, 1.5 * high)


def _drops(axes: Axes, epochs: list[dict[str, Any]]) -> None:
    """A rate that moves every epoch (a warm-up, a decay to zero) has no drops to mark."""
    rates = [line.get("rate") or 0.0 for line in epochs]
    for i in range(1, len(rates)):
        level = (i >= 2 and rates[i - 2] == rates[i - 1]) or (i + 1 < len(rates) and rates[i + 1] == rates[i])
        if level and 0 < rates[i] <= rates[i - 1] / 1.9:
            axes.axvline(i, color=drawing.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.annotate(
                f"rate {rates[i]:g}",
                (i, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -2),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize=6.5,
                color=drawing.MUTED,
            )


def _blocks(values: np.ndarray) -> np.ndarray:
    """Means of at most `_POINTS` neighbouring blocks."""
    if len(values) <= _POINTS:
        return values
    return np.array([block.mean() for block in np.array_split(values, _POINTS)])


def _smoothed(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half of a window of a twentieth of the curve: a wild step leaves no bump."""
    half = max(1, len(values) // 40)
    windows = (np.sort(values[max(0, i - half) : i + half + 1]) for i in range(len(values)))
    return np.array([window[len(window) // 4 : len(window) - len(window) // 4].mean() for window in windows])
