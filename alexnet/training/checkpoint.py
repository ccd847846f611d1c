"""Checkpoints: weights, velocities and the position, whole or absent, the one before kept."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from alexnet import config
from alexnet.errors import InputError
from alexnet.files import checksum, read_json, write_aside, write_json

_KEPT = 2


@dataclass(frozen=True)
class Position:
    """Where training stands: all that the loop remembers beside weights and velocities."""

    epoch: int = 0
    """The epoch to go on with, counted from 0."""
    batch: int = 0
    """The batch of that epoch to go on with."""
    step: int = 0
    """Updates made so far."""
    sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """The epoch so far: loss, top-1 errors and top-5 errors, summed over images, and images."""
    written: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """The same when the journal's last line was written."""
    errors: tuple[float, ...] = ()
    """The top-1 validation error after each finished epoch (empty without a validation split)."""
    finished: bool = False
    """Whether training has ended."""


class Checkpoint(NamedTuple):
    """A checkpoint as it was read."""

    position: Position
    weights: dict[str, Tensor]
    """Whole tensors by name."""
    velocities: dict[str, Tensor]
    """Likewise."""
    journal: int
    """The journal's length in bytes at this position."""


def save(
    folder: Path, position: Position, weights: Mapping[str, Tensor], velocities: Mapping[str, Tensor], journal: int
) -> None:
    """Nothing; `folder` holds a checkpoint at `position`, and the one before it.

    Args:
        weights: whole tensors by name, on the CPU.
        velocities: likewise.
        journal: the journal's length in bytes at this position.
    """
    name = f"step-{position.step:09d}"
    tensors = {f"weights/{k}": v.contiguous() for k, v in weights.items()}
    tensors |= {f"velocities/{k}": v.contiguous() for k, v in velocities.items()}
    file = folder / f"{name}.safetensors"
    with write_aside(file) as aside:
        save_file(tensors, aside)
        digest = checksum(aside)
    # The JSON file comes last: a checkpoint without it does not exist.
    write_json(folder / f"{name}.json", {"position": asdict(position), "journal": journal, "sha256": digest})
    for old in sorted(folder.glob("step-*.json"))[:-_KEPT]:
        old.unlink()
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Nothing; tensors whose JSON file a kill prevented are gone."""
    for file in folder.glob("step-*.safetensors"):
        if not file.with_suffix(".json").exists():
            file.unlink()


def newest(folder: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint, or None without any.

    Raises:
        InputError: there are checkpoints, and every one is damaged.
    """
    names = sorted(folder.glob("step-*.json"), reverse=True)
    for file in names:
        found = _read(file)
        if found is not None:
            return found
        print(f"alexnet: {file.with_suffix('.safetensors')} is damaged; trying the one before it.", file=sys.stderr)
    if names:
        raise InputError(f"every checkpoint in {folder} is damaged; train into a new run folder.")
    return None


def _read(file: Path) -> Checkpoint | None:
    tensors_file = file.with_suffix(".safetensors")
    try:
        record: dict[str, Any] = read_json(file)
        if checksum(tensors_file) != record["sha256"]:
            return None
        position: Position = config.from_json(Position, record["position"], file.name)
        tensors = load_file(tensors_file)
    except (InputError, OSError, KeyError, TypeError):
        return None
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "velocities": {}}
    for key, tensor in tensors.items():
        kind, name = key.split("/", 1)
        parts[kind][name] = tensor
    return Checkpoint(position, parts["weights"], parts["velocities"], int(record["journal"]))
