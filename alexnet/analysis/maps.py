"""What the stages hold for a picture: their maps, brighter where they respond more."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from torch import Tensor

from alexnet import drawing
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.model import rows
from alexnet.model.network import Network

_SHOWN = 16  # maps a picture, where there are several pictures (authors' show-maps: 16 maps of 12 images)
_PICTURES = 12
_STRIP = 12  # maps a stage, where there are several stages


def maps(classifier: Classifier, images: Tensor, stage: str | None = None, names: Sequence[str] = ()) -> Figure:
    """The maps of a stage for images; of one image all of them, a block a tower.

    For several images the 16 maps that respond most, a row an image; without a stage one image's strongest maps after
    every rectifier. Each map has its unit's number, counted over the whole row as `lesions` does; of all maps of a
    stage the first and last are told. Colours go from 0 to the largest of all maps shown of a stage, and where some
    are negative from blue over white at 0 to red; units without places, as in fc6, are cells in reading order.

    Args:
        images: uint8 `[N,3,S,S]`, twelve at most.
        names: the images' files, whose names are then shown.

    Raises:
        InputError: there is no such stage, or the images are none, too many, or several without a stage.
    """
    if not 1 <= len(images) <= _PICTURES:
        raise InputError(f"{len(images)} images were given; the maps of 1 to {_PICTURES} can be shown together.")
    if stage is None:
        if len(images) > 1:
            raise InputError("several images can be shown at one stage; name it by --stage, or give one image.")
        return _overview(classifier, images, names)
    found = classifier.stages(images, stage)[stage].float().cpu().numpy()
    row = next(row for row in classifier.network.rows if row.name == stage)
    if len(images) == 1:
        return _whole(found[0], images[0], row.towers, names)
    return _compared(found, images, names)


def rectified(network: Network) -> list[str]:
    """The stages of maps that follow weights, each after its rectifier or tanh: relu1 ... relu5, say."""
    shapes = rows.input_shapes(network.rows, network.config.input)
    active = (rows.Rectifier, rows.Tanh)
    return [row.name for row in network.rows if isinstance(row, active) and len(shapes[row.name]) == 3]


def tiles(values: np.ndarray, columns: int) -> np.ndarray:
    """float32 `[H,W]`: maps (float `[n,h,w]`) in rows of `columns`, not a number between them."""
    count, height, width = values.shape
    gap = _gap((height, width))
    down, right, lines = height + gap, width + gap, -(-count // columns)
    result = np.full((lines * down - gap, columns * right - gap), np.nan, np.float32)
    for number, each in enumerate(values):
        top, left = number // columns * down, number % columns * right
        result[top : top + height, left : left + width] = each
    return result


def _whole(found: np.ndarray, image: Tensor, towers: int, names: Sequence[str]) -> Figure:
    """The picture and all maps of one stage, a block a tower."""
    blocks = np.split(found, towers)
    if found.ndim == 1:
        pictures = [_square(block) for block in blocks]
    else:
        columns = _columns(len(blocks[0]))
        pictures = [tiles(block, columns) for block in blocks]
    height, width = pictures[0].shape
    tall = min(7.2 * height / width, 4.6)
    figure = drawing.figure(9.4, max(2.2, tall * len(blocks) + 0.35 * len(blocks)) + 0.5)
    left, right = _halves(figure)
    axes = drawing.bare(left.add_subplot())
    _picture(axes, image)
    axes.set_title(_name(names, 0), fontsize=7, color=drawing.MUTED, parse_math=False)
    scale = _scale(found)
    for number, picture in enumerate(pictures, start=1):
        axes = drawing.bare(right.add_subplot(len(blocks), 1, number))
        shown = _shown(axes, picture, scale)
        what = "units" if found.ndim == 1 else f"maps of {found.shape[1]}×{found.shape[2]}"
        tower = f"tower {number}: " if towers > 1 else ""
        last = number * len(blocks[0]) - 1
        numbers = f", numbers {last + 1 - len(blocks[0])} to {last} in reading order"
        axes.set_title(f"{tower}{len(blocks[0])} {what}{numbers}", loc="left", fontsize=8, color=drawing.INK)
    _bar(right, shown, right.axes)
    return figure


def _compared(found: np.ndarray, images: Tensor, names: Sequence[str]) -> Figure:
    """A row a picture: the picture and the sixteen maps that respond most over all of them, in their order."""
    if found.ndim == 2:
        raise InputError("units without places are shown for one image at a time; give one, or a stage with maps.")
    strength = found.max((2, 3)).mean(0)
    chosen = np.sort(np.argsort(-strength, kind="stable")[:_SHOWN])
    figure = drawing.figure(10, 0.5 + 0.6 * len(images))
    grid = figure.subplots(len(images), 2, squeeze=False, width_ratios=(1, len(chosen)))
    scale = _scale(found[:, chosen])
    for number, (left, right) in enumerate(grid):
        _picture(drawing.bare(left), images[number])
        shown = _shown(drawing.bare(right), tiles(found[number, chosen], len(chosen)), scale)
    _numbered(grid[0, 1], chosen, found.shape[2:])
    _bar(figure, shown, list(grid[:, 1]))
    return figure


def _overview(classifier: Classifier, images: Tensor, names: Sequence[str]) -> Figure:
    """The picture, and a strip of the strongest maps for each stage after a rectifier."""
    stages = rectified(classifier.network)
    if not stages:
        raise InputError("this network has no rectified maps; name a --stage.")
    found = classifier.stages(images, stages)
    figure = drawing.figure(9.4, 0.5 + 0.75 * max(len(stages), 2))
    left, right = _halves(figure)
    axes = drawing.bare(left.add_subplot())
    _picture(axes, images[0])
    axes.set_title(_name(names, 0), fontsize=7, color=drawing.MUTED, parse_math=False)
    grid = right.subplots(len(stages), 1, squeeze=False)[:, 0]
    for axes, stage in zip(grid, stages, strict=True):
        values = found[stage][0].float().cpu().numpy()
        chosen = np.sort(np.argsort(-values.max((1, 2)), kind="stable")[:_STRIP])
        strip = tiles(values[chosen], _STRIP)
        _shown(drawing.bare(axes), strip, _scale(values[chosen]))
        _numbered(axes, chosen, values.shape[1:])
        size = f"{values.shape[1]}×{values.shape[2]}"
        axes.set_ylabel(f"{stage}\n{len(values)} of {size}", fontsize=7, rotation=0, ha="right", va="center")
    return figure


def _halves(figure: Figure) -> tuple[SubFigure, SubFigure]:
    """A narrow part for the picture, and a wide one for its maps."""
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.7, 7.5))
    return halves[0], halves[1]


def _shown(axes: Axes, values: np.ndarray, scale: tuple[float, float]) -> AxesImage:
    colours = "RdBu_r" if scale[0] < 0 else "viridis"
    return axes.imshow(values, cmap=colours, interpolation="nearest", vmin=scale[0], vmax=scale[1])


def _numbered(axes: Axes, units: np.ndarray, shape: tuple[int, ...]) -> None:
    """Nothing; above each map of a row of them, all of this shape, stands its unit's number."""
    places = (shape[1] + _gap(shape)) * np.arange(len(units)) + (shape[1] - 1) / 2
    axes.set_xticks(places, [str(unit) for unit in units])
    axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0, labelsize=6.5, pad=1)
    axes.tick_params(labelcolor=drawing.MUTED)


