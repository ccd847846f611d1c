"""What the rows compute, as modules; each is built from its row and the shape of its input."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import randomness
from alexnet.model import rows
from alexnet.model.norms import ResponseNorm, SameMapNorm
from alexnet.model.rows import Shape


class Convolution(nn.Module):
    """float `[N, maps, height, width]` → `[N, kernels, ...]`; weights in Caffe's grouped layout, channels_last."""

    def __init__(self, row: rows.Convolution, shape: Shape) -> None:
        super().__init__()
        self.row, self.groups = row, rows.groups(row)
        shapes = rows.parameter_shapes(row, shape)
        self.weight = nn.Parameter(torch.zeros(shapes["weight"]).to(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(shapes["bias"]))

    def forward(self, maps: Tensor) -> Tensor:
        row = self.row
        if row.stride > 1 and self.groups == 1:
            return F.conv2d(self._gathered(maps), self._gathered_weight(), self.bias)
        if row.before != row.after:
            extra = row.after - row.before
            maps = F.pad(maps, (0, extra, 0, extra) if extra > 0 else (-extra, 0, -extra, 0))
        return F.conv2d(maps, self.weight, self.bias, row.stride, min(row.before, row.after), groups=self.groups)

    # A strided convolution equals one of stride 1 over blocks of stride x stride pixels, with a block's pixels as
    # maps and the kernels filled up with zeros to whole blocks. For conv1's 3 maps this is the faster by 2 on a CPU
    # in bf16: 48 maps fill the machine's tiles, 3 do not.

    def _gathered(self, maps: Tensor) -> Tensor:
        """`maps` as `[N, maps * stride**2, blocks, blocks]`, padded."""
        row, device = self.row, maps.device.type
        if torch.is_autocast_enabled(device):
            maps = maps.to(torch.get_autocast_dtype(device))
        across, sides = -(-row.size // row.stride) - 1, maps.shape[2:]
        blocks = [(side + row.before + row.after - row.size) // row.stride + 1 + across for side in sides]
        down, right = (count * row.stride - side - row.before for count, side in zip(blocks, sides, strict=True))
        maps = F.pad(maps, (row.before, right, row.before, down))
        cut = maps.permute(0, 2, 3, 1).reshape(len(maps), blocks[0], row.stride, blocks[1], row.stride, -1)
        return cut.transpose(2, 3).reshape(len(maps), *blocks, -1).permute(0, 3, 1, 2)

    def _gathered_weight(self) -> Tensor:
        """The weights as `[kernels, maps * stride**2, blocks, blocks]`."""
        stride, count = self.row.stride, -(-self.row.size // self.row.stride)
        extra = count * stride - self.row.size
        filled = F.pad(self.weight, (0, extra, 0, extra)).permute(0, 2, 3, 1)
        cut = filled.reshape(self.row.kernels, count, stride, count, stride, -1)
        return cut.transpose(2, 3).reshape(self.row.kernels, count, count, -1).permute(0, 3, 1, 2)


class LocallyConnected(nn.Module):
    """float `[N, maps, height, width]` → `[N, kernels, height, width]` with weights of its own at every position."""

    def __init__(self, row: rows.LocallyConnected, shape: Shape) -> None:
        super().__init__()
        self.row, self.shape = row, rows.output_shape(row, shape)
        shapes = rows.parameter_shapes(row, shape)
        self.weight = nn.Parameter(torch.zeros(shapes["weight"]))
        self.bias = nn.Parameter(torch.zeros(shapes["bias"]))

    def forward(self, maps: Tensor) -> Tensor:
        patches = F.unfold(maps, self.row.size, padding=self.row.padding)
        responses = torch.baddbmm(self.bias[:, None], patches.permute(2, 0, 1), self.weight)
        return responses.permute(1, 2, 0).reshape(-1, *self.shape)


class Dense(nn.Module):
    """float `[N, ...]` → `[N, units]`; the towers of a row that does not see all of them are multiplied apart."""

    def __init__(self, row: rows.Dense, shape: Shape) -> None:
        super().__init__()
        self.groups = rows.groups(row)
        shapes = rows.parameter_shapes(row, shape)
        self.weight = nn.Parameter(torch.zeros(shapes["weight"]))
        self.bias = nn.Parameter(torch.zeros(shapes["bias"]))

    def forward(self, maps: Tensor) -> Tensor:
        units = maps.flatten(1)
        if self.groups == 1:
            return F.linear(units, self.weight, self.bias)
        inputs = units.view(len(units), self.groups, -1).transpose(0, 1)
        weights = self.weight.view(self.groups, -1, self.weight.shape[1]).transpose(1, 2)
        return torch.bmm(inputs, weights).transpose(0, 1).flatten(1) + self.bias


class Rectifier(nn.Module):
    """max(0, x)."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps)


class Tanh(nn.Module):
    """tanh x."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.tanh(maps)


class Pool(nn.Module):
    """Maxima or means over windows cut at the edge."""

    def __init__(self, row: rows.Pool) -> None:
        super().__init__()
        self.row = row

    def forward(self, maps: Tensor) -> Tensor:
        # torch drops a window that starts beyond the edge, and there is none while stride <= size.
        if self.row.kind == "max":
            return F.max_pool2d(maps, self.row.size, self.row.stride, ceil_mode=True)
        return F.avg_pool2d(maps, self.row.size, self.row.stride, ceil_mode=True, count_include_pad=False)


class Dropout(nn.Module):
    """Units zeroed at random in training; `first` is the number of this part's first unit in the whole row."""

    def __init__(self, row: rows.Dropout, shape: Shape, first: int = 0) -> None:
        super().__init__()
        self.row, self.first, self.units = row, first, math.prod(shape)

    def forward(self, maps: Tensor, keys: Tensor | None = None) -> Tensor:
        """`maps` with each unit kept by hash(key of the image, row, unit), or by torch's generator without keys."""
        keep, inverted = self.row.keep, self.row.scaling == "inverted"
        if not self.training:
            return maps if inverted else maps * keep
        if keys is None:
            mask = torch.rand(maps.shape, device=maps.device) < keep
        else:
            units = torch.arange(self.first, self.first + self.units, device=maps.device)
            mask = randomness.kept(keys.to(maps.device), self.row.name, units, keep).view(maps.shape)
        return maps * mask / keep if inverted else maps * mask


def module(row: rows.Row, shape: Shape, first: int = 0) -> nn.Module:
    """The module that computes `row` on inputs of `shape`; `first` is the number of its first unit (for Dropout)."""
    match row:
        case rows.Convolution():
            return Convolution(row, shape)
        case rows.LocallyConnected():
            return LocallyConnected(row, shape)
        case rows.Dense():
            return Dense(row, shape)
        case rows.Rectifier():
            return Rectifier()
        case rows.Tanh():
            return Tanh()
        case rows.ResponseNorm():
            return ResponseNorm(row, shape[0])
        case rows.SameMapNorm():
            return SameMapNorm(row)
        case rows.Pool():
            return Pool(row)
        case rows.Dropout():
            return Dropout(row, shape, first)


def initial(row: rows.Row, shape: Shape, seed: int) -> dict[str, Tensor]:
    """The row's first "weight" and "bias", float32 on the CPU, whole; a function of the row and the seed alone."""
    if not isinstance(row, rows.Convolution | rows.LocallyConnected | rows.Dense):
        return {}
    generator, inputs = randomness.generator(seed, f"weights {row.name}"), rows.fan_in(row, shape)
    shapes = rows.parameter_shapes(row, shape)
    if row.deviation == "uniform":
        bound = 1 / math.sqrt(inputs)
        return {name: torch.rand(size, generator=generator) * 2 * bound - bound for name, size in shapes.items()}
    deviation = math.sqrt(2 / inputs) if isinstance(row.deviation, str) else row.deviation
    weight = torch.randn(shapes["weight"], generator=generator) * deviation
    return {"weight": weight, "bias": torch.full(shapes["bias"], row.bias)}
