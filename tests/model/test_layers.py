"""Layers against their definitions written as loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.model import rows
from alexnet.model.layers import Convolution, LocallyConnected, Pool


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1), (5, 3)])
@pytest.mark.parametrize("side", [5, 6, 7, 8, 13])
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pooling_takes_every_window_cut_at_the_edge(size: int, stride: int, side: int, kind: str) -> None:
    maps = drawn(2, 3, side, side)
    count = 1 + math.ceil((side - size) / stride)
    expected = torch.empty(2, 3, count, count, dtype=maps.dtype)
    for i in range(count):
        for j in range(count):
            window = maps[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
            expected[:, :, i, j] = window.amax((2, 3)) if kind == "max" else window.mean((2, 3))
    row = rows.Pool("pool", kind, size, stride)
    torch.testing.assert_close(Pool(row)(maps), expected)
    assert rows.output_shape(row, (3, side, side)) == (3, count, count)


@pytest.mark.parametrize(
    ("size", "stride", "before", "after", "side"),
    [(11, 4, 0, 3, 64), (11, 4, 2, 2, 64), (11, 4, 0, 0, 67), (5, 4, 0, 0, 64), (3, 1, 0, 2, 9), (4, 3, 1, 0, 17)],
)
def test_convolution_is_the_padded_strided_one(size: int, stride: int, before: int, after: int, side: int) -> None:
    row = rows.Convolution("conv", 8, size, stride, before, after, sees="images")
    layer = Convolution(row, (3, side, side)).double()
    with torch.no_grad():
        layer.weight.copy_(drawn(8, 3, size, size))
        layer.bias.copy_(drawn(8))
    images = drawn(2, 3, side, side).requires_grad_()
    ours = layer(images)
    theirs = F.conv2d(F.pad(images, (before, after, before, after)), layer.weight, layer.bias, stride)
    torch.testing.assert_close(ours, theirs)
    wanted = [images, layer.weight]
    gradients = zip(
        torch.autograd.grad(ours.square().sum(), wanted),
        torch.autograd.grad(theirs.square().sum(), wanted),
        strict=True,
    )
    for mine, reference in gradients:
        torch.testing.assert_close(mine, reference)


def test_locally_connected_has_its_own_kernels_at_every_position() -> None:
    row = rows.LocallyConnected("local", 4, 3, 1)
    layer = LocallyConnected(row, (2, 5, 5)).double()
    with torch.no_grad():
        layer.weight.copy_(drawn(25, 18, 4))
        layer.bias.copy_(drawn(25, 4))
    maps = drawn(3, 2, 5, 5)
    padded, expected = F.pad(maps, (1, 1, 1, 1)), torch.empty(3, 4, 5, 5, dtype=torch.float64)
    for i in range(5):
        for j in range(5):
            patch = padded[:, :, i : i + 3, j : j + 3].flatten(1)
            expected[:, :, i, j] = patch @ layer.weight[i * 5 + j] + layer.bias[i * 5 + j]
    torch.testing.assert_close(layer(maps), expected)
    shared = layer.weight[:1].expand(25, -1, -1)
    conv = F.conv2d(maps, shared[0].t().reshape(4, 2, 3, 3), padding=1)
    with torch.no_grad():
        layer.weight.copy_(shared)
        layer.bias.zero_()
    torch.testing.assert_close(layer(maps), conv)
