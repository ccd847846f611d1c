"""Views averaged; loss and errors of single images, the confusion matrix, the standard error and an interval."""

import math

import torch
from torch import Tensor


def averaged(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """float `[N, K]`: the logarithm of each class's probability, the mean over views of the softmax.

    Args:
        logits: float `[N, V, K]`.
        temperature: what they are divided by before the softmax; a number, or `[N,1,1]`.
    """
    each = (logits / temperature).log_softmax(2)
    return each[:, 0] if each.shape[1] == 1 else each.logsumexp(1) - math.log(each.shape[1])


def losses(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """float32 `[N]`: minus the natural logarithm of the true label's probability.

    Args:
        log_probabilities: float32 `[N, K]`.
        labels: int64 `[N]`, 0..K-1.
    """
    return -log_probabilities.gather(1, labels[:, None])[:, 0]


def errors(scores: Tensor, labels: Tensor, top: int) -> Tensor:
    """float32 `[N]`, 0..1: how probably the true label misses the `top` best if ties are broken at random.

    With `top` 1 an image whose true label shares the maximum with m - 1 others errs by 1 - 1/m, as the authors' code
    counts it. With `top` >= K nothing errs. A score that is not a number ranks above every number, so that a broken
    network is never right.

    Args:
        scores: float `[N, K]`, any increasing function of the probabilities.
        labels: int64 `[N]`, 0..K-1.
    """
    true = scores.gather(1, labels[:, None])
    above = (~(scores <= true)).sum(1)
    level = (scores == true).sum(1).clamp(min=1)
    return 1 - ((top - above) / level).clamp(0, 1)


def columns(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """float32 `[4, N]`: each image's loss, top-1 error, top-5 error, and 1 to count it.

    Sums over many images are taken in float64, where no rounding matters.

    Args:
        log_probabilities: float32 `[N, K]`.
        labels: int64 `[N]`, 0..K-1.
    """
    loss = losses(log_probabilities, labels)
    found = [errors(log_probabilities, labels, top) for top in (1, 5)]
    return torch.stack([loss, *found, torch.ones_like(loss)])


def confusion(labels: Tensor, answers: Tensor, classes: int) -> Tensor:
    """int64 `[K, K]`: how many images of the row's class were taken for the column's.

    Args:
        labels: int64 `[N]`, the true classes.
        answers: int64 `[N]`, the classes answered.
        classes: K.
    """
    return torch.bincount(labels * classes + answers, minlength=classes * classes).view(classes, classes)


def standard_error(error: float, images: int) -> float:
    """The standard error of an error rate measured on `images` independent images (binomial)."""
    return math.sqrt(max(0.0, error * (1 - error)) / images) if images else math.nan


def wilson(error: float, images: int) -> tuple[float, float]:
    """The least and the greatest error rate that `error`, measured on `images` independent images, speaks for, 95 %.

    Wilson's score interval (JASA 1927), two-sided: where no image errs it ends at 3.84 / (images + 3.84), not at 0.
    """
    if not images:
        return 0.0, 1.0
    square = 1.959964**2 / images
    middle, half = error + square / 2, math.sqrt(square * (error * (1 - error) + square / 4))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))
