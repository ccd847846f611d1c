"""The kernels of a convolution, as pictures: those that read the images (figure 3), and deeper ones."""

import math

import numpy as np
from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.errors import InputError
from alexnet.model import rows
from alexnet.model.network import Network
from alexnet.model.rows import Convolution, LocallyConnected

_GAP = 1  # pixels of a kernel's own size between two of them
_DEEP = 12  # kernels of a deeper row, a tower
_INPUTS = 32  # of their input maps


def kernels(network: Network, stage: str | None = None) -> Figure:
    """The first convolution's kernels, a block for each tower, as in figure 3: 3 rows of 16 and 3 rows of 16.

    Each kernel is scaled by its own largest weight; a weight of zero is mid-grey in every one, so a kernel without
    colour looks grey. Of a deeper row the twelve kernels of largest norm in each tower are shown, a line each, for the
    input maps where their weights have the largest norm; a locally connected row's are those at the middle position.

    Args:
        stage: a row of kernels; by default the first.

    Raises:
        InputError: the network has no convolution that reads the images, or no such row of kernels.
    """
    row = _row(network, stage)
    blocks = np.split(_weights(network, row), row.towers)
    if blocks[0].shape[1] != 3:
        return _deep(row, blocks)
    columns = _columns(len(blocks[0]))
    mosaics = [mosaic(block, columns) for block in blocks]
    height, width = mosaics[0].shape[:2]
    figure = drawing.figure(8, 8 * height / width * len(blocks) + 0.35 * len(blocks))
    for number, picture in enumerate(mosaics, start=1):
        axes = drawing.bare(figure.add_subplot(len(blocks), 1, number))
        axes.imshow(picture, interpolation="nearest")
        size = f"{row.size}×{row.size}×3"
        tower = f", tower {number}" if len(blocks) > 1 else ""
        drawing.title(axes, f"{row.name}{tower}: {len(blocks[0])} kernels of {size}")
    return figure


def mosaic(weights: np.ndarray, columns: int) -> np.ndarray:
    """float32 `[H,W,3]`, 0..1: kernels (float `[N,3,k,k]`, red, green, blue) in rows of `columns`, on white."""
    count, _, size, _ = weights.shape
    largest = np.abs(weights).reshape(count, -1).max(1)
    scale = np.where(largest > 0, largest, 1)[:, None, None, None]
    pictures = (0.5 + 0.5 * weights / scale).transpose(0, 2, 3, 1)
    lines, step = -(-count // columns), size + _GAP
    result = np.ones((lines * step - _GAP, columns * step - _GAP, 3), np.float32)
    for number, picture in enumerate(pictures):
        top, left = number // columns * step, number % columns * step
        result[top : top + size, left : left + size] = picture
    return result


def strongest(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 `[n]` and `[n,m]`: the kernels of largest norm, at most 12, and for each the input maps, at most 32, where
    its weights have the largest norm.

    Norms are Euclidean; the largest comes first.

    Args:
        weights: float `[N,M,k,k]`.
    """
    energy = np.square(weights, dtype=np.float64).sum((2, 3))
    chosen = np.argsort(-energy.sum(1), kind="stable")[:_DEEP]
    return chosen, np.argsort(-energy[chosen], axis=1, kind="stable")[:, :_INPUTS]


def _deep(row: Convolution | LocallyConnected, blocks: list[np.ndarray]) -> Figure:
    kinds = [strongest(block) for block in blocks]
    lines, columns = kinds[0][1].shape
    figure = drawing.figure(8.6, 0.2 * lines * len(blocks) * 34 / (columns + 2) + 0.45 * len(blocks))
    for tower, (block, (chosen, inputs)) in enumerate(zip(blocks, kinds, strict=True)):
        shown = block[chosen[:, None], inputs]
        shown = shown / np.maximum(np.abs(shown).max((1, 2, 3), keepdims=True), np.finfo(np.float32).tiny)
        single = mosaic_of_maps(shown)
        axes = drawing.bare(figure.add_subplot(len(blocks), 1, tower + 1))
        axes.imshow(single, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        where = f", tower {tower + 1}" if len(blocks) > 1 else ""
        middle = ", at the middle position" if isinstance(row, LocallyConnected) else ""
        size = f"{row.size}×{row.size}×{block.shape[1]}"
        told = f"the {len(chosen)} of {len(block)} kernels of {size} with the largest norm{middle}"
        axes.set_title(f"{row.name}{where}: {told}", loc="left", fontsize=8, color=drawing.INK)
        step = row.size + _GAP
        first = tower * len(block)
        axes.set_yticks([step * i + (row.size - 1) / 2 for i in range(lines)], [str(first + i) for i in chosen])
        axes.tick_params(length=0, labelsize=6, labelcolor=drawing.MUTED)
    some = f"the {columns} of {blocks[0].shape[1]}" if columns < blocks[0].shape[1] else f"all {columns}"
    order = f"A line a kernel, for {some} input maps, that of its largest weights (by their norm) first"
    axes.set_xlabel(order, loc="left", fontsize=7, color=drawing.MUTED)
    return figure


def mosaic_of_maps(weights: np.ndarray) -> np.ndarray:
    """float32 `[H,W]`: single weights (float `[n,m,k,k]`), a line a kernel, not a number between them."""
    count, across, size, _ = weights.shape
    step = size + _GAP
    result = np.full((count * step - _GAP, across * step - _GAP), np.nan, np.float32)
    for line in range(count):
        for column in range(across):
            place = (slice(line * step, line * step + size), slice(column * step, column * step + size))
            result[place] = weights[line, column]
    return result


def _row(network: Network, stage: str | None) -> Convolution | LocallyConnected:
    having = [row for row in network.rows if isinstance(row, Convolution | LocallyConnected)]
    if stage is None:
        first = next((row for row in having if isinstance(row, Convolution)), None)
        if first is None or rows.input_shapes(network.rows, network.config.input)[first.name][0] != 3:
            raise InputError(
                "this network has no convolution that reads the images, so no kernels to show as pictures."
            )
        return first
    for row in having:
        if row.name == stage:
            return row
    names = ", ".join(row.name for row in having)
    raise InputError(f"{stage} has no kernels to show; these rows have: {names or 'none'}.")


def _weights(network: Network, row: Convolution | LocallyConnected) -> np.ndarray:
    """float32 `[kernels, maps, k, k]`, of a locally connected row those at the middle position."""
    weights: np.ndarray = network.whole()[f"{row.name}.weight"].numpy()
    if isinstance(row, Convolution):
        return weights
    height, width = rows.input_shapes(network.rows, network.config.input)[row.name][1:]
    middle = weights[height // 2 * width + width // 2]
    kernels_: np.ndarray = middle.T.reshape(row.kernels, -1, row.size, row.size)
    return kernels_


def _columns(count: int) -> int:
    """16 as in figure 3, or so few that every row is full if that can be."""
    if count <= 16:
        return count if count <= 8 else math.ceil(count / 2)
    return next((columns for columns in range(16, 9, -1) if count % columns == 0), 16)
