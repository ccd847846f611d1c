"""One update: a global batch's exact gradient, whatever the devices, and the step of the learning rule."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet import distributed, randomness
from alexnet.data.loader import Batch
from alexnet.data.views import random_view
from alexnet.evaluation import metrics
from alexnet.training.parts import WAY_OUT, NotFinite, Parts


@dataclass(frozen=True)
class Told:
    """What one step tells the loop, the same on every rank."""

    sums: tuple[float, ...]
    """Loss, top-1 and top-5 errors summed over the global batch, and its number of images."""
    stop: bool
    """Whether a signal came to any rank."""


def gradient_step(parts: Parts, batch: Batch, epoch: int, colour: float, stop: bool) -> Told:
    """What the step measured; weights and velocities have moved by the gradient of the global batch.

    The loss is the sum over this rank's images x world / images of the global batch, which the mean of the gradients
    over the ranks turns into the global batch's mean (section 5).

    Args:
        colour: the schedule's factor on the colour noise.
        stop: whether a signal has come to this rank.

    Raises:
        NotFinite: the loss is not finite; the layer where that began is named, and the weights are untouched.
    """
    parts.rule.zero_grad()
    pieces = list(_pieces(batch, parts.micro_batch))
    sums = torch.zeros(4, device=parts.device)
    for piece in pieces:
        last = piece is pieces[-1]
        with contextlib.nullcontext() if last else parts.no_sync():
            keys = randomness.keys(parts.seed, "dropout", epoch, piece.indices)
            with parts.autocast():
                logits = parts.forward(_shown(parts, piece, epoch, colour), keys)
            scores = torch.log_softmax(logits.float(), dim=1)
            columns = metrics.columns(scores, piece.labels)
            # A rank whose share is empty computed one blank image, which counts for nothing.
            weights = parts.class_weights[piece.labels] if len(batch.images) else torch.zeros_like(columns[0])
            losses = columns[0] * weights
            sums += torch.stack([losses, *(columns[1:] * (weights > 0))]).sum(1).detach()
            if last:
                reading = _Reading(sums, stop)
            (losses.sum() * (distributed.world() / batch.count)).backward()  # type: ignore[no-untyped-call]
    told = reading.told()
    if not math.isfinite(told.sums[0]):
        raise NotFinite(_where_it_broke(parts, [_shown(parts, piece, epoch, colour) for piece in pieces]))
    parts.rule.step()
    return told


def _shown(parts: Parts, piece: Batch, epoch: int, colour: float) -> Tensor:
    """float32 `[n,3,C,C]`: the random views of a piece."""
    views, statistics = parts.classifier.views, parts.classifier.statistics
    return random_view(piece.images, piece.indices, views, statistics, seed=parts.seed, epoch=epoch, colour=colour)[
        :, 0
    ]


def _pieces(batch: Batch, micro_batch: int | None) -> Iterator[Batch]:
    """The batch in parts of at most `micro_batch` images; a rank without any computes one blank image of no weight."""
    count = len(batch.images)
    if not count:
        yield Batch(
            batch.images.new_zeros(1, *batch.images.shape[1:]),
            batch.labels.new_zeros(1),
            batch.indices.new_zeros(1),
            batch.count,
        )
        return
    size = micro_batch or count
    for i in range(0, count, size):
        yield Batch(batch.images[i : i + size], batch.labels[i : i + size], batch.indices[i : i + size], batch.count)


class _Reading:
    """Carries the step's sums to the host while the device computes gradients.

    Made before `backward` is called, so that waiting for it waits for the forward pass alone.
    """

    def __init__(self, sums: Tensor, stop: bool) -> None:
        values = distributed.total(torch.cat([sums, sums.new_tensor([float(stop)])]))
        self._event = torch.cuda.Event() if values.is_cuda else None  # type: ignore[no-untyped-call]
        if self._event:
            self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._event.record(torch.cuda.current_stream(values.device))
        else:
            self._host = values

    def told(self) -> Told:
        if self._event:
            self._event.synchronize()
        *sums, stop = self._host.tolist()
        return Told(tuple(sums), stop > 0)


@torch.no_grad()
def _where_it_broke(parts: Parts, pieces: Sequence[Tensor]) -> str:
    parts.require_finite()
    for images in pieces:
        with parts.autocast():
            for name, maps in parts.network.stages(images).items():
                if not maps.isfinite().all():
                    return f"the loss is not finite: that began in the stage {name}. {WAY_OUT}"
    return f"the loss is not finite, though every stage is here: it is too large, or another process broke. {WAY_OUT}"
