"""What the commands share: tyro's parsing, JSON on standard output, all else on standard error, rank 0's voice."""

import contextlib
import io
import math
import os
import sys
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args

import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from alexnet.files import json_text

_PARTS = {"optimizer": "optimiser", "lr": "learning-rate", "batch-size": "batch", "color": "colour"}
_WHOLE = {"lr": "optimiser.learning-rate", "learning-rate": "optimiser.learning-rate", "batch-size": "loader.batch"}
"""Flags as other libraries spell them, which are too far from ours for tyro to find: parts, and whole flags."""

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""A flag that is given or not, without a --no-... beside it."""


def parse(command: Callable[..., int], arguments: list[str], prog: str) -> int:
    """The exit code of `command`, called with what `arguments` say; tyro prints help and wrong usage, and exits."""
    markers = (tyro.conf.AvoidSubcommands, tyro.conf.HelptextFromCommentsOff)
    numbers = ConstructorRegistry()
    numbers.primitive_rule(_number)
    try:
        return tyro.cli(
            command,
            args=arguments,
            prog=f"alexnet {prog}",
            config=markers,
            registry=numbers,
            console_outputs=_speaks(),
        )
    except SystemExit as exit:
        if exit.code == 2:
            for flag in filter(None, map(_meant, arguments)):
                note(f"alexnet: did you mean {flag}?")
        raise


def _number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How tyro reads one number, or None where it may be that; what is no number is told in a sentence."""
    kinds = get_args(info.type) if info.type_origin in (Union, UnionType) else (info.type,)
    kind, *others = sorted(kinds, key=lambda each: each is NoneType)
    if kind not in (int, float) or others not in ([], [NoneType]):
        return None

    def read(words: list[str]) -> Any:
        if others and words == ["None"]:
            return None
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"{words[0]!r} is not a {'whole ' if kind is int else ''}number.") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{'{None}|' if others else ''}{kind.__name__.upper()}",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, (int, *kinds)),
        str_from_instance=lambda value: [str(value)],
    )


def _meant(word: str) -> str:
    """Our flag for one that has another library's words; "" for any other word."""
    if not word.startswith("--"):
        return ""
    flag = word[2:].split("=")[0].replace("_", "-")
    ours = _WHOLE.get(flag) or ".".join(_PARTS.get(part, part) for part in flag.split("."))
    return f"--{ours}" if ours != flag else ""


def fail(sentence: str, code: int) -> int:
    """`code`, once the sentence is on standard error."""
    rank = "" if _speaks() else f" (rank {_rank()})"
    print(f"alexnet{rank}: {sentence}", file=sys.stderr)
    return code


@contextlib.contextmanager
def rank_0_speaks() -> Iterator[None]:
    """Within the block the standard output of `torchrun`'s other processes goes nowhere."""
    if _speaks():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def take_any_name() -> None:
    """Nothing; a file's name that is no text is printed as the bytes that it is, where this would end the command.

    Standard error never fails: it escapes what it cannot write.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")


def print_json(value: Any) -> None:
    """Nothing; one line of JSON on standard output, in which what is no finite number is null."""
    print(json_text(_finite(value)), flush=True)


def console() -> Console:
    """Rich's console on standard output; in a pipe, plain text that is not cut at 80 columns."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120, soft_wrap=True)


def note(sentence: str) -> None:
    """Nothing; the sentence is on standard error, once for all ranks."""
    if _speaks():
        sys.stdout.flush()  # where both go to one place, a note stands after what was printed before it
        print(sentence, file=sys.stderr, flush=True)


@contextlib.contextmanager
def bar(what: str, total: int, counted: Literal["images", "bytes"]) -> Iterator[Callable[[int], object]]:
    """A function to be told of how many more are done, shown as a bar on standard error and then wiped away."""
    count = DownloadColumn() if counted == "bytes" else MofNCompleteColumn()
    columns = (TextColumn(what), BarColumn(), count, TextColumn(counted), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not (console.is_terminal and _speaks())
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


def _speaks() -> bool:
    return _rank() == "0"


def _rank() -> str:
    # Not distributed.rank(): the group does not exist yet, and torch would cost a second of `alexnet --help`.
    return os.environ.get("RANK", "0")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
