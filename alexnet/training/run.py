"""A run: the folder that holds a recipe, its journal, checkpoints, classifier, figures and report."""

import os
import sys
import tempfile
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from alexnet import config
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.files import checksum, flush, forget_parts, link, read_json, write_json
from alexnet.training import checkpoint, journal
from alexnet.training.recipe import Recipe

_SHOWN = 3  # of the fields in which two runs differ
_LETTERS = 40  # of a value


@dataclass(frozen=True)
class Run:
    """An opened run folder."""

    path: Path
    recipe: Recipe
    data: dict[str, Any]
    """data.json: the prepared set's "path", "fingerprint", "classes", "counts"; of a fine-tuned run "start", which has
    the sets that it had learnt from under "learnt_from"."""

    @classmethod
    def create(
        cls, path: Path, recipe: Recipe, data: dict[str, Any], session: dict[str, Any], start: Path | None = None
    ) -> "Run":
        """The new run at `path`, which appears by one rename holding its three JSON files.

        A run that begins from the classifier file `start` keeps it as start.safetensors, so that it can be resumed
        wherever that file goes.

        Raises:
            InputError: something else is at `path`.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path} exists and is no run; name a new folder by --run.")
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        aside.chmod(0o755)
        write_json(aside / "recipe.json", config.to_json(recipe))
        write_json(aside / "data.json", data)
        write_json(aside / "environment.json", {"sessions": [session]})
        (aside / "checkpoints").mkdir()
        if start:
            link(start, aside / "start.safetensors")
        aside.rename(path)
        flush(path.parent)
        return cls(path, recipe, data)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """The run at `path`.

        Raises:
            InputError: there is no run, or its files cannot be read.
        """
        if not (path / "recipe.json").is_file():
            raise InputError(f"{path} is no run: it has no recipe.json. `alexnet train RECIPE --run {path}` makes one.")
        return cls(path, read_recipe(path / "recipe.json"), read_json(path / "data.json"))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def start(self) -> Path | None:
        """The classifier file that training began from, or None."""
        file = self.path / "start.safetensors"
        return file if file.is_file() else None

    @property
    def checkpoints(self) -> Path:
        """The folder to resume from."""
        return self.path / "checkpoints"

    def journal(self) -> list[dict[str, Any]]:
        """What training wrote so far: lines with "event" "step" or "epoch"."""
        return journal.read(self.path / "journal.jsonl")

    def timing(self) -> list[dict[str, Any]]:
        """How fast it went, a line for each epoch or part of one that a session computed."""
        return journal.read(self.path / "timing.jsonl")

    def environment(self) -> list[dict[str, Any]]:
        """The sessions that computed it, oldest first."""
        sessions: list[dict[str, Any]] = read_json(self.path / "environment.json")["sessions"]
        return sessions

    def add_session(self, session: dict[str, Any]) -> None:
        """Nothing; environment.json tells of one more session."""
        write_json(self.path / "environment.json", {"sessions": [*self.environment(), session]})

    def tidy(self) -> None:
        """Nothing; what processes that were killed midway left behind is gone."""
        for folder in (self.path, self.checkpoints):
            forget_parts(folder)
        checkpoint.tidy(self.checkpoints)

    def require_same(self, recipe: Recipe, data: dict[str, Any]) -> None:
        """Nothing when this run computes `recipe` on `data`.

        Raises:
            InputError: it does not; the sentence shows what differs, the data first.
        """
        both = [self.data.get("start") or {}, data.get("start") or {}]
        # A run of an older version kept the whole file's checksum only.
        kept = "tensors" if all("tensors" in start for start in both) else "checksum"
        ours, theirs = _essence(self.data, kept), _essence(data, kept)
        differs = [(f"data.{k}", ours[k], theirs[k]) for k in ours if ours[k] != theirs[k]]
        differs += config.difference(self.recipe, recipe)
        if differs:
            # What is no single value takes a page: its name must do, and only where there is nothing else to show.
            plain = [entry for entry in differs if not isinstance(entry[1], list) and not isinstance(entry[2], list)]
            shown = [f"{field}: {_short(here)} -> {_short(there)}" for field, here, there in plain[:_SHOWN]]
            shown = shown or [field for field, _, _ in differs[:_SHOWN]]
            if more := len(differs) - len(shown):
                shown.append(f"and {more} more")
            raise InputError(
                f"{self.path} holds another run than you ask for ({'; '.join(shown)}). Give a new --run; "
                "`alexnet finetune` goes on differently."
            )


def read_recipe(path: Path) -> Recipe:
    """The recipe in a recipe.json; fields that an older file lacks take their defaults, said on standard error.

    Raises:
        InputError: an unknown field or an impossible value, named.
    """
    defaults: list[str] = []
    recipe: Recipe = config.from_json(Recipe, read_json(path), path.name, defaults)
    if defaults and os.environ.get("RANK", "0") == "0":
        print(f"alexnet: {path} does not say {', '.join(defaults)}; taking the defaults.", file=sys.stderr)
    return recipe


def own_set(run: str | Path) -> PreparedSet:
    """The prepared set that the run in folder `run` learnt from.

    Raises:
        InputError: it is no run folder, or its set is gone or is another now.
    """
    recorded = Path(run) / "data.json"
    if not recorded.is_file():
        raise InputError(f"{run} is no run folder, so its prepared set is not known; name one by --data PREPARED.")
    described = read_json(recorded)
    if not (Path(described["path"]) / "dataset.json").is_file():
        raise InputError(f"{run} learnt from {described['path']}, which is not there now; say where it is by --data.")
    prepared = PreparedSet.open(described["path"])
    if prepared.fingerprint != described["fingerprint"]:
        raise InputError(
            f"{prepared.path} is no longer the set that {run} was trained on; to take it even so, name it by --data."
        )
    return prepared


def learnt_from(classifier: Path) -> list[dict[str, Any]]:
    """The "path", "fingerprint" and "classes" of each set that a run's classifier file learnt from, its starts' first.

    Nothing of a file that lies in no run's folder: it does not say.
    """
    recorded = classifier.parent / "data.json"
    if not (recorded.is_file() and (classifier.parent / "recipe.json").is_file()):
        return []
    data, kept = read_json(recorded), ("path", "fingerprint", "classes")
    if not isinstance(data, dict) or any(key not in data for key in kept):
        return []
    before: list[dict[str, Any]] = (data.get("start") or {}).get("learnt_from", [])
    return before if classifier.name == "start.safetensors" else [*before, {key: data[key] for key in kept}]


def unique_name(recipe: Recipe, prepared: PreparedSet, start: Path | None = None) -> str:
    """A name that two different runs do not share: the recipe's, a hash of all that decides the run, the seed.

    Only what differs from the defaults is hashed, so that a field which is new in a later version renames no run.
    """
    parts = (getattr(recipe, section.name) for section in fields(recipe) if section.name != "seeds")
    changes = [_changes(part) if is_dataclass(part) else part for part in parts]
    digest = config.digest([changes, prepared.fingerprint, checksum(start) if start else ""])
    weights, order = recipe.seeds.weights, recipe.seeds.data
    return f"{recipe.name}-{digest}-{weights}" + (f"-{order}" if order != weights else "")


def lock(run: Path) -> Path:
    """The lock file of the process that trains `run`: beside it, so that it is there before the run is."""
    path = run.resolve()
    return path.parent / f".{path.name}.lock"


def _changes(part: Any) -> list[Any]:
    """A section's class, and what in it is not that class's default."""
    return [type(part).__name__, [[name, ours] for name, _, ours in config.difference(type(part)(), part)]]


def _essence(data: dict[str, Any], kept: str) -> dict[str, Any]:
    """What must be equal to go on: a set may have moved. Of the start, the checksum under the name `kept`."""
    start = data.get("start") or {}
    return {"fingerprint": data["fingerprint"], "start": start.get(kept)}


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LETTERS else f"{shown[: _LETTERS - 3]}..."
