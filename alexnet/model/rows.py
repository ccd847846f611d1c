"""The vocabulary of tables: a network is a tuple of these rows, in order.

Every number in a row is of the whole network; a row held by two towers gives the first half of its kernels or
units to tower 1. Shapes are of one image, without the batch: `(maps, height, width)`, or `(units,)` after a Dense.
"""

import math
from dataclasses import dataclass
from typing import Literal

Shape = tuple[int, ...]
Sight = Literal["images", "own", "all"]
"""What a row with weights reads: the images, its own tower, or all towers."""
Scale = Literal["he", "uniform"]


@dataclass(frozen=True)
class Convolution:
    """Kernels moved over the maps. `before` and `after` are the zeros at the top and left, and at the bottom and right.

    `deviation` is that of the initial normal weights; "he" is sqrt(2 / inputs of a unit), "uniform" is torch's own
    default (weights and biases uniform within 1 / sqrt(inputs of a unit), `bias` unused).
    """

    name: str
    kernels: int
    size: int
    stride: int = 1
    before: int = 0
    after: int = 0
    towers: int = 1
    sees: Sight = "own"
    deviation: float | Scale = 0.01
    bias: float = 0.0

    @property
    def sees_all_towers(self) -> bool:
        """Whether the towers' maps are exchanged before this row."""
        return self.sees == "all"


@dataclass(frozen=True)
class LocallyConnected:
    """A convolution whose weights and biases differ at every position (section 3.3's nets on CIFAR-10); stride 1."""

    name: str
    kernels: int
    size: int
    padding: int
    towers: int = 1
    deviation: float | Scale = 0.01
    bias: float = 0.0
    sees_all_towers: bool = False


@dataclass(frozen=True)
class Dense:
    """A fully connected layer; maps are flattened with the map as the slowest index."""

    name: str
    units: int
    towers: int = 1
    sees: Sight = "own"
    deviation: float | Scale = 0.01
    bias: float = 0.0

    @property
    def sees_all_towers(self) -> bool:
        """Whether the towers' units are exchanged before this row."""
        return self.sees == "all"


@dataclass(frozen=True)
class Rectifier:
    """max(0, x) (section 3.1)."""

    name: str
    towers: int = 1
    sees_all_towers: bool = False


@dataclass(frozen=True)
class Tanh:
    """tanh x, the rival of section 3.1."""

    name: str
    towers: int = 1
    sees_all_towers: bool = False


@dataclass(frozen=True)
class ResponseNorm:
    """x / (k + alpha * the sum of squares over n adjacent maps) ** beta (section 3.3).

    The maps summed are i - n // 2 ... i + n // 2 at the same position, of the same tower unless `across`. Alpha is
    that of the formula: a file that divides it by n (authors' code, Caffe, torch) has it divided here already.
    """

    name: str
    n: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    across: bool = False
    towers: int = 1
    sees_all_towers: bool = False


@dataclass(frozen=True)
class SameMapNorm:
    """x / (offset + scale / n**2 * the sum of squares over n x n positions of the same map) ** beta (authors' code)."""

    name: str
    n: int = 5
    scale: float = 1e-3
    beta: float = 0.75
    offset: float = 1.0
    towers: int = 1
    sees_all_towers: bool = False


@dataclass(frozen=True)
class Pool:
    """The maximum or the mean over windows, 1 + ceil((side - size) / stride) of them, cut at the edge (section 3.4).

    A mean is over the part of its window that lies inside.
    """

    name: str
    kind: Literal["max", "mean"] = "max"
    size: int = 3
    stride: int = 2
    towers: int = 1
    sees_all_towers: bool = False


@dataclass(frozen=True)
class Dropout:
    """Units set to zero at random in training (section 4.2).

    `scaling` "test" multiplies by `keep` when not training (paper, authors' code); "inverted" divides by it in
    training (Caffe, torchvision).
    """

    name: str
    keep: float = 0.5
    scaling: Literal["test", "inverted"] = "test"
    towers: int = 1
    sees_all_towers: bool = False


