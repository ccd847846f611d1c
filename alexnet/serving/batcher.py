"""Pictures of many requests computed together: a bounded queue, threads that decode, one thread for the network."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from alexnet.serving.limits import Limits

Load = Callable[[], np.ndarray]
"""uint8 `[S,S,3]`, in a thread of its own; what it raises becomes the picture's answer."""
Compute = Callable[[Sequence[np.ndarray]], Sequence[Any]]
"""An answer for each of N pictures uint8 `[S,S,3]`."""


class Full(Exception):
    """There is no room for so many pictures now; `seconds` tells after how long to ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"full for about {seconds} s")
        self.seconds = seconds


@dataclass(eq=False)
class _Picture:
    compute: Compute
    load: Load | None
    """None once it is called or given up: what it holds, a whole file, is not kept any longer."""
    answer: "Future[Any]" = field(default_factory=Future)
    pixels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    since: float = 0.0
    """When it was decoded."""


class Batcher:
    """Takes pictures from any thread and answers by futures.

    While a batch is computed the next ones gather; a picture waits for others only while some are being decoded, and
    no longer than the batch before took, nor than `limits.wait`. Pictures to be computed in different ways never share
    a batch.
    """

    def __init__(
        self,
        limits: Limits,
        threads: int,
        told: Callable[[int, float], object] = lambda count, seconds: None,
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            threads: how many decode.
            told: called after each batch with its pictures and seconds.
            begin: called once in the thread that computes, before anything else there.
        """
        self._limits, self._told = limits, told
        self._changed = threading.Condition()
        self._waiting: deque[_Picture] = deque()
        self._coming = 0  # accepted, not decoded yet
        self._held = 0
        self._pace = 0.0  # seconds a picture, of late
        self._took = math.inf  # seconds, the last batch
        self._closed = False
        self._decoders = ThreadPoolExecutor(threads, "decoding")
        self._thread = threading.Thread(target=self._run, args=(begin,), name="computing", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Pictures accepted and not answered yet."""
        return self._held

    def submit(self, compute: Compute, loads: Sequence[Load]) -> "list[Future[Any]]":
        """A future for each picture's answer; all are accepted, or none.

        A cancelled one is not computed; its place in the queue and what its `load` holds are free at once.

        Raises:
            Full: there is no room for them, or the batcher is closed.
        """
        with self._changed:
            if self._closed or self._held + len(loads) > self._limits.queue:
                raise Full(max(1, math.ceil(self._held * self._pace)))
            self._held += len(loads)
            self._coming += len(loads)
            pictures = [_Picture(compute, load) for load in loads]
            for picture in pictures:
                picture.answer.add_done_callback(partial(self._leave, picture))
                self._decoders.submit(self._decode, picture)
        return [picture.answer for picture in pictures]

    def close(self) -> None:
        """Nothing, once all that was accepted is answered; nothing more is accepted."""
        with self._changed:
            self._closed = True
        self._decoders.shutdown()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def _leave(self, picture: _Picture, _: "Future[Any]") -> None:
        picture.load = None
        with self._changed:
            self._held -= 1

    def _decode(self, picture: _Picture) -> None:
        load, picture.load = picture.load, None
        try:
            if load is not None:
                picture.pixels = load()
        except BaseException as error:
            _tell(picture.answer, error=error)
        finally:
            with self._changed:
                self._coming -= 1
                if picture.pixels.size:
                    picture.since = time.monotonic()
                    self._waiting.append(picture)
                self._changed.notify_all()

    def _run(self, begin: Callable[[], object]) -> None:
        begin()
        while batch := self._take():
            going = [picture for picture in batch if not picture.answer.cancelled()]
            if not going:
                continue
            begun = time.monotonic()
            failed: BaseException | None = None
            try:
                answers = going[0].compute([picture.pixels for picture in going])
                answered = [*zip(going, answers, strict=True)]
            except BaseException as error:
                failed, answered = error, [(picture, None) for picture in going]
            seconds = self._took = time.monotonic() - begun
            recent = seconds / len(going)
            self._pace = recent if not self._pace else 0.9 * self._pace + 0.1 * recent
            self._told(len(going), seconds)  # before its answers are out: who has one finds it counted
            for picture, answer in answered:
                _tell(picture.answer, answer, failed)

    def _take(self) -> list[_Picture]:
        """The next batch, all to be computed in one way; nothing once the batcher is closed and empty."""
        with self._changed:
            while not self._waiting and not (self._closed and not self._coming):
                self._changed.wait()
            if not self._waiting:
                return []
            latest = self._waiting[0].since + min(self._limits.wait, self._took)
            while self._coming and len(self._waiting) < self._limits.batch and (left := latest - time.monotonic()) > 0:
                self._changed.wait(left)
            first = self._waiting[0].compute
            chosen: list[_Picture] = []
            others: list[_Picture] = []
            for picture in self._waiting:
                mine = picture.compute == first and len(chosen) < self._limits.batch
                (chosen if mine else others).append(picture)
            self._waiting = deque(others)
            return chosen


def _tell(answer: "Future[Any]", value: Any = None, error: BaseException | None = None) -> None:
    """Nothing; the future has its answer, unless its request was given up meanwhile."""
    with suppress(InvalidStateError):  # cancelled between our look and our word
        answer.set_result(value) if error is None else answer.set_exception(error)
