"""A run that will not go on keeps its journal and weights, but not what it was resumed from."""

from pathlib import Path
from typing import Any

from alexnet import locks
from alexnet.config import from_json
from alexnet.errors import InputError
from alexnet.files import read_json, write_json
from alexnet.training import journal
from alexnet.training.run import lock
from alexnet.training.schedule import Milestones, Plateau

_NOTE = "finished.json"


def epochs(run: Path) -> list[dict[str, Any]]:
    """The lines of whole epochs in a run's journal, first to last."""
    return [line for line in journal.read(run / "journal.jsonl") if line["event"] == "epoch"]


def finished(run: Path) -> bool:
    """Whether the run was trained to its end, and its journal still tells of every epoch."""
    note = run / _NOTE
    return note.is_file() and len(epochs(run)) == read_json(note)["epochs"]


def unfinished(run: Path) -> tuple[int, int] | None:
    """(Epochs trained, epochs to train at most) of a run that is on its way; None at its end, or where none can tell.

    A run's classifier is whole whatever its journal and recipe are: what cannot be read is no reason to stop.
    """
    try:
        lines = epochs(run)
        described = read_json(run / "recipe.json")["schedule"]
        schedule: Plateau | Milestones = from_json(Plateau | Milestones, described, f"{run / 'recipe.json'}: schedule")
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
    if not lines:
        return None
    errors = [line["validation"]["top1_error"] for line in lines if line["validation"]]
    done = len(lines) >= schedule.epochs or schedule.finished(errors)
    return None if done else (len(lines), schedule.epochs)


def finish(run: Path) -> None:
    """Nothing; the run, whose training has come to its end, is known as finished and lightened.

    For the process that has the run's lock: another would find half of what it would go on from.
    """
    write_json(run / _NOTE, {"epochs": len(epochs(run))})
    _delete(run)


def lighten(run: Path) -> None:
    """Nothing; what the run would be resumed from is deleted: 1 GB of a network of the paper's size.

    Where another process trains the run, that goes on and nothing is deleted.
    """
    with locks.alone(lock(run)) as mine:
        if mine:
            _delete(run)


def _delete(run: Path) -> None:
    for file in sorted((run / "checkpoints").glob("step-*")):
        file.unlink()