def _bar(figure: Figure | SubFigure, shown: AxesImage, beside: Sequence[Axes]) -> None:
    """Nothing; beside these axes stands what their colours mean."""
    bar = figure.colorbar(shown, ax=beside, shrink=0.6, aspect=40, pad=0.01)
    bar.ax.tick_params(labelsize=7, colors=drawing.MUTED, labelcolor=drawing.INK, length=2)


def _scale(values: np.ndarray) -> tuple[float, float]:
    """From 0 to the largest value; where some are negative as far to either side of 0."""
    low, high = float(values.min()), float(np.abs(values).max()) or 1.0
    return (-high if low < 0 else 0.0), high


def _gap(shape: tuple[int, ...]) -> int:
    """Cells between two maps of this shape."""
    return max(1, round(max(shape) / 16))


def _square(values: np.ndarray) -> np.ndarray:
    """float32 `[h,w]`: units in reading order, about twice as wide as high, not a number after the last."""
    width = max(1, math.ceil(math.sqrt(2 * len(values))))
    result = np.full((-(-len(values) // width), width), np.nan, np.float32)
    result.flat[: len(values)] = values
    return result


def _columns(count: int) -> int:
    """About two and a half times as many as lines, every line full if that can be."""
    ideal = math.sqrt(2.5 * count)
    fitting = [n for n in range(1, count + 1) if count % n == 0 and ideal / 1.6 <= n <= ideal * 1.6]
    return min(fitting, key=lambda n: abs(n - ideal)) if fitting else math.ceil(ideal)


def _picture(axes: Axes, image: Tensor) -> None:
    axes.imshow(image.permute(1, 2, 0).cpu().numpy(), interpolation="nearest" if image.shape[1] < 64 else None)
    axes.set_anchor("N")


def _name(names: Sequence[str], number: int) -> str:
    return drawing.cut(names[number].rsplit("/", 1)[-1], 30) if names else ""
