"""One run of a sweep: trained to its end, or until a rule that reads its journal ends it after an epoch.

A run that a rule may end trains in a process of its own, which saves and stops when its standard input closes: when
the rule says so, on Ctrl-C, and when the process that began it dies. So the loop over images knows nothing of rules.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import alexnet
from alexnet import config
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.files import read_json, write_json
from alexnet.sweeps import settings
from alexnet.sweeps.settings import Value
from alexnet.training.finished import epochs, finished, lighten
from alexnet.training.parts import NotFinite
from alexnet.training.recipe import Machine, Recipe, Seeds
from alexnet.training.run import unique_name
from alexnet.training.train import Stopped, train

Epochs = Sequence[Mapping[str, Any]]
"""The journal's lines of whole epochs, first to last."""
_POLL = 0.3  # seconds


@dataclass(frozen=True)
class Trial:
    """A run of a setting, and how it ended."""

    setting: Mapping[str, Value]
    """What it changes in the base, by field."""
    recipe: Recipe
    run: Path
    state: Literal["finished", "stopped", "broken"]
    """To its end; ended by the rule; or its numbers were no longer finite."""
    epochs: tuple[Mapping[str, Any], ...]
    """Up to its end, or to the epoch after which the rule ended it."""

    @property
    def error(self) -> float | None:
        """The top-1 validation error after its last epoch; None for a broken run, or without a validation split."""
        if self.state == "broken" or not self.epochs or not self.epochs[-1]["validation"]:
            return None
        return float(self.epochs[-1]["validation"]["top1_error"])


def trial(
    base: Recipe,
    setting: Mapping[str, Value],
    seed: int,
    data: Path,
    runs: Path,
    machine: Machine,
    *,
    stop: Callable[[Epochs], bool] | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Trial:
    """The run of `base` with `setting` and `seed` in a folder below `runs`; begun, gone on with, or found there.

    What it was resumed from is deleted once it is finished or broken; a run that `stop` ended can go on.

    Args:
        stop: asked after each epoch, in order, with the epochs so far: whether the run ends here.
        say: told of the run before it trains.

    Raises:
        InputError: the setting is impossible, or set and recipe do not fit.
        Stopped: a signal came; all is saved.
    """
    recipe = replace(settings.changed(base, setting), seeds=Seeds(seed, seed))
    folder = runs / unique_name(recipe, PreparedSet.open(data))
    note = folder / "broken.json"
    told = " ".join(f"{settings.shown(name)}={value}" for name, value in setting.items())
    say(f"{folder.name}: {told or recipe.name}, seed {seed}")
    try:
        if note.is_file():
            raise NotFinite(read_json(note)["why"])
        lines, stopped = _trained(recipe, data, folder, machine, stop)
    except NotFinite as error:
        write_json(note, {"why": str(error)})
        lighten(folder)
        return Trial(setting, recipe, folder, "broken", tuple(epochs(folder)))
    return Trial(setting, recipe, folder, "stopped" if stopped else "finished", tuple(lines))


def _trained(
    recipe: Recipe, data: Path, folder: Path, machine: Machine, stop: Callable[[Epochs], bool] | None
) -> tuple[Epochs, bool]:
    """(the epochs up to the end, or to that after which `stop` said so; whether it said so)."""
    if stop is None or recipe.schedule.epochs == 1:
        if not finished(folder):
            train(recipe, data, folder, machine, shared=True)
        lines = epochs(folder)
        return lines, stop is not None and stop(lines)
    process: subprocess.Popen[str] | None = None
    seen = 0
    try:
        while True:
            code = process.poll() if process else None  # asked before reading, so that nothing is missed
            lines = epochs(folder)
            while seen < len(lines):
                seen += 1
                if stop(lines[:seen]):
                    return lines[:seen], True
            if finished(folder):
                return lines, False
            if process is None:
                process = _begin(recipe, data, folder, machine)
            elif code is not None:
                _fail(process, folder)
            else:
                time.sleep(_POLL)
    finally:
        if process:
            process.communicate()  # closes its standard input: it saves and stops


def _begin(recipe: Recipe, data: Path, folder: Path, machine: Machine) -> "subprocess.Popen[str]":
    """The process that trains; in a session of its own, so that Ctrl-C comes to this process alone."""
    job = {"recipe": recipe, "data": str(data), "run": str(folder), "machine": machine}
    # This very package, not a folder of its name where the sweep was started.
    paths = [str(Path(alexnet.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "alexnet.sweeps.trial"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    process.stdin.write(json.dumps(config.to_json(job)) + "\n")
    process.stdin.flush()
    return process


def _fail(process: "subprocess.Popen[str]", folder: Path) -> None:
    """Raises what ended the process before the run was finished."""
    told = process.stdout.read() if process.stdout else ""
    failure = json.loads(told) if told.startswith("{") else {}
    if failure.get("signal"):
        raise Stopped(failure["signal"])
    if failure.get("broken"):
        raise NotFinite(failure["why"])
    raise InputError(failure.get("why") or f"the process that trained {folder} ended with {process.returncode}.")


def _main() -> int:
    """Trains what a line of standard input describes; a failure is told as JSON on standard output."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_when_closed, daemon=True).start()
    recipe, machine = config.from_json(Recipe, job["recipe"], "recipe"), config.from_json(Machine, job["machine"], "")
    try:
        train(recipe, Path(job["data"]), Path(job["run"]), machine, shared=True)
    except Stopped as stopped:
        failure: dict[str, Any] = {"signal": stopped.signal}
    except InputError as error:
        failure = {"broken": isinstance(error, NotFinite), "why": str(error)}
    else:
        return 0
    with contextlib.suppress(OSError):  # whoever asked may be gone
        os.write(sys.stdout.fileno(), json.dumps(failure).encode())
    return 1


def _stop_when_closed() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(_main())
