"""Batches of stored images in an order decided by (seed, epoch), for this rank, decoded ahead in threads.

The loader knows ranks and prefetching, not views. Its position is two integers, the epoch and the batch's number, and
any position can be entered at once. There is no thread of control: whenever the consumer asks for a batch, the next
few are handed to a pool of threads, so at most that many are in memory, and closing the iterator ends the pool.
"""

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet import distributed, machine, randomness
from alexnet.data.shards import Shards
from alexnet.errors import InputError

# Decoded ahead of the consumer: so many bytes of images, but 2 to 8 batches.
_AHEAD_BYTES = 256 << 20
_CHUNK = 32

Cache = Literal["auto", "none", "memory", "device"]


@dataclass(frozen=True)
class Loading:
    """The recipe's `loader` section.

    Attributes:
        batch: images of the global batch, over all ranks (section 5: 128). The last batch of an epoch is shorter.
        order: "shuffled", a new permutation each epoch; or "stored", the stored order in every epoch, as the authors
            visited their batches.
        share: of the images, the part that epochs show: the same share of every class, drawn by the seed of the data,
            a smaller share within a larger one. Evaluation takes every image all the same.
    """

    batch: int = 128
    order: Literal["shuffled", "stored"] = "shuffled"
    share: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError, naming the field, for values that no loader can have."""
        if self.batch < 1:
            raise InputError(f"loader.batch is {self.batch}; it is a number of images, 1 or more.")
        if self.order not in ("shuffled", "stored"):
            raise InputError(f"loader.order is {self.order!r}; it can be 'shuffled' or 'stored'.")
        if not 0 < self.share <= 1:
            raise InputError(f"loader.share is {self.share}; it is a share of the images, above 0 and at most 1.")


class Batch(NamedTuple):
    """This rank's share of one global batch; it may be empty."""

    images: Tensor  # uint8 [n,3,S,S], 0..255, on the device
    labels: Tensor  # int64 [n], on the device
    indices: Tensor  # int64 [n], stored positions, on the device
    count: int  # type: ignore[assignment]  # images of the global batch, over all ranks


class _Pending(NamedTuple):
    """A batch on its way."""

    indices: np.ndarray
    total: int
    images: Tensor | None  # None when the device has them already
    parts: list[Future[None]]


