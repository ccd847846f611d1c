"""Section 6.1's suggestion: an auto-encoder from the last hidden layer to short binary codes.

As in semantic hashing (Salakhutdinov and Hinton, 2009; for pictures Krizhevsky and Hinton, 2011) noise on the units of
the code, while it is learnt, makes them choose a side. What is rebuilt is rebuilt from the binary code; the threshold's
gradient is that of a tanh in its place (Bengio et al., 2013).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError

_HELD_OUT = 10  # one of so many vectors is held out, to choose the epoch by
_LEAST = 20  # vectors, to fit on
_BLOCK = 1024  # vectors encoded at once


@dataclass(frozen=True)
class Settings:
    """How an auto-encoder is fitted."""

    bits: int = 64
    hidden: int = 512
    """Rectified units on the way to the code, and from it."""
    epochs: int = 25
    rate: float = 1e-3
    """Adam's at its highest; it rises over the first tenth and falls to nothing as half a cosine."""
    batch: int = 128
    noise: float = 0.5
    """The deviation of the noise on a sum that becomes a bit, whose own deviation is about 1 at first."""
    most: int = 1 << 28
    """Values of the vectors that it is fitted to, 1 GiB in float32; of more vectors, so many are drawn by the seed."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bits % 8 or not 8 <= self.bits <= 1024:
            raise InputError(f"{self.bits} bits: a code has 8 to 1024 bits, a multiple of 8.")
        if min(self.hidden, self.epochs) < 1 or self.batch < 2 or not self.rate > 0 or not self.noise >= 0:
            raise InputError(f"{self}: hidden, epochs and rate must be above 0, batch above 1, noise 0 or more.")


class Progress(NamedTuple):
    """After an epoch, the squared error of what is rebuilt from the codes, as a share of the vectors' variance."""

    epoch: int
    training: float
    """With the noise, in training."""
    validation: float
    """Without it, of the vectors held out."""


