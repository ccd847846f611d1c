"""The paper's network: every difference between paper, authors' code, Caffe and torchvision is a field."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from alexnet import config
from alexnet.errors import InputError
from alexnet.model.network import Network
from alexnet.model.rows import (
    Convolution,
    Dense,
    Dropout,
    Pool,
    Rectifier,
    ResponseNorm,
    Row,
    SameMapNorm,
    Scale,
    Sight,
    Tanh,
)

Order = Literal["relu norm pool", "norm pool relu", "relu pool norm"]


@dataclass(frozen=True)
class Initialisation:
    """How weights start: normal with these deviations (section 5), biases constant."""

    weights: Literal["normal", "he", "uniform"] = "normal"
    """"he": deviation sqrt(2 / inputs of a unit); "uniform": torch's default, for weights and biases (torchvision)."""
    deviation: float = 0.01
    deviation_middle: float = 0.01
    """conv3, conv4, conv5 and conv6; the authors' code has 0.03."""
    deviation_hidden: float = 0.01
    """fc6 and fc7; Caffe has 0.005."""
    bias: float = 1.0
    """conv2, conv4, conv5, conv6, fc6 and fc7; Caffe's AlexNet has 0.1. The other biases start at 0."""
    bias_last: float = 0.0
    """fc8; cuda-convnet2 has -7."""


