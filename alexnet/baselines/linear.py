"""One-vs-rest linear classifiers by averaged stochastic gradient descent, over vectors that lie in a file."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet import randomness

_BLOCK = 64
_ONE = 0.1  # the entry of every vector that the bias is the weight of: at 1 the bias jumps at each step


@dataclass(frozen=True)
class Descent:
    """How the classifiers are fitted. The loss is the hinge; the vectors have length 1."""

    decay: float = 1e-5
    """λ of λ/2 |w|²."""
    rate: float = 1.0
    """The first step's length; step t has rate × (1 + rate × decay × t)^(-3/4)."""
    epochs: int = 10
    """Passes over the vectors; the weights are averaged over all but the first."""


class Linear(NamedTuple):
    """Scores are vectors @ weightsᵀ + biases."""

    weights: Tensor
    """float32 `[K, D]`."""
    biases: Tensor
    """float32 `[K]`."""


def fit(
    vectors: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    classes: int,
    descent: Descent,
    seed: int,
    progress: Callable[[int], object] = lambda _: None,
) -> Linear:
    """K classifiers of one class against the rest by averaged SGD (Bottou 2010; Xu 2011; Lin et al., CVPR 2011).

    Each step is of one vector, in an order drawn anew each pass. Steps are computed in blocks: within one, the
    weights are never formed, only their products with the block's vectors, which the block's Gram matrix gives.
    The result is that of single steps, to rounding. The bias is that of one more entry, 0.1 in every vector.

    Args:
        vectors: float16 or float32 `[N, D]`, may be memory-mapped.
        labels: int64 `[N]`, 0..classes-1.
        rows: int64 `[n]`: the vectors to fit to.
        progress: told the number of vectors of each block.
    """
    count, size = len(rows), vectors.shape[1]
    weights, total = torch.zeros(classes, size + 1), torch.zeros(classes, size + 1)
    averaged, step = 0.0, 0
    for epoch in range(descent.epochs):
        order = randomness.permutation(seed, "baseline descent", epoch, count)
        for start in range(0, count, _BLOCK):
            chosen = rows[order[start : start + _BLOCK]]
            block = torch.full((len(chosen), size + 1), _ONE)
            block[:, :size] = torch.from_numpy(vectors[chosen])
            signs = np.where(labels[chosen][:, None] == np.arange(classes), 1.0, -1.0)
            rates = descent.rate * (1 + descent.rate * descent.decay * np.arange(step, step + len(chosen))) ** -0.75
            kept = np.cumprod(1 - rates * descent.decay)
            moves = _moves((block @ weights.T).numpy(), (block @ block.T).numpy(), signs, rates, kept)
            if epoch or descent.epochs == 1:
                # The sum of the weights after each of the block's steps.
                tails = np.cumsum(kept[::-1])[::-1]
                total.add_(weights, alpha=float(kept.sum()))
                total.addmm_(torch.from_numpy(tails[:, None] * moves).float().T, block)
                averaged += len(chosen)
            weights.addmm_(torch.from_numpy(moves).float().T, block).mul_(float(kept[-1]))
            step += len(chosen)
            progress(len(chosen))
    total /= averaged
    return Linear(total[:, :size].contiguous(), total[:, size] * _ONE)


def _moves(scores: np.ndarray, gram: np.ndarray, signs: np.ndarray, rates: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """float64 `[B, K]`: how far each vector of a block moves each class's weights, in units of the block's beginning.

    After step i the weights are kept[i] (w + Σ_{j≤i} moves[j] x_j), so the next vector's score needs `gram` alone.
    """
    found = np.zeros_like(signs)
    before = 1.0
    for i in range(len(signs)):
        score = before * (scores[i] + gram[i, :i] @ found[:i])
        found[i] = np.where(signs[i] * score < 1, signs[i] * rates[i] / kept[i], 0.0)
        before = kept[i]
    return found


def scores(vectors: Tensor, linear: Linear) -> Tensor:
    """float32 `[n, K]` of vectors `[n, D]`."""
    return vectors.float() @ linear.weights.T + linear.biases


def temperature(scores: Tensor, labels: Tensor) -> float:
    """What scores are divided by so that their softmax has the least loss on `labels`: 0.001 at least, 1000 at most.

    By golden-section search over the logarithm, on which the loss falls and then rises. As in Platt (1999) each
    of the n labels counts as true with (n + 1) / (n + K) only, so that no error among few does not mean certainty.
    """
    count, classes = scores.shape
    low, high = math.log(1e-3), math.log(1e3)
    golden = (math.sqrt(5) - 1) / 2

    def loss(log: float) -> float:
        logits = scores.double() / math.exp(log)
        return float(torch.nn.functional.cross_entropy(logits, labels, label_smoothing=classes / (count + classes)))

    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
