"""How far a classifier's probabilities can be trusted, and what abstaining from the unsure answers gains."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.evaluation.calibration import Calibration
from alexnet.evaluation.reliability import Reliability

_POINTS = 400
_FEWEST = 10  # images below which a share says little: the curve begins there


def reliability(calibration: Calibration) -> Figure:
    """The reliability curve before and after calibration, how many images have which confidence, and risk by coverage.

    A point stands for the images of a bin: their mean confidence, and the share answered rightly; on the diagonal
    probabilities are what they say. Its area grows with the number of images.
    """
    figure = drawing.figure(9, 4.3)
    left, right = figure.subplots(1, 2)
    _curves(drawing.plain(left), calibration)
    _risk(drawing.plain(right), calibration)
    for axes in (left, right):
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
        axes.legend(frameon=False, fontsize=8, labelcolor=drawing.INK, loc="upper left")
    return figure


def _curves(axes: Axes, calibration: Calibration) -> None:
    drawing.title(axes, "Right among the answers of a confidence")
    axes.plot([0, 1], [0, 1], color=drawing.MUTED, linewidth=0.8, linestyle="--")
    for found, colour, name in (
        (calibration.before, drawing.ORANGE, "temperature 1"),
        (calibration.after, drawing.BLUE, f"temperature {calibration.temperature:.4g}"),
    ):
        x, y, images = _points(found)
        axes.plot(x, y, color=colour, linewidth=1.4, label=f"{name}: calibration error {found.calibration_error:.4f}")
        axes.scatter(x, y, s=6 + 200 * images / max(1, images.sum()), color=colour, alpha=0.7, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, 1.12), xlabel="mean confidence of a bin", ylabel="share right")


def _points(found: Reliability) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(confidence, accuracy, images) of the bins that have images."""
    rows = [(b.confidence, b.accuracy, b.images) for b in found.bins if b.images]
    x, y, images = np.array(rows, dtype=np.float64).T
    return x, y, images


def _risk(axes: Axes, calibration: Calibration) -> None:
    drawing.title(axes, "Error among the surest images, calibrated")
    order = calibration.confidences.argsort(descending=True, stable=True).numpy()
    errors = calibration.errors.numpy()[order]
    count = len(errors)
    kept = np.unique(np.linspace(min(_FEWEST, count), count, _POINTS).round().astype(np.int64))
    risk = np.cumsum(errors)[kept - 1] / kept
    axes.plot(kept / count, risk, color=drawing.BLUE, linewidth=1.6, label="surest first")
    axes.axhline(errors.mean(), color=drawing.MUTED, linewidth=0.8, linestyle="--", label="all answered")
    axes.set(xlim=(0, 1), ylim=(0, max(0.02, 1.3 * float(risk.max()))))
    axes.set(xlabel="share answered", ylabel="top-1 error")
