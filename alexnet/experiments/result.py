"""The file that an experiment leaves: what was claimed, computed and measured, and what the rule said of it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alexnet import config, devices, drawing, recipes
from alexnet.errors import InputError, counted
from alexnet.experiments.bench import Bench
from alexnet.experiments.experiment import Experiment, Measured, Verdict
from alexnet.files import read_json, write_json
from alexnet.training import environment, journal
from alexnet.training.parts import NotFinite
from alexnet.training.recipe import Recipe
from alexnet.training.schedule import Plateau

_SMALLER, _ON = "-smaller-", "-on-"


def write(folder: Path, experiment: Experiment, bench: Bench, measured: Measured, seconds: float) -> dict[str, Any]:
    """The result, which now lies in `folder`/NAME.json, or NAME-on-SET.json where that is of another set, with figures.

    A fuller result there is not replaced: one with more seeds, epochs, width, rates, training images or other sets
    beside its own. Then this one lies beside it in NAME-smaller-SCALE.json. `bench.say` is told of either. The rule
    judges the numbers as they stand in the file, so that anyone can judge the file again.

    Args:
        seconds: what measuring took, this time: less where runs were kept.
    """
    numbers = json.loads(json.dumps(dict(measured.numbers), sort_keys=True))
    verdict = _verdict(experiment, numbers)
    own = {"budget": config.to_json(vars(bench.budget)), "data": _data(experiment, bench)}
    stem = _stem(folder, experiment.name, {**own, "numbers": numbers}, bench.say)
    names = [f"{stem}-{name}.png" for name in measured.figures]
    for name, figure in zip(names, measured.figures.values(), strict=True):
        drawing.save(figure, folder / name)
    result = {
        "experiment": experiment.name,
        "file": f"{stem}.json",
        "section": experiment.section,
        "claim": experiment.claim,
        "paper": experiment.paper,
        "ours": measured.ours,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "rule": experiment.rule,
        "numbers": numbers,
        "tables": dict(measured.tables),
        # Objects of a JSON file are sorted.
        "columns": [[title, list(rows[0]) if rows else []] for title, rows in measured.tables.items()],
        "figures": names,
        "shows_photographs": experiment.shows_photographs,
        "remarks": [*measured.remarks, *_chosen(bench)],
        **own,
        "recipes": {name: _recipe(recipe) for name, recipe in bench.used.items()},
        "seconds": round(seconds, 1),
        "training_seconds": round(sum(_trained(bench, name) for name in bench.used), 1),
        "fitting_seconds": round(sum(map(_fitted, bench.rivals)), 1),
        **_environment(bench),
    }
    write_json(folder / f"{stem}.json", result)
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


def smaller(folder: Path, name: str) -> list[dict[str, Any]]:
    """The results of the experiment `name` that lie beside a fuller one, by their files' names."""
    files = [*folder.glob(f"{name}{_SMALLER}*.json"), *folder.glob(f"{name}{_ON}*{_SMALLER}*.json")]
    return [read_json(file) for file in sorted(files)]


def on_other_sets(folder: Path, name: str) -> list[dict[str, Any]]:
    """The fullest results of the experiment `name` on other sets than that of NAME.json, by their files' names."""
    return [read_json(file) for file in sorted(folder.glob(f"{name}{_ON}*.json")) if _SMALLER not in file.name]


def judged(experiment: Experiment, found: Mapping[str, Any]) -> dict[str, Any]:
    """`found`, what a result file holds, as today's rule judges its numbers; a remark tells of another verdict.

    Where the numbers lack what today's rule asks for, the verdict of its day stays.
    """
    try:
        today = _verdict(experiment, found["numbers"])
    except (LookupError, TypeError):
        note = "Judged by the rule of its day, given here: today's asks for numbers that were not kept."
        return {**found, "remarks": [*found["remarks"], note]}
    now = {"verdict": today.verdict, "reason": today.reason, "rule": experiment.rule}
    if (today.verdict, experiment.rule) == (found["verdict"], found["rule"]):
        return {**found, **now}
    says = "the same" if today.verdict == found["verdict"] else today.verdict
    note = f"Judged {found['verdict']} by the rule of its day; today's, given here, says {says}."
    return {**found, **now, "remarks": [*found["remarks"], note]}


def broken(error: NotFinite) -> Measured:
    """What is found where a network ceased to be finite: nothing to compare."""
    why = f"a network broke in training, so nothing was compared: {error}"
    return Measured({"broken": why}, "a network broke in training")


