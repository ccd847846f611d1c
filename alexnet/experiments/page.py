"""The part of a page of results that is written from result files."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet import config
from alexnet.errors import InputError, counted
from alexnet.experiments.result import scale
from alexnet.files import write_bytes

BEGIN, END = "<!-- experiments: begin, written by `alexnet reproduce --write` -->", "<!-- experiments: end -->"


def write(page: Path, results: Sequence[dict[str, Any]], figures: Path, waiting: Sequence[str] = ()) -> None:
    """Nothing; what lies between the two marks of the Markdown file `page` tells of `results`.

    Args:
        figures: the folder of their figures, which are linked from `page`.
        waiting: the names of the experiments without a result.

    Raises:
        InputError: the page or its marks are missing.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{page} lacks the lines {BEGIN!r} and {END!r}, between which results are written.")
    link = Path(os.path.relpath(figures, page.parent))
    parts = "\n\n".join([*_overview(results, waiting), *(_section(result, figures, link) for result in results)])
    write_bytes(page, f"{before}{BEGIN}\n\n{parts}\n\n{END}{after}".encode())


def _overview(results: Sequence[dict[str, Any]], waiting: Sequence[str]) -> list[str]:
    rows = [
        {
            "claim": f"[{result['claim']}](#{_title(result).replace(' ', '-').lower()})",
            "section": result["section"],
            "paper": result["paper"],
            "ours": result["ours"],
            "verdict": result["verdict"],
            "data and budget": _of(result),
        }
        for result in results
    ]
    first = [result for result in results if _title(result) == result["experiment"]]
    counts = Counter(result["verdict"] for result in first)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    parts = [f"{counted(len(first), 'claim')}: {told}." if first else "No claim has been measured."]
    others = len(results) - len(first)
    parts += [f"On other sets: {counted(others, 'result')} more, not counted here."] if others else []
    parts += [f"Not run yet: {', '.join(waiting)}."] if waiting else []
    parts += ["A budget's shares are of the recipes' epochs and of their kernels and units."] if results else []
    return [" ".join(parts), *([_table(list(rows[0]), rows)] if rows else [])]


def _title(result: dict[str, Any]) -> str:
    """The experiment's name, and the set's where another set has the name alone."""
    name: str = result["experiment"]
    return name if result.get("file", f"{name}.json") == f"{name}.json" else f"{name} on {result['data']['name']}"


def _of(result: dict[str, Any]) -> str:
    """The data and the budget in a few words."""
    if not result["data"]:
        return "nothing is trained"
    return f"{result['data']['name']}; {result['budget']['name']}: {scale(result)}"


def _section(result: dict[str, Any], figures: Path, linked: Path) -> str:
    """What one experiment claimed and found; below a click what it used, for which a page of all has no room."""
    said = [
        f"The paper: {result['paper']}.",
        f"Ours: {result['ours']}.",
        f"**{result['verdict'].capitalize()}**: {result['reason']}",
        f"The rule: {result['rule']}",
        f"The command: {_command(result)}",
    ]
    parts = [f"### {_title(result)}", f"Section {result['section']}. {result['claim']}", _list(said)]
    parts += _figures(result, figures, linked)
    folded = []
    for title, columns in result.get("columns") or _columns(result["tables"]):
        folded += [f"{title}:", _table(columns, result["tables"][title])]
    folded += _recipes(result["recipes"])
    folded += ["Remarks:", _list(result["remarks"])] if result["remarks"] else []
    folded += _circumstances(result)
    shown = "Tables, recipes, data, machine" if result["data"] else "Tables, machine"
    return "\n\n".join([*parts, f"<details><summary>{shown}</summary>", *folded, "</details>"])


def _command(result: dict[str, Any]) -> str:
    """The command that computes as much again, on whatever machine."""
    words, budget = ["alexnet reproduce", result["experiment"]], result["budget"]
    if not (data := result["data"]):
        return f"`{' '.join(words)}`"
    words += ["--data", data["name"], *(f"--pretrain-data {name}" for name in data.get("elsewhere") or ())]
    words += [f"--{part} {budget[part]:g}" for part in ("seeds", "epochs", "width")]
    words += ["--rates", *(f"{rate:g}" for rate in budget["rates"])] if budget.get("rates") else []
    return f"`{' '.join(words)}`"


