"""`serve`: a classifier over HTTP until the process is told to stop."""

import asyncio
import importlib.util
import math
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from alexnet import machine
from alexnet.errors import InputError
from alexnet.serving.limits import Limits
from alexnet.serving.server import application
from alexnet.serving.service import UNCALIBRATED, Service

if TYPE_CHECKING:
    from uvicorn import Server

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_IDLE = 75  # seconds a connection may idle: longer than proxies keep theirs, so that it is they who close
_CONNECTIONS = 1024
_UNREAD = 60  # seconds after which a client that does not take its answer is cut off, and the answer forgotten
_LOOKING = 0.1  # seconds until a second Ctrl-C is seen
_LEAVING = 5  # seconds beyond a request's own that a stop waits


def serve(
    run: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    features: str | Path | None = None,
    *,
    source: str | Path | None = None,
    limits: Limits | None = None,
    best: bool = False,
    device: str = "auto",
    abstain_below: float | None = None,
    drain_seconds: float = 0,
    log: bool = False,
    ready: Callable[[str], object] = print,
) -> int:
    """The signal that ended the server (SIGTERM; 0 without one), once all that it had accepted was answered.

    Args:
        run: a run folder, a classifier file, or the name of one that ships.
        host: the address to listen at: 127.0.0.1 is this machine alone, 0.0.0.0 all its networks.
        port: 0 takes a free one.
        features: a folder that `embed` wrote with this classifier, for the nearest pictures. Whoever reaches the
            server can see them.
        source: where the pictures of the features are now, if they have moved.
        best: of a run, the classifier at the lowest validation error.
        abstain_below: the probability, 0 to 1, that the best label must reach for an answer not to be "not sure",
            where a request names no other. A note on standard error tells of a classifier that was never calibrated.
        drain_seconds: how long after a signal connections are still taken while /readyz says 503 already, for load
            balancers that ask it to look elsewhere.
        log: write a line of JSON for each request to standard error.
        ready: told the address once requests are taken.

    Raises:
        InputError: classifier or features cannot be read, the address is taken, a package is missing, or a number is
            out of its range.
        KeyboardInterrupt: stopped by Ctrl-C, likewise in order.
    """
    missing = [name.replace("_", "-") for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {', '.join(missing)}: pip install 'alexnet[serve]'.")
    if not 0 <= drain_seconds < math.inf:
        raise InputError(f"drain_seconds is {drain_seconds}; it must be 0 or more.")
    with _listening(host, port) as listener, computing_alone() as threads:
        service = Service.open(
            run,
            limits or Limits(),
            features,
            source=source,
            best=best,
            device=device,
            abstain_below=abstain_below,
            threads=threads,
        )
        if abstain_below is not None and not service.calibrated:
            print(f"alexnet: {UNCALIBRATED}", file=sys.stderr)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        with _terminating() as signals:
            server = http_server(service, drain_seconds, log)
            asyncio.run(_run(server, listener, lambda: ready(address), signals))
        return signals[0] if signals else 0


def http_server(service: Service, drain_seconds: float = 0, log: bool = False) -> "Server":
    """uvicorn's server of the service, not yet running; it ends when a signal or its `should_exit` says so."""
    import uvicorn

    class Draining(uvicorn.Server):
        """Says that it is stopping before it stops, or each client would lose what it sends just then."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            service.stopping = True
            super().handle_exit(sig, frame)

        async def main_loop(self) -> None:
            await super().main_loop()
            service.stopping = True
            end = time.monotonic() + drain_seconds
            while (left := end - time.monotonic()) > 0 and not self.force_exit:
                await asyncio.sleep(min(left, _LOOKING))

    config = uvicorn.Config(
        application(service, log),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=int(service.limits.seconds) + _LEAVING,
        limit_concurrency=_CONNECTIONS,
    )
    return Draining(config)


@contextmanager
def computing_alone() -> Iterator[int]:
    """How many threads may compute for the batcher's; this one computes alone within the block.

    OpenMP keeps helpers for every thread that ever computed on several cores. A second set of them, for the batcher's
    thread besides this one, which loads the classifier, makes each batch of one a quarter slower (docs/log.md).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(before, machine.cores())  # a container's share of the cores is not known to torch
    finally:
        torch.set_num_threads(before)


async def _run(server: "Server", listener: socket.socket, ready: Callable[[], object], signals: Sequence[int]) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if signals:  # one that came before uvicorn listened to them
        server.should_exit = True
    elif server.started:
        ready()
    await serving


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address; it listens, and clients get through, once requests are taken."""
    if not 0 <= port <= 65535:  # a greater one would be taken modulo 65536, by some systems silently
        raise InputError(f"port is {port}; it must lie in 0..65535.")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol named asyncio sends small answers at once; else each would wait 40 ms for the client's word.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"{host} is no address to listen at ({error}); 127.0.0.1 is this machine alone.") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _UNREAD)
        try:
            listener.bind(place)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{host}:{port} cannot be listened at ({reason}); --port names another port.") from None
        yield listener


@contextmanager
def _terminating() -> Iterator[list[int]]:
    """The signals SIGTERM that came; uvicorn stops in order by the first, and sends it to us again at the end."""
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGTERM, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
