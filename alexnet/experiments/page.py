"""The part of a page of results that is written from result files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet import config
from alexnet.errors import InputError
from alexnet.files import write_bytes

BEGIN, END = "<!-- experiments: begin, written by `alexnet reproduce --write` -->", "<!-- experiments: end -->"


def write(page: Path, results: Sequence[dict[str, Any]], figures: Path) -> None:
    """Nothing; what lies between the two marks of the Markdown file `page` tells of `results`.

    Args:
        figures: the folder of their figures, which are linked from `page`.

    Raises:
        InputError: the page or its marks are missing.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{page} lacks the lines {BEGIN!r} and {END!r}, between which results are written.")
    link = Path(os.path.relpath(figures, page.parent))
    parts = "\n\n".join([_overview(results), *(_section(result, link) for result in results)])
    write_bytes(page, f"{before}{BEGIN}\n\n{parts}\n\n{END}{after}".encode())


def _overview(results: Sequence[dict[str, Any]]) -> str:
    rows = [
        {
            "section": result["section"],
            "claim": f"[{result['claim']}](#{result['experiment']})",
            "paper": result["paper"],
            "ours": result["ours"],
            "verdict": result["verdict"],
        }
        for result in results
    ]
    return _table(rows)


def _section(result: dict[str, Any], figures: Path) -> str:
    """What one experiment claimed, found and used."""
    data, budget = result["data"], result["budget"]
    parts = [
        f"### {result['experiment']}",
        f"Section {result['section']}: {result['claim']} The paper: {result['paper']}. Ours: {result['ours']}.",
        f"**{result['verdict'].capitalize()}.** {result['reason']}",
        f"The rule, fixed beforehand: {result['rule']}",
    ]
    for title, rows in result["tables"].items():
        parts += [f"{title}:", _table(rows)]
    parts += [f"![{result['claim']}]({(figures / name).as_posix()})" for name in result["figures"]]
    parts += _recipes(result["recipes"])
    if data:
        counts = ", ".join(f"{count:,} {split}" for split, count in data["counts"].items())
        scale = f"{budget['epochs']:g} of the epochs, {budget['width']:g} of the width, {budget['seeds']} seed(s)"
        parts.append(f"Data: {data['name']} ({counts}; {data['classes']} classes; errors on {data['split']}).")
        parts.append(f"Budget {budget['name']}: {scale}.")
    parts += list(result["remarks"])
    where = f"{result['device_name']} ({result['device']}); {_commits(result)}."
    trained = result.get("training_seconds", 0)
    spent = f"{trained / 60:.0f} minutes of training" if trained else f"{result['seconds'] / 60:.1f} minutes"
    parts.append(f"{spent} on {where}")
    return "\n\n".join(parts)


def _commits(result: dict[str, Any]) -> str:
    """The commit that measured, and those that trained where they are others; changes to either are told of."""
    trained = [commit for commit in result.get("run_commits", []) if commit != result["commit"]]
    runs = f", trained by {', '.join(_short(commit) for commit in trained)}" if trained else ""
    return f"commit {_short(result['commit'])}{runs}"


def _short(commit: str) -> str:
    base, changes, _ = commit.partition("+changes")
    return base[:12] + changes


def _recipes(used: dict[str, Any]) -> list[str]:
    """What was trained: the first recipe by what it changes in the named one, the others by what they change in it."""
    told: dict[str, int] = {}
    first: dict[str, Any] = {}
    for entry in used.values():
        recipe = {name: part for name, part in entry["recipe"].items() if name != "seeds"}
        if not first:
            first = recipe
            changes = {name: value for name, value in entry.get("changes", {}).items() if name[:5] != "seeds"}
            words = f"`{recipe['name']}`" + (f" with {_changes(changes)}" if changes else "")
        else:
            changes = {name: ours for name, _, ours in config.difference(first, recipe)}
            words = f"`{recipe['name']}` with, against the first, {_changes(changes)}" if changes else next(iter(told))
        told[words] = told.get(words, 0) + 1
    if not told:
        return []
    lines = (f"- {words} ({count} run{'s' * (count > 1)})" for words, count in told.items())
    return ["Trained:", "\n".join(lines)]


def _changes(changes: dict[str, Any]) -> str:
    return ", ".join(f"`{name}` {_cell(value)}" for name, value in changes.items())


def _table(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([_cell(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|")