def _figures(result: dict[str, Any], figures: Path, linked: Path) -> list[str]:
    """The figures, or a sentence for those that are not there or that show photographs."""
    if result.get("shows_photographs") and result["figures"]:
        names = ", ".join(result["figures"])
        return [f"Its figures ({names}) show photographs that are not ours to publish; the command draws them."]
    return [
        f"![{Path(name).stem}]({(linked / name).as_posix()})"
        if (figures / name).is_file()
        else f"The figure {name} is not kept here; the command draws it."
        for name in result["figures"]
    ]


def _circumstances(result: dict[str, Any]) -> list[str]:
    """On what it was measured, how much of it, for how long, where and by which commits."""
    told = []
    if data := result["data"]:
        counts = ", ".join(f"{count:,} {split}" for split, count in data["counts"].items())
        told.append(f"Data: {data['name']} ({counts}; {data['classes']} classes; errors on {data['split']}).")
        told += [data["note"]] if data.get("note") else []
        if data.get("elsewhere"):
            told.append(f"Also trained on: {', '.join(data['elsewhere'])}.")
        told.append(f"Budget {result['budget']['name']}: {scale(result)}.")
    trained = result.get("training_seconds", 0)
    spent = f"{_time(trained)} of training" if trained else f"{_time(result['seconds'])}"
    spent += f" and {_time(fitted)} of fitting rivals" if (fitted := result.get("fitting_seconds", 0)) else ""
    where = ", ".join(result.get("device_names") or [result["device_name"]])
    told.append(f"{spent} on {where} ({result['device']}); {_commits(result)}.")
    return [" ".join(told)]


def _time(seconds: float) -> str:
    if seconds < 100:
        return counted(max(1, round(seconds)), "second")
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def _commits(result: dict[str, Any]) -> str:
    """The commit that judged, and those that trained or measured where they are others; changes to any are told of."""
    parts = [f"commit {_short(result['commit'])}"]
    for did, key in (("trained", "run_commits"), ("measured", "kept_commits")):
        others = [_short(commit) for commit in result.get(key, []) if commit != result["commit"]]
        parts += [f"{did} by {', '.join(others)}"] if others else []
    return ", ".join(parts)


def _short(commit: str) -> str:
    base, changes, _ = commit.partition("+changes")
    return base[:12] + changes


def _recipes(used: dict[str, Any]) -> list[str]:
    """What was trained: the recipe that the others are nearest to, then the others by what they change in it."""
    if not used:
        return []

    def apart(entry: dict[str, Any]) -> tuple[float, float]:
        others = sum(len(_against(entry["recipe"], other["recipe"])) for other in used.values())
        return others, len(entry["changes"]) if "changes" in entry else math.inf

    entries = sorted(used.values(), key=apart)
    first = entries[0]["recipe"]
    own = {name: value for name, value in entries[0].get("changes", {}).items() if not _unsaid(name)}
    told: Counter[str] = Counter()
    for entry in entries:
        changes = _against(first, entry["recipe"])
        words = f" with, against the first, {_changes(changes)}" if changes else f" with {_changes(own)}" if own else ""
        told[f"`{entry['recipe']['name']}`{words}"] += 1
    return ["Trained:", _list([f"{words} ({counted(count, 'run')})" for words, count in told.items()])]


def _against(first: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """What `recipe` changes in `first`, by field."""
    return {name: ours for name, _, ours in config.difference(first, recipe) if not _unsaid(name)}


def _unsaid(field: str) -> bool:
    """Whether a change says nothing beside the recipe's name and the number of its runs."""
    return field == "name" or field.startswith("seeds.") or field.endswith(".class")


def _changes(changes: dict[str, Any]) -> str:
    return ", ".join(f"`{name}` {_cell(value) or 'none'}" for name, value in changes.items())


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _columns(tables: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The columns of an older result, which does not tell their order: words, then counts, then shares."""
    kinds = {title: rows[0] if rows else {} for title, rows in tables.items()}
    order = (str, int)
    return [
        (title, sorted(row, key=lambda name: order.index(type(row[name])) if type(row[name]) in order else len(order)))
        for title, row in kinds.items()
    ]


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """A value as words: of a section of a recipe what it sets."""
    if isinstance(value, dict):
        return " ".join(f"{name} {_cell(each)}" for name, each in value.items() if name != "class" and each is not None)
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return "; ".join(map(_cell, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|")
