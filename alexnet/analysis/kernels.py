"""The kernels of the first convolution, as pictures (figure 3)."""

import math

import numpy as np
from matplotlib.figure import Figure

from alexnet.analysis import drawing
from alexnet.errors import InputError
from alexnet.model.network import Network
from alexnet.model.rows import Convolution

_GAP = 1  # pixels of a kernel's own size between two of them


def kernels(network: Network) -> Figure:
    """The first convolution's kernels, a block for each tower, as in figure 3: 3 rows of 16 and 3 rows of 16.

    Each kernel is scaled by its own largest weight; a weight of zero is mid-grey in every one, so a kernel without
    colour looks grey.

    Raises:
        InputError: the network has no convolution that reads the images.
    """
    row = next((row for row in network.rows if isinstance(row, Convolution)), None)
    weights = network.whole()[f"{row.name}.weight"].numpy() if row else np.empty((0, 0))
    if row is None or weights.shape[1] != 3:
        raise InputError("this network has no convolution that reads the images, so no kernels to show as pictures.")
    blocks = np.split(weights, row.towers)
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
    rows, step = -(-count // columns), size + _GAP
    result = np.ones((rows * step - _GAP, columns * step - _GAP, 3), np.float32)
    for number, picture in enumerate(pictures):
        top, left = number // columns * step, number % columns * step
        result[top : top + size, left : left + size] = picture
    return result


def _columns(count: int) -> int:
    """16 as in figure 3, or so few that every row is full if that can be."""
    if count <= 16:
        return count if count <= 8 else math.ceil(count / 2)
    return next((columns for columns in range(16, 9, -1) if count % columns == 0), 16)