class Loader:
    """The batches of one split.

    Attributes:
        shards: the images of the split.
        batches: how many make an epoch of `epoch`.
        waiting: seconds that consumers have waited for batches so far.
        cache: where images are kept once read: "none", "memory" or "device".
    """

    def __init__(
        self,
        shards: Shards,
        loading: Loading,
        device: torch.device,
        *,
        seed: int = 0,
        threads: int | None = None,
        cache: Cache = "auto",
    ) -> None:
        """Prepares to read; nothing is read yet.

        Args:
            shards: the images of one split.
            loading: batch size and order.
            device: where batches are put.
            seed: that of the data; with the epoch it decides the order.
            threads: how many decode; by default this process's share of the processor's cores.
            cache: "memory" or "device" keeps every image decoded once it has been read; "auto" does so when the split
                fits into a quarter of what is free, on a CUDA device if it can.
        """
        self._part = part(shards.labels, loading.share, seed)
        self.batches = -(-len(self._part) // loading.batch)
        self.waiting = 0.0
        self.threads = threads or max(1, machine.cores() // _processes())
        self.shards, self._loading, self._device, self._seed = shards, loading, device, seed
        self._labels = torch.from_numpy(shards.labels).to(device)
        image_bytes = 3 * shards.size**2
        share = -(-loading.batch // distributed.world())
        self._ahead = min(8, max(2, _AHEAD_BYTES // (image_bytes * share)))
        self.cache = _kept_where(cache, device, len(shards) * image_bytes)
        # JPEGs decode to channels-last pixels, raw shards hold them channels-first; neither is rearranged here.
        self._channels_last = shards.encoding == "jpeg"
        self._kept: Tensor | None = None
        self._known = np.zeros(len(shards), bool)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """This rank's share of batches `start`, `start`+1, ... of the epoch, entered there at once.

        Raises:
            InputError: a stored image is damaged; its place is named.
        """
        if self._loading.order == "stored":
            return self._iterate(self._part, start)
        order = randomness.permutation(self._seed, "order", epoch, len(self._part))
        return self._iterate(self._part[order], start)

    def in_order(self, start: int = 0) -> Iterator[Batch]:
        """The whole split in stored order, each image once over all ranks, as for evaluation; errors as for `epoch`."""
        return self._iterate(np.arange(len(self.shards)), start)

    def _iterate(self, order: np.ndarray, start: int) -> Iterator[Batch]:
        """The batches of `order`, while the next few are being read."""
        numbers = iter(range(start, -(-len(order) // self._loading.batch)))
        pending: deque[_Pending] = deque()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="alexnet-loader")
        try:
            while True:
                begun = time.perf_counter()
                pending.extend(self._begin(pool, order, n) for n in islice(numbers, self._ahead + 1 - len(pending)))
                if not pending:
                    return
                yield self._end(pending.popleft(), begun)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, order: np.ndarray, number: int) -> _Pending:
        """This rank's share of batch `number`, handed to the threads in parts."""
        first = number * self._loading.batch
        count = min(self._loading.batch, len(order) - first)
        begin, end = distributed.share(count)
        indices = order[first + begin : first + end]
        if self.cache == "device" and self._kept is not None and self._known[indices].all():
            return _Pending(indices, count, None, [])
        if self.cache != "none" and self._kept is None:
            where = self._device if self.cache == "device" else torch.device("cpu")
            self._kept = torch.empty(self._shape(len(self._known)), dtype=torch.uint8, device=where)
        pinned = self._device.type == "cuda"
        images = torch.empty(self._shape(len(indices)), dtype=torch.uint8, pin_memory=pinned)
        out = images.numpy()
        size = min(_CHUNK, -(-len(indices) // self.threads)) or 1
        starts = range(0, len(indices), size)
        parts = [pool.submit(self._read, indices[i : i + size], out[i : i + size]) for i in starts]
        return _Pending(indices, count, images, parts)

    def _read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Nothing; `out` holds the images, from memory if they are all kept there (called in the threads)."""
        kept = self._kept.numpy() if self.cache == "memory" and self._kept is not None else None
        if kept is not None and self._known[indices].all():
            kept.take(indices, axis=0, out=out, mode="clip")
            return
        self.shards.read(indices, out.transpose(0, 3, 1, 2) if self._channels_last else out)
        if kept is not None:
            kept[indices] = out
            self._known[indices] = True

    def _end(self, pending: _Pending, begun: float) -> Batch:
        """The batch on the device, once its parts are read; the time since `begun` is added to `waiting`."""
        for part in pending.parts:
            part.result()
        indices = self._moved(torch.from_numpy(pending.indices.copy()))
        if pending.images is not None:
            images = self._moved(pending.images)
        if self.cache == "device" and self._kept is not None:
            if pending.images is None:
                images = self._kept.index_select(0, indices)
            else:
                self._kept.index_copy_(0, indices, images)
                self._known[pending.indices] = True
        if self._channels_last:
            images = images.permute(0, 3, 1, 2)
        batch = Batch(images, self._labels.index_select(0, indices), indices, pending.total)
        self.waiting += time.perf_counter() - begun
        return batch

    def _moved(self, values: Tensor) -> Tensor:
        """`values` on the device; from pinned memory the copy to a CUDA device runs beside the computation."""
        if self._device.type == "cuda" and not values.is_pinned():
            values = values.pin_memory()
        return values.to(self._device, non_blocking=True)

    def _shape(self, count: int) -> tuple[int, ...]:
        size = self.shards.size
        return (count, size, size, 3) if self._channels_last else (count, 3, size, size)


def part(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """int64 `[n]`, ascending: the positions of that share of each class's images, at least one, drawn by `seed`.

    A smaller share lies within a larger one.

    Args:
        labels: int64 `[N]`.
    """
    if share == 1:
        return np.arange(len(labels))
    kept = []
    for label in np.unique(labels).tolist():
        own = np.flatnonzero(labels == label)
        shuffled = own[randomness.permutation(seed, "share", label, len(own))]
        kept.append(shuffled[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(kept))


def _kept_where(cache: Cache, device: torch.device, size: int) -> Literal["none", "memory", "device"]:
    """Where a split of `size` bytes is kept; on the CPU the device is the memory."""
    if cache == "auto" and device.type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] // 4:
        return "device"
    if cache == "auto":
        memory = machine.memory()
        return "memory" if memory is not None and size <= memory.free // (4 * _processes()) else "none"
    return "memory" if cache == "device" and device.type == "cpu" else cache


def _processes() -> int:
    """How many ranks share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
