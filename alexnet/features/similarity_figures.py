"""The figures of `similarity`: all measures between all sets, and the dissimilarities of each set."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import drawing

DRAWN = 8
"""Sets whose dissimilarities are drawn at most."""
_COUNTED = 14  # so many sets can have numbers in their cells
_SIDE = 256  # of a drawn matrix of dissimilarities, at most


def measures(names: Sequence[str], panels: Sequence[tuple[str, np.ndarray]], source: str) -> Figure:
    """Matrices `[M,M]` as squares of colour, 0..1 or, with a value below, -1..1; with numbers where there is room.

    Args:
        panels: each with its title.
        source: where the numbers come from, for the foot.
    """
    side = 2.4 + 0.5 * min(len(names), 14)
    drawn = drawing.figure(len(panels) * side, side + max(0.9, side / 5))  # the words around grow with the width
    for axes, (title, values) in zip(drawn.subplots(1, len(panels)), panels, strict=True):
        drawing.title(axes, title)
        _cells(axes, values, names)
    return drawing.heading(drawn, "How alike the responses are", source)


def dissimilarities(names: Sequence[str], matrices: Sequence[np.ndarray], source: str) -> Figure:
    """Dissimilarity matrices `[n,n]` side by side, from white (0) to the largest of each."""
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    drawn = drawing.figure(max(5.0, 2.6 * columns), 2.6 * rows + 0.9)
    grid = drawn.add_gridspec(rows, columns)
    for number, (name, matrix) in enumerate(zip(names, matrices, strict=True)):
        axes = drawing.bare(drawn.add_subplot(grid[number // columns, number % columns]))
        axes.set_title(drawing.cut(name, 30), loc="left", fontsize=8, color=drawing.INK, parse_math=False)
        image = axes.imshow(matrix, cmap="Greys", vmin=0, interpolation="nearest")
        drawn.colorbar(image, ax=axes, shrink=0.7).ax.tick_params(labelsize=6, colors=drawing.MUTED, length=2)
    return drawing.heading(drawn, "Dissimilarities of the images, in each set", source)


def smaller(matrix: np.ndarray) -> np.ndarray:
    """float32 `[n,n]`: a matrix `[N,N]` for drawing, of means where it is too large to be seen cell by cell."""
    step = -(-len(matrix) // _SIDE)
    starts = np.arange(0, len(matrix), step)
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, 0, dtype=np.float64), starts, 1)
    counts = np.diff([*starts, len(matrix)])
    found: np.ndarray = (sums / np.outer(counts, counts)).astype(np.float32)
    return found


def _cells(axes: Axes, values: np.ndarray, names: Sequence[str]) -> None:
    # A correlation below zero is no weaker version of none: red, and white between.
    signed = bool((values < 0).any())
    axes.imshow(values, cmap="RdBu" if signed else "Blues", vmin=-1 if signed else 0, vmax=1, interpolation="nearest")
    shown = [drawing.cut(name, 24) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(names)), shown, parse_math=False)
    axes.tick_params(colors=drawing.MUTED, labelcolor=drawing.INK, labelsize=7, length=0)
    for spine in axes.spines.values():
        spine.set_color(drawing.GRID)
    if len(names) <= _COUNTED:
        for (row, column), value in np.ndenumerate(values):
            text = f"{value:.2f}" if np.isfinite(value) else "–"
            ink = "white" if abs(value) > 0.6 else drawing.INK
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
