"""The two response norms: over adjacent maps (section 3.3), and within a map (authors' code)."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alexnet.model import rows

_BLOCK = 1 << 20


class ResponseNorm(nn.Module):
    """float `[N, maps, height, width]`, the same shape: x / (k + alpha * window sum of squares) ** beta.

    In channels_last memory the maps that share a window's sums, a tower's or all, are rows of a matrix
    `[N * height * width * towers, maps of a tower]`, and the sums one product with a band matrix of ones: fast wherever
    products are.
    """

    def __init__(self, row: rows.ResponseNorm, maps: int) -> None:
        super().__init__()
        self.row = row
        self.register_buffer("band", _band(maps if row.across else maps // row.towers, row.n), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        row, band = self.row, self.get_buffer("band").to(maps.dtype)
        with torch.autocast(maps.device.type, enabled=False):
            flat = maps.permute(0, 2, 3, 1).reshape(-1, len(band))
            if torch.compiler.is_compiling():
                # The compiler fuses this into two passes, which the blocks of _Across would keep it from.
                flat = flat * _power(row.k + row.alpha * _accurate(flat.square() @ band), -row.beta).to(flat.dtype)
            else:
                flat = _Across.apply(flat, band, row.k, row.alpha, row.beta)  # type: ignore[no-untyped-call]
            return flat.view(len(maps), *maps.shape[2:], maps.shape[1]).permute(0, 3, 1, 2)


class _Across(torch.autograd.Function):
    """x d^-beta for rows x, with d = k + alpha * squares @ band; d is never rounded to less than float32.

    Its gradient is g d^-beta - 2 alpha beta x ((g x d^(-beta - 1)) @ band'), and d^-1 = (d^-beta)^(1 / beta).
    On a CPU the passes go over blocks, to bound the float32 temporaries (64 MB). Blocks that fit its caches are the
    faster on an idle machine, but each pass is a barrier for its threads, and beside one other busy process small
    blocks took three to nine times as long as large ones.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor, k: float, alpha: float, beta: float) -> Tensor:
        out, factors = torch.empty_like(x), torch.empty_like(x)
        for x_, out_, factor in _blocks(x, out, factors):
            d = _accurate(x_.square() @ band).mul_(alpha).add_(k)
            factor.copy_(d.log_().mul_(-beta).exp_())
            torch.mul(x_, factor, out=out_)
        ctx.save_for_backward(x, band, factors)
        ctx.alpha, ctx.beta = alpha, beta
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, band, factors = ctx.saved_tensors
        out, transposed = torch.empty_like(x), band.t().contiguous()
        for x_, gradient_, factor, out_ in _blocks(x, gradient, factors, out):
            inverse = _accurate(factor).log().mul_(1 / ctx.beta).exp_().to(x.dtype)
            direct = gradient_ * factor
            torch.addcmul(
                direct, inverse.mul_(x_).mul_(direct) @ transposed, x_, value=-2 * ctx.alpha * ctx.beta, out=out_
            )
        return out, None, None, None, None


class SameMapNorm(nn.Module):
    """float `[N, maps, height, width]`, the same shape: x / (offset + scale * window mean of squares) ** beta.

    The mean divides by n * n at the edge too, as a window there sums zeros (authors' code).
    """

    def __init__(self, row: rows.SameMapNorm) -> None:
        super().__init__()
        self.row = row

    def forward(self, maps: Tensor) -> Tensor:
        row = self.row
        with torch.autocast(maps.device.type, enabled=False):
            means = F.avg_pool2d(maps.square(), row.n, 1, row.n // 2, count_include_pad=True)
            return maps * _power(row.offset + row.scale * _accurate(means), -row.beta).to(maps.dtype)


def _blocks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Matching row blocks of matrices of one shape; on an accelerator one block, for it gains nothing from more."""
    rows_ = max(1, _BLOCK // tensors[0].shape[1]) if tensors[0].device.type == "cpu" else max(1, len(tensors[0]))
    return zip(*(torch.split(tensor, rows_) for tensor in tensors), strict=True)


def _accurate(x: Tensor) -> Tensor:
    """`x` in float32 at least; itself if it is already."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for positive x; on a CPU logarithm and exponential are ten times as fast as `pow`."""
    return (x.log() * exponent).exp()


def _band(maps: int, n: int) -> Tensor:
    """float32 `[maps, maps]` whose column i has ones at the maps that the window of map i sums."""
    i = torch.arange(maps)
    offset = i[:, None] - i[None]
    return ((offset >= -(n // 2)) & (offset <= n // 2)).float()
