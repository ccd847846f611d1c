"""How rates change: pure functions of the epoch and of the validation errors so far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from alexnet.errors import InputError


@dataclass(frozen=True)
class Factors:
    """What the schedule says at one moment, each a factor on the recipe's own number."""

    weights: float = 1.0
    biases: float = 1.0
    colour: float = 1.0
    layers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plateau:
    """Divide the rate when the validation error stops improving (section 5: by 10, three times, about 90 epochs)."""

    epochs: int = 90
    """Training ends after this many epochs at the latest."""
    factor: float = 0.1
    """What a drop multiplies the rate by."""
    drops: int = 3
    """How many drops; when the error stalls once more after the last, training ends."""
    patience: int = 5
    """Epochs without improvement that make a stall. (The authors judged by eye.)"""
    threshold: float = 0.001
    """How much lower the top-1 validation error must be to count as improved, as a fraction."""
    warmup: float = 0.0
    """Epochs over which the rate first rises from a tenth; the paper has none."""

    def __post_init__(self) -> None:
        _check_span(self.epochs, self.warmup)
        if self.patience < 1 or self.drops < 0:
            raise InputError("schedule.patience must be at least 1 and schedule.drops at least 0.")

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that have factors of their own: none."""
        return ()

    def factors(self, epoch: float, errors: Sequence[float]) -> Factors:
        """The factors at `epoch` (fractional), given the top-1 validation error after each finished epoch."""
        value = self.factor ** min(self.stalls(errors), self.drops) * _warmed(epoch, self.warmup)
        return Factors(weights=value, biases=value)

    def finished(self, errors: Sequence[float]) -> bool:
        """Whether training ends after the epochs whose validation errors are given."""
        return len(errors) >= self.epochs or self.stalls(errors) > self.drops

    def stalls(self, errors: Sequence[float]) -> int:
        """How often the error has stalled: `patience` epochs in a row without a new best."""
        best, waited, count = math.inf, 0, 0
        for error in errors:
            improved = error < best - self.threshold
            best = error if improved else best
            waited = 0 if improved else waited + 1
            if waited == self.patience:
                waited, count = 0, count + 1
        return count


@dataclass(frozen=True)
class Milestone:
    """What holds from an epoch on; None keeps what held before."""

    epoch: float
    """The epoch, counted from 0 and possibly fractional."""
    weights: float | None = None
    """Factor on the rate of the weights, relative to the recipe's (not to the milestone before)."""
    biases: float | None = None
    """Factor on the rate of the biases."""
    colour: float | None = None
    """Factor on the colour noise."""
    layers: dict[str, float] | None = None
    """Factors on the rates of single layers, on top of the two above."""


@dataclass(frozen=True)
class Milestones:
    """Rates that change at written epochs, as the authors' logs have them; or today's warm-up and decay to zero."""

    epochs: int = 90
    """How long training lasts."""
    milestones: tuple[Milestone, ...] = ()
    """In order of their epochs."""
    warmup: float = 0.0
    """Epochs over which the rate first rises from a tenth."""
    decay: Literal["none", "linear", "cosine"] = "none"
    """How the rate falls to zero between the warm-up and the end, on top of the milestones."""

    def __post_init__(self) -> None:
        _check_span(self.epochs, self.warmup)
        if [m.epoch for m in self.milestones] != sorted(m.epoch for m in self.milestones):
            raise InputError("schedule.milestones must be in the order of their epochs.")

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that have factors of their own."""
        return tuple(name for m in self.milestones for name in m.layers or {})

    def factors(self, epoch: float, errors: Sequence[float]) -> Factors:
        """The factors at `epoch` (fractional); `errors` plays no part."""
        weights = biases = colour = 1.0
        layers: Mapping[str, float] = {}
        for m in self.milestones:
            if m.epoch <= epoch:
                weights = weights if m.weights is None else m.weights
                biases = biases if m.biases is None else m.biases
                colour = colour if m.colour is None else m.colour
                layers = layers if m.layers is None else m.layers
        whole = _warmed(epoch, self.warmup) * self._decayed(epoch)
        return Factors(weights * whole, biases * whole, colour, layers)

    def finished(self, errors: Sequence[float]) -> bool:
        """Never early: only `epochs` ends training."""
        return False

    def _decayed(self, epoch: float) -> float:
        share = min(1.0, max(0.0, (epoch - self.warmup) / (self.epochs - self.warmup)))
        return {"none": 1.0, "linear": 1.0 - share, "cosine": (1.0 + math.cos(math.pi * share)) / 2}[self.decay]


def _warmed(epoch: float, warmup: float) -> float:
    return min(1.0, 0.1 + 0.9 * epoch / warmup) if warmup else 1.0


def _check_span(epochs: int, warmup: float) -> None:
    if epochs < 1 or not 0 <= warmup < epochs:
        raise InputError(f"schedule.epochs is {epochs} and schedule.warmup {warmup}: 0 <= warmup < epochs must hold.")