@dataclass(frozen=True, eq=False)
class Coder:
    """From a vector to its code: which of `bits` sums are above zero."""

    centre: Tensor
    """float32 `[d]`, subtracted."""
    layers: tuple[tuple[Tensor, Tensor], ...]
    """Weights `[out, in]` and biases `[out]`, in float32; rectified between two layers."""

    @property
    def bits(self) -> int:
        """The length of a code."""
        return len(self.layers[-1][1])

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """uint8 `[N, bits/8]`: the codes of real `[N, d]`, eight bits a byte, the first bit highest.

        Raises:
            InputError: the vectors have another length, or a value is not finite.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.centre):
            raise InputError(f"vectors {list(vectors.shape)} for codes of vectors of length {len(self.centre)}.")
        out = np.empty((len(vectors), self.bits // 8), np.uint8)
        for start in range(0, len(vectors), _BLOCK):
            sums = self._sums(torch.from_numpy(np.array(vectors[start : start + _BLOCK], np.float32)))
            if not torch.isfinite(sums).all():
                raise InputError("a vector has a value that is not finite, or too large for a code.")
            out[start : start + _BLOCK] = np.packbits(sums.numpy() > 0, axis=1)
        return out

    def _sums(self, vectors: Tensor) -> Tensor:
        values = vectors - self.centre
        for number, (weights, biases) in enumerate(self.layers):
            values = torch.addmm(biases, torch.relu(values) if number else values, weights.T)
        return values


def fit(
    vectors: np.ndarray, settings: Settings = Settings(), say: Callable[[Progress], object] = lambda _: None
) -> tuple[Coder, list[Progress]]:
    """The coder of the epoch that rebuilt the vectors held out best, and how it went.

    A function of the vectors and the settings (to rounding, which may differ between machines and numbers of
    threads). A tenth of the vectors is held out; labels are not used.

    Args:
        vectors: real `[N, d]`, an array or a memory map.
        say: told of each epoch.

    Raises:
        InputError: there are too few vectors, they are all the same, or a value is not finite.
    """
    random = np.random.default_rng([settings.seed, 1])
    rows = random.permutation(len(vectors))[: max(1, settings.most // max(1, vectors[:1].size))]
    if vectors.ndim != 2 or len(rows) < _LEAST:
        raise InputError(f"vectors {list(vectors.shape)}: at least {_LEAST} are needed to fit codes to.")
    chosen = torch.from_numpy(np.asarray(vectors[np.sort(rows)], np.float32))
    centre = chosen.mean(0)
    chosen -= centre
    scale = float(chosen.square().mean().sqrt())
    if not 0 < scale < float("inf"):
        raise InputError("the vectors are all the same, or have a value that is not finite: no codes can be fitted.")
    chosen /= scale
    order = torch.from_numpy(random.permutation(len(chosen)))
    held, training = chosen[order[: len(chosen) // _HELD_OUT]], order[len(chosen) // _HELD_OUT :]
    layers, history = _fit(chosen, training, held, settings, say)
    (first, biases), *rest = layers
    return Coder(centre, ((first / scale, biases), *rest)), history


def projections(vectors: np.ndarray, bits: int, seed: int = 0) -> Coder:
    """The floor: signs of random projections of centred vectors, real `[N, d]`; nothing is learnt but their mean."""
    Settings(bits=bits)
    centre = torch.from_numpy(np.mean(vectors, axis=0, dtype=np.float64).astype(np.float32))
    weights = np.random.default_rng([seed, 2]).standard_normal((bits, vectors.shape[1]), dtype=np.float32)
    return Coder(centre, ((torch.from_numpy(weights), torch.zeros(bits)),))


def _fit(
    vectors: Tensor, training: Tensor, held: Tensor, settings: Settings, say: Callable[[Progress], object]
) -> tuple[list[tuple[Tensor, Tensor]], list[Progress]]:
    """The encoder's two layers after the best epoch; and all epochs."""
    generator = torch.Generator().manual_seed(settings.seed)
    length, hidden, bits = vectors.shape[1], settings.hidden, settings.bits
    sizes = ((length, hidden), (hidden, bits), (bits, hidden), (hidden, length))
    weights = [(torch.randn(o, i, generator=generator) * (2 / i) ** 0.5).requires_grad_() for i, o in sizes]
    biases = [torch.zeros(o, requires_grad=True) for _, o in sizes]
    optimiser = torch.optim.Adam([*weights, *biases])
    best, history = None, []
    for epoch, batches in _epochs(training, settings, generator):
        total = 0.0
        for factor, rows in batches:
            optimiser.param_groups[0]["lr"] = settings.rate * factor
            sums = _dense(vectors[rows], weights[:2], biases[:2])
            soft = torch.tanh(sums + settings.noise * torch.randn(sums.shape, generator=generator))
            code = soft + (_signs(soft) - soft).detach()
            loss = (_dense(code, weights[2:], biases[2:]) - vectors[rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        with torch.no_grad():
            layers = [(w.detach().clone(), b.detach().clone()) for w, b in zip(weights[:2], biases[:2], strict=True)]
            found = Progress(epoch, total / len(training), _error(held, layers, weights[2:], biases[2:]))
        history.append(found)
        say(found)
        if best is None or found.validation < min(each.validation for each in history[:-1]):
            best = layers
    assert best is not None
    return best, history


def _epochs(
    training: Tensor, settings: Settings, generator: torch.Generator
) -> Iterator[tuple[int, Iterator[tuple[float, Tensor]]]]:
    """For each epoch, from 1, its batches: the rate's factor and the rows."""
    count = -(-len(training) // settings.batch)
    steps = settings.epochs * count

    def factor(step: int) -> float:
        done = (step + 1) / steps
        return min(10 * done, 1.0) * (1 + math.cos(math.pi * done)) / 2

    for epoch in range(settings.epochs):
        order = training[torch.randperm(len(training), generator=generator)]
        yield epoch + 1, ((factor(epoch * count + i), rows) for i, rows in enumerate(order.tensor_split(count)))


def _dense(values: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    hidden = torch.relu(torch.addmm(biases[0], values, weights[0].T))
    return torch.addmm(biases[1], hidden, weights[1].T)


def _signs(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1.0, -1.0)


def _error(vectors: Tensor, layers: list[tuple[Tensor, Tensor]], weights: list[Tensor], biases: list[Tensor]) -> float:
    """The mean squared error of vectors rebuilt from their codes."""
    coder = Coder(torch.zeros(vectors.shape[1]), tuple(layers))
    parts = torch.split(vectors, _BLOCK)
    errors = [(_dense(_signs(coder._sums(part)), weights, biases) - part).square().sum() for part in parts]
    return float(torch.stack(errors).sum() / vectors.numel())
