"""One update: a global batch's exact gradient, whatever the devices, and the step of the learning rule."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet import distributed, randomness
from alexnet.data.loader import Batch
from alexnet.data.views import random_view
from alexnet.errors import InputError
from alexnet.evaluation import metrics
from alexnet.training.parts import Parts


class NotFinite(InputError):
    """The loss is not finite: training cannot go on from here."""


@dataclass(frozen=True)
class Told:
    """What one step tells the loop, the same on every rank."""

    sums: tuple[float, ...]
    """Loss, top-1 and top-5 errors summed over the global batch, and its number of images."""
    stop: bool
    """Whether a signal came to any rank."""


def gradient_step(parts: Parts, batch: Batch, epoch: int, colour: float, micro_batch: int | None, stop: bool) -> Told:
    """What the step measured; weights and velocities have moved by the gradient of the global batch.

    The loss is the sum over this rank's images x world / images of the global batch, which the mean of the gradients
    over the ranks turns into the global batch's mean (section 5).

    Args:
        colour: the schedule's factor on the colour noise.
        micro_batch: at most this many images at once.
        stop: whether a signal has come to this rank.

    Raises:
        NotFinite: the loss is not finite; the layer where that began is named, and the weights are untouched.
    """
    parts.rule.zero_grad()
    pieces = list(_pieces(batch, micro_batch))
    sums = torch.zeros(4, device=parts.device)
    for piece, last in zip(pieces, [False] * (len(pieces) - 1) + [True], strict=True):
        images = random_view(
            piece.images, piece.indices, parts.views, parts.statistics, seed=parts.seed, epoch=epoch, colour=colour
        )[:, 0]
        keys = randomness.keys(parts.seed, "dropout", epoch, piece.indices)
        with contextlib.nullcontext() if last else parts.no_sync():
            with parts.autocast():
                logits = parts.forward(images, keys)
            scores = torch.log_softmax(logits.float(), dim=1)
            weights = parts.class_weights[piece.labels] if len(batch.images) else torch.zeros_like(scores[:, 0])
            losses = metrics.losses(scores, piece.labels) * weights
            sums += _measured(losses, scores, piece.labels, len(batch.images)).detach()
            if last:
                reading = _Reading(sums, stop)
            (losses.sum() * (distributed.world() / batch.count)).backward()  # type: ignore[no-untyped-call]
    told = reading.told()
    if not math.isfinite(told.sums[0]):
        raise NotFinite(_where_it_broke(parts, images, keys))
    parts.rule.step()
    return told


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
    size = micro_batch or count
    for i in range(0, count, size):
        yield Batch(batch.images[i : i + size], batch.labels[i : i + size], batch.indices[i : i + size], batch.count)


def _measured(losses: Tensor, scores: Tensor, labels: Tensor, images: int) -> Tensor:
    """float32 `[4]`, on the scores' device; small whole batches, so float32 keeps the counts exact."""
    if not images:
        return losses.new_zeros(4)
    columns = (losses, metrics.errors(scores, labels, 1), metrics.errors(scores, labels, 5), torch.ones_like(losses))
    return torch.stack(columns).sum(1)


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
            self._event.record()
        else:
            self._host = values

    def told(self) -> Told:
        if self._event:
            self._event.synchronize()
        *sums, stop = self._host.tolist()
        return Told(tuple(sums), stop > 0)


@torch.no_grad()
def _where_it_broke(parts: Parts, images: Tensor, keys: Tensor) -> str:
    way_out = (
        "The last good checkpoint is kept; lower --optimiser.learning-rate, or divide the input by its deviation "
        "(--views.divisor), and train into a new run."
    )
    for name, parameter in parts.network.named_parameters():
        if not parameter.isfinite().all():
            return f"the loss is not finite: {name} holds values that are not. {way_out}"
    with parts.autocast():
        for name, maps in parts.network.stages(images).items():
            if not maps.isfinite().all():
                return f"the loss is not finite: it began in the stage {name}. {way_out}"
    return f"the loss is not finite though every stage is: the outputs are too large. {way_out}"
