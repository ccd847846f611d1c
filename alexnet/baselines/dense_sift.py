"""Dense SIFT: a descriptor at every few pixels of a picture, by kornia."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

ANGLES, CELLS = 8, 4
"""Directions of the gradient, and cells along a side of the patch (Lowe, IJCV 2004, section 6.1)."""


def sift(grey: Tensor, cell: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """float32 `[rows, columns, 128]`, each of length 1 or 0, and the centres' places: float32 `[rows]`, `[columns]`.

    The square roots of SIFT descriptors scaled to sum 1 (Arandjelović and Zisserman, CVPR 2012). The entries are
    ordered by direction, then the cell's row, then its column. Centres are in pixels, 0 at the first one's centre.
    Nothing (`rows` or `columns` 0) where no patch fits.

    Args:
        grey: float32 `[H, W]`, 0..1.
        cell: pixels from one of the 4×4 cells to the next.
        stride: pixels from one descriptor to the next.
    """
    reach = (CELLS - 1) * cell
    height, width = grey.shape
    if min(height, width) < reach + 1:
        return torch.empty(0, 0, ANGLES * CELLS**2), torch.empty(0), torch.empty(0)
    with torch.inference_mode():
        found = _descriptor(cell, stride)(grey[None, None])[0].permute(1, 2, 0)
    # kornia's cells of an even side reach half a pixel further up and left.
    first = reach / 2 - (0.5 if cell % 2 == 0 else 0)
    return found, centres(first, stride, found.shape[0]), centres(first, stride, found.shape[1])


def centres(first: float, stride: int, count: int) -> Tensor:
    """float32 `[count]`: first, first + stride, first + 2 stride, ..."""
    return first + stride * torch.arange(count, dtype=torch.float32)


@functools.cache
def _descriptor(cell: int, stride: int) -> Callable[[Tensor], Tensor]:
    from kornia.feature import DenseSIFTDescriptor

    return DenseSIFTDescriptor(ANGLES, CELLS, cell, rootsift=True, stride=stride, padding=0).eval()