@dataclass(frozen=True)
class Field:
    """What the units of a row see of the images: along each axis, position i sees pixels `start + i * stride` to
    `start + i * stride + size - 1`, of which those outside the image are zeros (or, in pooling, are not there).

    The units of a Dense row have one position, which sees all that the maps before it see; its stride is 0.
    """

    size: int
    stride: int
    start: int

    def window(self, position: int, side: int) -> tuple[int, int]:
        """The first pixel that position sees, and the one after the last, within an image of that side."""
        first = self.start + position * self.stride
        return max(0, first), min(side, first + self.size)


Row = Convolution | LocallyConnected | Dense | Rectifier | Tanh | ResponseNorm | SameMapNorm | Pool | Dropout
Weighted = Convolution | LocallyConnected | Dense


def output_shape(row: Row, shape: Shape) -> Shape:
    """The shape of the row's output from that of its input."""
    match row:
        case Convolution():
            sides = (1 + (side + row.before + row.after - row.size) // row.stride for side in shape[1:])
            return (row.kernels, *sides)
        case LocallyConnected():
            return (row.kernels, *(1 + side + 2 * row.padding - row.size for side in shape[1:]))
        case Dense():
            return (row.units,)
        case Pool():
            return (shape[0], *(1 + math.ceil((side - row.size) / row.stride) for side in shape[1:]))
        case _:
            return shape


def groups(row: Row) -> int:
    """How many groups of inputs do not meet in the row: its towers, unless it reads them all."""
    return row.towers if isinstance(row, Convolution | Dense) and row.sees == "own" else 1


def fan_in(row: Weighted, shape: Shape) -> int:
    """How many inputs one unit of the row has."""
    if isinstance(row, Dense):
        return math.prod(shape) // groups(row)
    return shape[0] // groups(row) * row.size**2


def parameter_shapes(row: Row, shape: Shape) -> dict[str, Shape]:
    """The shapes of the row's "weight" and "bias" from the shape of its input; empty for a row that learns nothing.

    Convolutions have Caffe's grouped layout `[kernels, maps of one group, size, size]`; a locally connected row has
    `[positions, inputs of a unit, kernels]` and a bias `[positions, kernels]`.
    """
    match row:
        case Convolution():
            return {"weight": (row.kernels, shape[0] // groups(row), row.size, row.size), "bias": (row.kernels,)}
        case LocallyConnected():
            positions = math.prod(output_shape(row, shape)[1:])
            return {"weight": (positions, fan_in(row, shape), row.kernels), "bias": (positions, row.kernels)}
        case Dense():
            return {"weight": (row.units, fan_in(row, shape)), "bias": (row.units,)}
        case _:
            return {}


def multiply_adds(row: Row, shape: Shape) -> int:
    """Products of a weight and an input for one image, forward; normalisation and pooling are not counted."""
    if isinstance(row, Convolution | LocallyConnected | Dense):
        return math.prod(output_shape(row, shape)) * fan_in(row, shape)
    return 0


def input_shapes(rows: tuple[Row, ...], side: int) -> dict[str, Shape]:
    """The shape that each row, by name, reads when the images are `[3, side, side]`, towers joined."""
    shapes: dict[str, Shape] = {}
    shape: Shape = (3, side, side)
    for row in rows:
        shapes[row.name] = shape
        shape = output_shape(row, shape)
    return shapes


def receptive_fields(rows: tuple[Row, ...], side: int) -> dict[str, Field]:
    """What the units of each row, by name, see of images `[3, side, side]`: kernels and windows, one after another.

    Response norms across maps look at one position. At a border a field reaches beyond the image: `Field.window` cuts.
    """
    shapes, fields = input_shapes(rows, side), {}
    field = Field(1, 1, 0)
    for row in rows:
        match row:
            case Convolution():
                field = _grown(field, row.size, row.before, row.stride)
            case LocallyConnected():
                field = _grown(field, row.size, row.padding)
            case Pool():
                field = _grown(field, row.size, 0, row.stride)
            case SameMapNorm():
                field = _grown(field, row.n, row.n // 2)
            case Dense() if field.stride:
                last = field.stride * (shapes[row.name][-1] - 1)
                field = Field(last + field.size, 0, field.start)
            case _:
                pass
        fields[row.name] = field
    return fields


def _grown(field: Field, size: int, before: int, stride: int = 1) -> Field:
    """The field of windows of `size` positions of `field`, the first `before` positions outside."""
    return Field(field.size + (size - 1) * field.stride, field.stride * stride, field.start - before * field.stride)