def scale(result: Mapping[str, Any]) -> str:
    """How much was computed, in words: "3 seeds, 0.075 of the epochs, 0.125 of the width"."""
    budget = result["budget"]
    shares = [f"{budget[part]:g} of the {part}" for part in ("epochs", "width") if budget[part] != 1]
    rates = [f"the best of {len(budget['rates'])} learning rates"] if budget.get("rates") else []
    return ", ".join([counted(budget["seeds"], "seed", "seeds"), *shares, *rates])


def _verdict(experiment: Experiment, numbers: Mapping[str, Any]) -> Verdict:
    if "broken" in numbers:
        return Verdict("not testable here", numbers["broken"])
    return experiment.judge(numbers)


def _chosen(bench: Bench) -> list[str]:
    """The remark of what was chosen on the images that errors are of."""
    chosen = ["learning rates were chosen"] if bench.tuned else []
    if any(isinstance(recipe.schedule, Plateau) for recipe in bench.used.values()):
        chosen.append("drops of the rate were timed")
    if not chosen or bench.split != "val":
        return []
    told = f"{' and '.join(chosen)} on the validation images, which errors are of too: elsewhere they may be higher."
    return [told[0].upper() + told[1:]]


def _stem(folder: Path, name: str, own: Mapping[str, Any], say: Callable[[str], object]) -> str:
    """The name of the result's file without suffix: the experiment's, or a longer one beside what is there."""
    there = _there(folder, name)
    if there is None or own["data"] is None:
        return name
    stem = name
    if (theirs := there["data"]["name"]) != own["data"]["name"]:
        stem = f"{name}{_ON}{own['data']['name']}"
        say(f"{folder / name}.json is of {theirs} and stays; of {own['data']['name']} it is {stem}.json.")
        if (there := _there(folder, stem)) is None:
            return stem
    pairs = zip(_extent(own).items(), _extent(there).values(), strict=True)
    less = [f"{ours:g} instead of {theirs:g} {what}" for (what, ours), theirs in pairs if ours < theirs]
    if not less:
        return stem
    words = scale(own).replace(", ", "-").replace(" of the ", "-").replace(" ", "-")
    beside = f"{stem}{_SMALLER}{words}"
    say(f"{folder / stem}.json is fuller and stays ({', '.join(less)} here); this result is in {beside}.json.")
    return beside


def _there(folder: Path, stem: str) -> dict[str, Any] | None:
    """The result in a file, or None where there is none or something else."""
    path = folder / f"{stem}.json"
    try:
        found = read_json(path) if path.is_file() else None
    except InputError:
        return None
    return found if isinstance(found, dict) and "experiment" in found else None


def _extent(result: Mapping[str, Any]) -> dict[str, float]:
    """What makes a result fuller than another."""
    budget, data = result["budget"], result["data"]
    return {
        "seed(s)": budget["seeds"],
        "of the epochs": budget["epochs"],
        "of the width": budget["width"],
        "rate(s)": len(budget.get("rates", ())),
        "training images": data["counts"].get("train", 0),
        "other set(s)": len(data.get("elsewhere", ())),
        "whole result(s)": "broken" not in result["numbers"],
    }


def _data(experiment: Experiment, bench: Bench) -> dict[str, Any] | None:
    if experiment.needs == "nothing":
        return None
    prepared = bench.prepared
    return {
        "name": prepared.path.absolute().name,
        "fingerprint": prepared.fingerprint,
        "note": prepared.note,
        "counts": prepared.counts,
        "classes": len(prepared.classes),
        "split": bench.split,
        "elsewhere": sorted(bench.elsewhere),
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


def _fitted(rival: Path) -> float:
    """The seconds that fitting a rival took, over all sessions; nothing where its folder was deleted."""
    file = rival / "timing.json"
    return sum(float(stage["seconds"]) for stage in read_json(file).values()) if file.is_file() else 0.0


def _environment(bench: Bench) -> dict[str, Any]:
    """Where its runs were computed, the last of them; without runs, this machine; and by which commits.

    `commit` is that of the code which judged, `run_commits` are those of all sessions that trained, `kept_commits`
    those of the code that measured what was kept.
    """
    files = [bench.runs / name / "environment.json" for name in bench.used]
    every = [read_json(file)["sessions"] for file in files if file.is_file()]
    sessions = [each[-1] for each in every]
    here = environment.describe(bench.machine, devices.choose(bench.machine.devices[0]))
    session = max(sessions, key=lambda s: str(s["started"])) if sessions else here
    commits = {str(session["commit"]) for each in every for session in each}
    names = {str(each["device_name"]) for run in every for each in run if "device_name" in each}
    where = {name: session[name] for name in ("started", "python", "packages", "device", "device_name")}
    return {
        "commit": here["commit"],
        "run_commits": sorted(commits),
        "kept_commits": sorted(bench.measured_by),
        "device_names": sorted(names or {str(session["device_name"])}),
        **where,
    }
