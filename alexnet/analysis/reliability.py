"""How far a classifier's probabilities can be trusted, and what abstaining from the unsure answers gains."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.evaluation.calibration import Calibration
from alexnet.evaluation.reliability import Reliability

_POINTS = 400
_FEWEST = 10  # images below which a share says little: the curves have no smaller part


def reliability(calibration: Calibration) -> Figure:
    """The reliability curve before and after calibration, how many images have which confidence, and risk by coverage.

    A point stands for the images of a bin, or of neighbouring ones of fewer than ten images together: their mean
    confidence, and the share answered rightly; on the diagonal probabilities are what they say. Its area grows with the
    number of images.
    """
    figure = drawing.figure(9, 4.8)
    left, right = figure.subplots(1, 2)
    _curves(drawing.plain(left), calibration)
    _risk(drawing.plain(right), calibration)
    for axes in (left, right):
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
        # Below the axes: inside, one corner or another has a curve.
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        axes.legend(frameon=False, fontsize=8, labelcolor=drawing.INK, **below)
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
        area = 6 + 200 * images / max(1, images.sum())
        axes.scatter(x, y, s=area, color=colour, alpha=0.7, linewidth=0, clip_on=False, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right")
    axes.set_xlabel(f"mean confidence of a bin, those of fewer than {_FEWEST} images merged")


def _points(found: Reliability) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(confidence, accuracy, images) of bins, neighbours merged till they have `_FEWEST` images; what is left joins."""
    sums: list[np.ndarray] = []
    for b in found.bins:
        row = b.images * np.array([b.confidence, b.accuracy, 1.0])
        if sums and (sums[-1][2] < _FEWEST or not b.images):
            sums[-1] = sums[-1] + row
        else:
            sums.append(row)
    if len(sums) > 1 and sums[-1][2] < _FEWEST:
        sums[-2:] = [sums[-2] + sums[-1]]
    sure, right, images = np.array(sums).T
    return sure / images, right / images, images


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
