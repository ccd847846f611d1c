"""Spatial pyramids: which parts of a picture the descriptors are pooled over (Lazebnik et al., CVPR 2006)."""

from dataclasses import dataclass

import torch
from torch import Tensor

Layout = tuple[tuple[int, int], ...]
"""Grids of regions, each (rows, columns): ((1, 1), (3, 1)) is the whole picture and three bands."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """The descriptors of a picture sorted into the pieces that all borders of a layout cut it into.

    Each region is a union of pieces, so what is summed or maximised over regions is computed once a piece.
    """

    order: Tensor
    """int64 `[n]`: the descriptors sorted by piece."""
    counts: tuple[int, ...]
    """How many descriptors each of the P pieces has."""
    regions: Tensor
    """bool `[R, P]`: the pieces of each region, regions in the layout's order, row by row."""

    def split(self, values: Tensor) -> tuple[Tensor, ...]:
        """`values` (`[n, ...]`, of each descriptor) by piece."""
        return torch.split(values[self.order], list(self.counts))


def pieces(places: Tensor, layout: Layout) -> Pieces:
    """The descriptors at `places` (float32 `[n, 2]`, down and right, 0..1) sorted for `layout`.

    A place on a border belongs to the region below or to the right of it.
    """
    downs, rights = (_borders([grid[axis] for grid in layout]) for axis in (0, 1))
    wide = len(rights) + 1
    down = torch.bucketize(places[:, 0].contiguous(), downs, right=True)
    right = torch.bucketize(places[:, 1].contiguous(), rights, right=True)
    number = down * wide + right
    counts = torch.bincount(number, minlength=(len(downs) + 1) * wide)
    return Pieces(number.argsort(stable=True), tuple(counts.tolist()), _regions(layout, downs, rights))


def count(layout: Layout) -> int:
    """How many regions a layout has."""
    return sum(rows * columns for rows, columns in layout)


def _borders(parts: list[int]) -> Tensor:
    return torch.tensor(sorted({i / n for n in parts for i in range(1, n)}), dtype=torch.float32)


def _regions(layout: Layout, downs: Tensor, rights: Tensor) -> Tensor:
    middles = [
        (torch.cat([torch.zeros(1), borders]) + torch.cat([borders, torch.ones(1)])) / 2 for borders in (downs, rights)
    ]
    found = []
    for rows, columns in layout:
        of_down, of_right = (middles[0] * rows).long(), (middles[1] * columns).long()
        for i in range(rows):
            for j in range(columns):
                found.append(((of_down == i)[:, None] & (of_right == j)).flatten())
    return torch.stack(found)
