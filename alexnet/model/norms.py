"""The two response norms: over adjacent maps (section 3.3), and within a map (authors' code)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.model import rows


class ResponseNorm(nn.Module):
    """float `[N, maps, height, width]`, the same shape: x / (k + alpha * window sum of squares) ** beta."""

    def __init__(self, row: rows.ResponseNorm, maps: int) -> None:
        super().__init__()
        self.row = row
        band = _band(maps, maps if row.across else maps // row.towers, row.n)
        self.register_buffer("band", band, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        band = self.get_buffer("band").to(maps.dtype)
        with torch.autocast(maps.device.type, enabled=False):
            flat = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
            sums = flat.square() @ band
            out = flat * (self.row.k + self.row.alpha * sums).pow(-self.row.beta)
            return out.view(*maps.shape[:1], *maps.shape[2:], maps.shape[1]).permute(0, 3, 1, 2)


class SameMapNorm(nn.Module):
    """float `[N, maps, height, width]`, the same shape: x / (offset + scale * window mean of squares) ** beta.

    The mean divides by n * n at the edge too, as a window there sums zeros (authors' code).
    """

    def __init__(self, row: rows.SameMapNorm) -> None:
        super().__init__()
        self.row = row

    def forward(self, maps: Tensor) -> Tensor:
        means = F.avg_pool2d(maps.square(), self.row.n, 1, self.row.n // 2, count_include_pad=True)
        return maps * (self.row.offset + self.row.scale * means).pow(-self.row.beta)


def _band(maps: int, group: int, n: int) -> Tensor:
    """float32 `[maps, maps]` whose column i has ones at the maps that the window of map i sums."""
    i = torch.arange(maps)
    near = (i[:, None] - i[None] >= -(n // 2)) & (i[:, None] - i[None] <= n // 2)
    return (near & (i[:, None] // group == i[None] // group)).float()
