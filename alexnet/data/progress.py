"""A bar on standard error with images a second and the time left; nothing where that is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bar(what: str, total: int, done: int = 0) -> Iterator[Callable[[int], object]]:
    """A function to call with each number of images finished, from any thread; `done` were finished before."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total, completed=done, rate="")
        begun = time.monotonic()

        def advance(count: int) -> None:
            progress.advance(task, count)
            finished = progress.tasks[0].completed - done
            progress.update(task, rate=f"{finished / max(time.monotonic() - begun, 1e-3):,.0f} images/s")

        yield advance