@dataclass(frozen=True)
class AlexNetConfig:
    """The network of section 3 as printed; each field changes one thing of it."""

    classes: int = 1000
    input: int = 224
    """Side of the images in pixels; Caffe's is 227."""
    edges: Literal["original", "symmetric", "none"] = "original"
    """Zeros around the images for conv1: at the right and bottom, as many as make the windows whole (authors' code,
    3 at 224); 2 on every side (torchvision); none (Caffe, whose input of 227 needs none)."""
    towers: int = 2
    communication: bool = True
    """Without it, conv3, conv6, fc6 and fc7 read their own tower only."""
    kernels: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    units: tuple[int, int] = (4096, 4096)
    width: float = 1.0
    """Multiplies kernels and units, rounded to whole towers: for small trials."""
    without: tuple[Literal["conv1", "conv2", "conv3", "conv4", "conv5"], ...] = ()
    """Layers removed with their rectifier and norm. Pooling stays, so that the maps keep their sizes: without conv1,
    conv2 takes stride 4 and no padding (55x55); without conv3, conv4 reads all towers."""
    conv6: bool = False
    """A sixth convolution, 3x3 over both towers after the last pooling (section 6.1's pretraining)."""
    bottleneck: int = 0
    """Units of a linear layer before fc8 (1024 in the net for Fall 2011, whose authors held one on each device)."""
    activation: Literal["relu", "tanh"] = "relu"
    order1: Order = "relu norm pool"
    """What follows conv1; the authors' code has "norm pool relu", CaffeNet "relu pool norm"."""
    order2: Order = "relu norm pool"
    order5: Literal["relu pool", "pool relu"] = "relu pool"
    """What follows conv5; "pool relu" (authors' code) computes the same."""
    overlap: bool = True
    """Pooling 3/2; otherwise 2/2, with conv2 and conv5 padded one less (authors' ablation: 28, 26, 13, 11, 6)."""
    norm: bool = True
    norm_n: int = 5
    norm_alpha: float = 1e-4
    norm_alpha_divided: bool = False
    """Whether alpha is divided by n (authors' code, Caffe, torch)."""
    norm_beta: float = 0.75
    norm_k: float = 2.0
    """Caffe and cuda-convnet's default is 1."""
    norm_across: bool = False
    """Whether the norm's window crosses from tower to tower (Caffe)."""
    same_map_norm: bool = False
    """The authors' code's second norm after conv2, 5x5 within a map, of which the paper is silent."""
    dropout: float = 0.5
    """Probability of being dropped; 0 leaves the rows out."""
    dropout_scaling: Literal["test", "inverted"] = "test"
    dropout_before: bool = False
    """Before fc6 and fc7 (torchvision, rows `drop5` and `drop6`) instead of after them (`drop6` and `drop7`)."""
    initialisation: Initialisation = Initialisation()

    def __post_init__(self) -> None:
        config.check(self, "model")
        if self.classes < 1 or self.width <= 0 or self.input < 63:
            raise InputError(
                f"model.classes is {self.classes}, model.width {self.width}, model.input {self.input}; "
                "at least one class, a width above 0 and an input of 63 pixels are needed."
            )
        if self.towers not in (1, 2):
            raise InputError(f"towers is {self.towers}; it can be 1 or 2.")
        if self.edges == "none" and (self.input - 11) % 4 and "conv1" not in self.without:
            raise InputError(f'input is {self.input}; with edges="none" windows of 11 at stride 4 need 227, say.')
        if "conv1" in self.without and "conv2" in self.without:
            raise InputError("without names conv1 and conv2; one of them must be left to reduce the images.")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {self.dropout}; it is a probability below 1.")

    def table(self) -> tuple[Row, ...]:
        """The network's rows in order."""
        rows = (*self._conv1(), *self._conv2(), *self._deep(), *self._dense())
        return tuple(row if row.name == "fc8" or row.name == "bottleneck" else self._held(row) for row in rows)

    def _held(self, row: Row) -> Row:
        return dataclasses.replace(row, towers=self.towers)

    def _conv1(self) -> list[Row]:
        if "conv1" in self.without:
            return []
        before, after = {"original": (0, -(self.input - 11) % 4), "symmetric": (2, 2), "none": (0, 0)}[self.edges]
        conv = Convolution("conv1", self._count(self.kernels[0]), 11, 4, before, after, sees="images")
        return self._ordered(self.order1, [self._started(conv)], "1", self._norm("1"))

    def _conv2(self) -> list[Row]:
        pools: list[Row] = [self._pool("1"), self._pool("2")]
        if "conv2" in self.without:
            return pools[-1:] if "conv1" not in self.without else pools
        norm, pad = self._norm("2"), 2 if self.overlap else 1
        conv = Convolution("conv2", self._count(self.kernels[1]), 5, 1, pad, pad)
        if self.same_map_norm:
            norm.append(SameMapNorm("mapnorm2"))
        if "conv1" not in self.without:
            return self._ordered(self.order2, [self._started(conv)], "2", norm)
        conv = dataclasses.replace(conv, stride=4, before=0, after=0, sees="images")
        return self._ordered(self.order2, [self._started(conv)], "2", norm, pools)

    def _deep(self) -> list[Row]:
        pad5 = 1 if self.overlap else 0
        rows: list[Row] = []
        sight: Sight = self._meeting()
        for number, pad in ((3, 1), (4, 1), (5, pad5)):
            name = f"conv{number}"
            if name not in self.without:
                rows.append(
                    self._started(Convolution(name, self._count(self.kernels[number - 1]), 3, 1, pad, pad, sees=sight))
                )
                rows.append(self._activation(f"{number}"))
                sight = "own"
        rows.append(self._pool("5"))
        if self.order5 == "pool relu" and "conv5" not in self.without:
            rows[-2:] = reversed(rows[-2:])
        if self.conv6:
            conv = Convolution("conv6", self._count(256), 3, 1, 1, 1, sees=self._meeting())
            rows += [self._started(conv), self._activation("_conv6")]
        return rows

    def _dense(self) -> list[Row]:
        rows: list[Row] = []
        for number, units in zip((6, 7), self.units, strict=True):
            fc = Dense(f"fc{number}", self._count(units), sees=self._meeting())
            drop = self._dropout(number - 1 if self.dropout_before else number)
            layer = [self._started(fc), self._activation(f"{number}")]
            rows += [*drop, *layer] if self.dropout_before else [*layer, *drop]
        if self.bottleneck:
            rows.append(self._started(Dense("bottleneck", self.bottleneck, sees="all")))
        return [*rows, self._started(Dense("fc8", self.classes, sees="own" if self.bottleneck else "all"))]

    def _ordered(
        self, order: Order, conv: list[Row], number: str, norms: list[Row], pools: list[Row] | None = None
    ) -> list[Row]:
        parts = {"relu": [self._activation(number)], "norm": norms, "pool": pools or [self._pool(number)]}
        return [*conv, *(row for word in order.split() for row in parts[word])]

    def _meeting(self) -> Sight:
        return "all" if self.communication else "own"

    def _count(self, whole: int) -> int:
        return max(1, round(whole * self.width / self.towers)) * self.towers

    def _activation(self, number: str) -> Row:
        return Rectifier(f"relu{number}") if self.activation == "relu" else Tanh(f"tanh{number}")

    def _pool(self, number: str) -> Row:
        return Pool(f"pool{number}", size=3 if self.overlap else 2)

    def _norm(self, number: str) -> list[Row]:
        alpha = self.norm_alpha / (self.norm_n if self.norm_alpha_divided else 1)
        norm = ResponseNorm(f"norm{number}", self.norm_n, alpha, self.norm_beta, self.norm_k, self.norm_across)
        return [norm] if self.norm else []

    def _dropout(self, number: int) -> list[Row]:
        return [Dropout(f"drop{number}", 1 - self.dropout, self.dropout_scaling)] if self.dropout else []

    def _started(self, row: Convolution | Dense) -> Row:
        how = self.initialisation
        middle, hidden = row.name in ("conv3", "conv4", "conv5", "conv6"), row.name in ("fc6", "fc7")
        deviation: float | Scale = how.deviation_middle if middle else how.deviation
        if hidden:
            deviation = how.deviation_hidden
        if how.weights != "normal":
            deviation = how.weights
        bias = how.bias if hidden or row.name in ("conv2", "conv4", "conv5", "conv6") else 0.0
        return dataclasses.replace(row, deviation=deviation, bias=how.bias_last if row.name == "fc8" else bias)


def AlexNet(config: AlexNetConfig = AlexNetConfig()) -> Network:
    """A Network of `config`, by default the paper's two towers with 60,965,224 parameters, initialised with seed 0.

    It takes float images `[N, 3, 224, 224]`, 0..255 less the mean, and returns logits `[N, classes]`.
    """
    network = Network(config)
    network.initialise(0)
    return network
