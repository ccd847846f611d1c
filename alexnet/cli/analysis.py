"""report."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

import alexnet
from alexnet.cli import terminal


def report(arguments: list[str]) -> int:
    """`alexnet report RUN`."""

    def command(run: Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]) -> int:
        """Draw the figures and report.html of a run anew, also while it is being trained.

        Example: `alexnet report runs/one`.

        Args:
            run: the run's folder.
        """
        alexnet.report(run)
        print(run / "report.html")
        return 0

    return terminal.parse(command, arguments, "report")
