"""Descriptors of a picture's patches on a dense grid at several scales: SIFT, colour statistics, HOG, LBP."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.baselines.dense_sift import CELLS, centres, sift

Kind = Literal["sift", "colour", "hog", "lbp"]
LENGTHS: dict[Kind, int] = {"sift": 128, "colour": 96, "hog": 144, "lbp": 236}
"""How many numbers a descriptor has."""

_LUMA = (0.299, 0.587, 0.114)
_PATTERNS = 59  # the uniform patterns of 8 neighbours, and one for all others (Ojala et al., PAMI 2002)
_DIRECTIONS = 9  # of HOG (Dalal and Triggs, CVPR 2005)


@dataclass(frozen=True)
class Grid:
    """Where patches lie: squares of 4×4 cells, `stride` pixels apart, on the picture at several sizes."""

    cell: int = 6
    """Pixels along a side of a cell."""
    stride: int = 4
    scales: tuple[float, ...] = (1.0, 2**-0.5, 0.5, 2**-1.5, 0.25)
    """The sizes of the picture, relative to the stored one."""


def describe(picture: np.ndarray, kind: Kind, grid: Grid) -> tuple[Tensor, Tensor]:
    """float32 `[n, D]`, the descriptors of all patches, and float32 `[n, 2]`, their centres (down, right) in 0..1.

    `D` is `LENGTHS[kind]`.

    Args:
        picture: uint8 `[3, H, W]`, RGB.
        kind: "sift": gradients' directions in 4×4 cells, of the grey picture. "colour": the mean and deviation of
            red, green and blue in 4×4 cells (Clinchant et al., 2007; Perronnin et al., ECCV 2010). "hog": the same
            cells as SIFT's with 9 directions without sign, no smoothing and no roots. "lbp": histograms of local
            binary patterns in 2×2 cells of twice the side.
    """
    colours = torch.from_numpy(np.ascontiguousarray(picture))[None].float() / 255
    parts, places = [], []
    for scale in grid.scales:
        level = _resized(colours, scale)
        found, rows, columns = _measure(level, kind, grid)
        if found.numel() == 0:
            continue
        parts.append(found.reshape(-1, found.shape[-1]))
        places.append(torch.cartesian_prod((rows + 0.5) / level.shape[1], (columns + 0.5) / level.shape[2]))
    if not parts:
        return torch.empty(0, LENGTHS[kind]), torch.empty(0, 2)
    return torch.cat(parts), torch.cat(places)


def colour_statistics(level: Tensor, cell: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """float32 `[rows, columns, 96]`: of each of 4×4 cells the means of red, green, blue, then their deviations.

    With the centres' places in pixels, as `dense_sift.sift` gives them.

    Args:
        level: float32 `[3, H, W]`, 0..1.
    """
    if min(level.shape[1:]) < CELLS * cell:
        return torch.empty(0, 0, 6 * CELLS**2), torch.empty(0), torch.empty(0)
    # All cells that a patch may have begin at multiples of the step that divides both the stride and the cell.
    step = math.gcd(cell, stride)
    means = F.avg_pool2d(torch.cat([level, level.square()])[None], cell, step)[0]
    mean, square = means[:3], means[3:]
    cells = torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()])
    return _patches(cells, CELLS, cell // step, stride // step, stride, (CELLS * cell - 1) / 2)


def hog(level: Tensor, cell: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """float32 `[rows, columns, 144]`: 9 directions in 4×4 cells, a patch a block (L2, cut at 0.2, L2 again).

    With the centres' places in pixels. Where `stride` is `cell` it is what scikit-image's `hog` gives; that one knows
    no other stride.

    Args:
        level: float32 `[H, W]`, 0..1.
    """
    if min(level.shape) < CELLS * cell:
        return torch.empty(0, 0, LENGTHS["hog"]), torch.empty(0), torch.empty(0)
    down, right = torch.zeros_like(level), torch.zeros_like(level)
    down[1:-1], right[:, 1:-1] = level[2:] - level[:-2], level[:, 2:] - level[:, :-2]
    turned = torch.rad2deg(torch.atan2(down, right)) % 180
    direction = (turned * (_DIRECTIONS / 180)).long().clamp(max=_DIRECTIONS - 1)
    maps = torch.zeros(_DIRECTIONS, *level.shape).scatter_(0, direction[None], torch.hypot(down, right)[None])
    step = math.gcd(cell, stride)
    cells = F.avg_pool2d(maps[None], cell, step)[0]
    found, rows, columns = _patches(cells, CELLS, cell // step, stride // step, stride, (CELLS * cell - 1) / 2)
    return _scaled(_scaled(found).clamp(max=0.2)), rows, columns


def binary_patterns(level: np.ndarray, cell: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """float32 `[rows, columns, 236]`: the square roots of 59 patterns' shares in 2×2 cells, of length 1.

    A pixel's pattern says which of its 8 neighbours are as bright as itself. With the centres' places in pixels.

    Args:
        level: uint8 `[H, W]`.
        cell: half the side of one of the 2×2 cells, so that patches are as large as SIFT's.
    """
    from skimage.feature import local_binary_pattern

    height, width = level.shape
    if min(height, width) < CELLS * cell:
        return torch.empty(0, 0, LENGTHS["lbp"]), torch.empty(0), torch.empty(0)
    patterns = local_binary_pattern(level, 8, 1, "nri_uniform").astype(np.int64)  # type: ignore[no-untyped-call]
    step = math.gcd(2 * cell, stride)
    down, right = height // step, width // step
    tiles = np.arange(down)[:, None] * right + np.arange(right)
    place = np.repeat(np.repeat(tiles, step, 0), step, 1) * _PATTERNS
    counts = np.bincount((place + patterns[: down * step, : right * step]).ravel(), minlength=tiles.size * _PATTERNS)
    counted = torch.from_numpy(counts.astype(np.float32)).view(1, down, right, _PATTERNS).permute(0, 3, 1, 2)
    across = 2 * cell // step
    cells = F.avg_pool2d(counted, across, 1)[0]
    found, rows, columns = _patches(cells, 2, across, stride // step, stride, (CELLS * cell - 1) / 2)
    return F.normalize(found, p=1, dim=-1).sqrt(), rows, columns


def _measure(level: Tensor, kind: Kind, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    if kind == "colour":
        return colour_statistics(level, grid.cell, grid.stride)
    grey = (level * torch.tensor(_LUMA).view(3, 1, 1)).sum(0)
    if kind == "sift":
        return sift(grey, grid.cell, grid.stride)
    if kind == "hog":
        return hog(grey, grid.cell, grid.stride)
    return binary_patterns((grey * 255).round().to(torch.uint8).numpy(), grid.cell, grid.stride)


def _scaled(found: Tensor) -> Tensor:
    """`found` with its last dimension of length 1, or less where it is next to nothing."""
    return found / (found.square().sum(-1, keepdim=True) + 1e-10).sqrt()


def _resized(colours: Tensor, scale: float) -> Tensor:
    """float32 `[3, h, w]` from `[1, 3, H, W]`."""
    if scale == 1:
        return colours[0]
    size = tuple(max(1, round(side * scale)) for side in colours.shape[2:])
    return F.interpolate(colours, size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)


def _patches(
    cells: Tensor, side: int, apart: int, every: int, stride: int, first: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`[rows, columns, side * side * C]` from a map `[C, h, w]` of cells: `side`² cells of each patch, `apart` apart.

    Patches begin at every `every`-th place. Ordered by the cell's row, its column, then the channel.
    """
    reach = (side - 1) * apart
    rows, columns = ((n - reach - 1) // every + 1 for n in cells.shape[1:])
    corners = [
        cells[:, y * apart :, x * apart :][:, : (rows - 1) * every + 1 : every, : (columns - 1) * every + 1 : every]
        for y in range(side)
        for x in range(side)
    ]
    found = torch.cat(corners).permute(1, 2, 0)
    return found, centres(first, stride, rows), centres(first, stride, columns)
