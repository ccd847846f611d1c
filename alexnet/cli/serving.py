"""serve."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

import alexnet
from alexnet.cli import terminal
from alexnet.serving.limits import Limits

Run = Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]


def serve(arguments: list[str]) -> int:
    """`alexnet serve RUN`."""

    def command(
        run: Run,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        features: Path | None = None,
        source: Path | None = None,
        best: terminal.Flag = False,
        device: str = "auto",
        abstain_below: float | None = None,
        drain_seconds: float = 0,
        log: terminal.Flag = False,
        limits: Limits = Limits(),  # noqa: B008
    ) -> int:
        """Answer over HTTP what pictures show, and give people a page to ask on.

        Examples: `alexnet serve cifar10`, `alexnet serve runs/one --port 8080 --features features`. A line tells the
        address once requests are taken. SIGTERM or Ctrl-C stop it, after what was accepted is answered.

        Args:
            run: a run's folder, a classifier file, or the name of one that ships.
            host: the address to listen at; 127.0.0.1 is this machine alone, 0.0.0.0 all its networks.
            port: 0 takes a free one.
            features: a folder that `alexnet embed` wrote with this classifier, to show the nearest pictures. Whoever
                reaches the server can then see them.
            source: where the pictures of the features are now, if they have moved.
            best: take the run's classifier at its lowest validation error, not the last.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            abstain_below: answer "not sure" where the best probability is below this, 0 to 1, unless a request names
                another; `alexnet calibrate` comes first, and tells which share is answered then, and how well.
            drain_seconds: after a signal take connections for so long still, while /readyz says 503: give a load
                balancer the time to see it.
            log: write a line of JSON for each request to standard error: method, path, status, milliseconds, bytes.
            limits: what is taken on at most.
        """

        def ready(address: str) -> None:
            print(f"alexnet serves {run} at {address}", flush=True)

        signal = alexnet.serve(
            run,
            host,
            port,
            features,
            source=source,
            limits=limits,
            best=best,
            device=device,
            abstain_below=abstain_below,
            drain_seconds=drain_seconds,
            log=log,
            ready=ready,
        )
        return 128 + signal if signal else 0

    return terminal.parse(command, arguments, "serve")
