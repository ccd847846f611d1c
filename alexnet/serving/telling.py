"""What Prometheus is told of a server: requests, pictures, batches, the queue, the process."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

Reason = Literal[
    "address",  # nothing there, or not by this method
    "parameter",  # of the query: unknown or wrong
    "form",  # damaged, or no picture in it
    "type",  # of the content, or compressed
    "size",  # bytes
    "images",  # too many
    "pictures",  # none could be used
    "upload",  # too slow
    "memory",  # all bodies together
    "queue",  # full
    "answer",  # too late
    "gone",  # the client, before its answer
    "failed",  # the server itself
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Why a whole request was refused; few, so that Prometheus is not flooded."""


class Telling:
    """Counters of one server, in a registry of its own."""

    def __init__(self, held: Callable[[], int], facts: Mapping[str, str]) -> None:
        """
        Args:
            held: how many pictures are accepted and not answered yet.
            facts: which classifier answers.
        """
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

        self.registry = CollectorRegistry()
        Info("alexnet_classifier", "Which classifier answers.", registry=self.registry).info(dict(facts))
        self._refusals = Counter(
            "alexnet_refusals_total", "Requests refused, by reason.", ["reason"], registry=self.registry
        )
        for reason in REASONS:  # from nought, that the first one is seen as a rise
            self._refusals.labels(reason)
        self._requests = Counter(
            "alexnet_requests_total", "Requests answered.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "alexnet_request_seconds", "From a request's first byte to its answer.", ["path"], registry=self.registry
        )
        self._pictures = Counter(
            "alexnet_pictures_total", "Pictures answered, or refused.", ["outcome"], registry=self.registry
        )
        self._batches = Histogram(
            "alexnet_batch_pictures",
            "Pictures computed together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self._computing = Counter("alexnet_computing_seconds_total", "Time in the network.", registry=self.registry)
        Gauge("alexnet_queue_pictures", "Pictures accepted, not answered yet.", registry=self.registry).set_function(
            held
        )
        ProcessCollector(registry=self.registry)

    def request(self, path: str, status: int, seconds: float, refused: Reason | None) -> None:
        """Nothing; a request was answered. `path` is a route, not what was typed: names stay few."""
        if refused is not None:
            self._refusals.labels(refused).inc()
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def pictures(self, answered: int, refused: int) -> None:
        """Nothing; so many pictures of a request were answered and refused."""
        self._pictures.labels("answered").inc(answered)
        self._pictures.labels("refused").inc(refused)

    def batch(self, count: int, seconds: float) -> None:
        """Nothing; a batch was computed."""
        self._batches.observe(count)
        self._computing.inc(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
