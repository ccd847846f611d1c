"""The file that an experiment leaves: what was claimed, computed and measured, and what the rule said of it."""

import json
from pathlib import Path
from typing import Any

from alexnet import config, devices, recipes
from alexnet.analysis import drawing
from alexnet.errors import InputError
from alexnet.experiments.bench import Bench
from alexnet.experiments.experiment import Experiment, Measured
from alexnet.files import read_json, write_json
from alexnet.training import environment, journal
from alexnet.training.recipe import Recipe


def write(folder: Path, experiment: Experiment, bench: Bench, measured: Measured, seconds: float) -> dict[str, Any]:
    """The result, which now lies in `folder`/NAME.json beside its figures.

    The rule judges the numbers as they stand in the file, so that anyone can judge the file again.

    Args:
        seconds: what measuring took, this time: less where runs were kept.
    """
    numbers = json.loads(json.dumps(dict(measured.numbers), sort_keys=True))
    verdict = experiment.judge(numbers)
    names = [f"{experiment.name}-{name}.png" for name in measured.figures]
    for name, figure in zip(names, measured.figures.values(), strict=True):
        drawing.save(figure, folder / name)
    result = {
        "experiment": experiment.name,
        "section": experiment.section,
        "claim": experiment.claim,
        "paper": experiment.paper,
        "ours": measured.ours,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "rule": experiment.rule,
        "numbers": numbers,
        "tables": dict(measured.tables),
        "figures": names,
        "remarks": list(measured.remarks),
        "budget": config.to_json(vars(bench.budget)),
        "data": _data(experiment, bench),
        "recipes": {name: _recipe(recipe) for name, recipe in bench.used.items()},
        "seconds": round(seconds, 1),
        "training_seconds": round(sum(_trained(bench, name) for name in bench.used), 1),
        **_environment(bench),
    }
    write_json(folder / f"{experiment.name}.json", result)
    return result


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """The result of the experiment `name` in `folder`, or None.

    Raises:
        InputError: the file is not a result.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    result: dict[str, Any] = read_json(path)
    if result.get("experiment") != name:
        raise InputError(f"{path} is not the result of {name}; `alexnet reproduce {name}` writes it anew.")
    return result


def _data(experiment: Experiment, bench: Bench) -> dict[str, Any] | None:
    if experiment.needs == "nothing":
        return None
    prepared = bench.prepared
    return {
        "name": prepared.path.name,
        "fingerprint": prepared.fingerprint,
        "counts": prepared.counts,
        "classes": len(prepared.classes),
        "split": bench.split,
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe whole, and what it changes in the named one that it began as."""
    result: dict[str, Any] = {"recipe": config.to_json(recipe)}
    if recipe.name in recipes.names():
        changed = config.difference(recipes.named(recipe.name), recipe)
        result["changes"] = {field: config.to_json(ours) for field, _, ours in changed}
    return result


def _trained(bench: Bench, name: str) -> float:
    """The seconds that a run trained, over all sessions, whenever that was."""
    lines = journal.read(bench.runs / name / "timing.jsonl")
    return sum(float(line["seconds"]) for line in lines)


def _environment(bench: Bench) -> dict[str, Any]:
    """Where its runs were computed, the last of them; without runs, this machine; and by which commits.

    `commit` is that of the measuring code, `run_commits` are those of all sessions that trained.
    """
    files = [bench.runs / name / "environment.json" for name in bench.used]
    every = [read_json(file)["sessions"] for file in files if file.is_file()]
    sessions = [each[-1] for each in every]
    here = environment.describe(bench.machine, devices.choose(bench.machine.devices[0]))
    session = max(sessions, key=lambda s: str(s["started"])) if sessions else here
    commits = {str(session["commit"]) for each in every for session in each}
    where = {name: session[name] for name in ("started", "python", "packages", "device", "device_name")}
    return {"commit": here["commit"], "run_commits": sorted(commits), **where}
