"""The small networks on CIFAR-10 of sections 3.1 and 3.3, as tables; from the authors' cuda-convnet."""

from dataclasses import dataclass
from typing import Literal

from alexnet.model.rows import (
    Convolution,
    Dense,
    LocallyConnected,
    Pool,
    Rectifier,
    ResponseNorm,
    Row,
    SameMapNorm,
    Tanh,
)


@dataclass(frozen=True)
class Cifar10Config:
    """One of cuda-convnet's nets, or the four-layer net of figure 1 (no file of it is known).

    "80sec" (26 % error) and "18pct" see the whole 32 x 32 picture; "13pct" and "11pct", whose third and fourth
    layers are locally connected, see crops of 24 x 24. "figure1" is three convolutions and a dense layer, "18pct"
    without its norms.
    """

    net: Literal["80sec", "18pct", "13pct", "11pct", "figure1"] = "11pct"
    classes: int = 10
    activation: Literal["relu", "tanh"] = "relu"
    norm: bool = True
    """Whether the response norms of "18pct" and "11pct" are there (section 3.3 takes them away)."""
    width: float = 1.0
    """Multiplies kernels and units, for small trials."""

    @property
    def input(self) -> int:
        """Side of the images in pixels."""
        return 24 if self.net in ("13pct", "11pct") else 32

    def table(self) -> tuple[Row, ...]:
        """The network's rows in order."""
        rows = self._local() if self.net in ("13pct", "11pct") else self._convolutional()
        if self.net == "80sec":
            rows += [Dense("fc64", self._count(64), deviation=0.1), self._active("_fc64")]
        return (*rows, Dense("fc10", self.classes, deviation=0.1 if self.net == "80sec" else 0.01))

    def _convolutional(self) -> list[Row]:
        norms: dict[str, list[Row]] = {n: [SameMapNorm(f"norm{n}", n=3, scale=5e-5)] for n in "12"}
        if self.net != "18pct" or not self.norm:
            norms = {"1": [], "2": []}
        return [
            *(self._convolution("conv1", 32, 1e-4), Pool("pool1"), self._active("1"), *norms["1"]),
            *(self._convolution("conv2", 32, 0.01), self._active("2"), Pool("pool2", "mean"), *norms["2"]),
            *(self._convolution("conv3", 64, 0.01), self._active("3"), Pool("pool3", "mean")),
        ]

    def _local(self) -> list[Row]:
        eleven = self.net == "11pct"
        normed = eleven and self.norm
        norms = {n: [ResponseNorm(f"norm{n}", n=9, alpha=1e-3 / 9, k=1.0)] if normed else [] for n in "12"}
        return [
            *(self._convolution("conv1", 64, 1e-4), self._active("1"), Pool("pool1"), *norms["1"]),
            *(self._convolution("conv2", 64, 0.01), self._active("2"), *norms["2"], Pool("pool2")),
            *(LocallyConnected("local3", self._count(64 if eleven else 32), 3, 1, deviation=0.04), self._active("3")),
            *(LocallyConnected("local4", self._count(32), 3, 1, deviation=0.04), self._active("4")),
        ]

    def _convolution(self, name: str, kernels: int, deviation: float) -> Row:
        return Convolution(name, self._count(kernels), 5, 1, 2, 2, deviation=deviation)

    def _active(self, number: str) -> Row:
        return Rectifier(f"relu{number}") if self.activation == "relu" else Tanh(f"tanh{number}")

    def _count(self, whole: int) -> int:
        return max(1, round(whole * self.width))
