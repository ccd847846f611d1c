"""A run that will not go on keeps its journal and weights, but not what it was resumed from."""

from pathlib import Path
from typing import Any

from alexnet.files import write_json
from alexnet.training import journal

_NOTE = "finished.json"


def epochs(run: Path) -> list[dict[str, Any]]:
    """The lines of whole epochs in a run's journal, first to last."""
    return [line for line in journal.read(run / "journal.jsonl") if line["event"] == "epoch"]


def finished(run: Path) -> bool:
    """Whether the run was trained to its end; its journal tells of the last epoch before its weights are written."""
    return (run / _NOTE).is_file()


def finish(run: Path) -> None:
    """Nothing; the run, whose training has returned, is known as finished and lightened."""
    write_json(run / _NOTE, {"epochs": len(epochs(run))})
    lighten(run)


def lighten(run: Path) -> None:
    """Nothing; what the run would be resumed from is deleted: 1 GB of a network of the paper's size."""
    for file in sorted((run / "checkpoints").glob("step-*")):
        file.unlink()
