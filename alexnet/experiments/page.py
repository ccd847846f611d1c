"""The part of a page of results that is written from result files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    parts += [f"![{result['claim']}]({figures / name})" for name in result["figures"]]
    if data:
        counts = ", ".join(f"{count:,} {split}" for split, count in data["counts"].items())
        scale = f"{budget['epochs']:g} of the epochs, {budget['width']:g} of the width, {budget['seeds']} seed(s)"
        parts.append(f"Data: {data['name']} ({counts}; {data['classes']} classes; errors on {data['split']}).")
        parts.append(f"Budget {budget['name']}: {scale}.")
    parts += list(result["remarks"])
    minutes = result["seconds"] / 60
    parts.append(
        f"{minutes:.1f} minutes on {result['device_name']} ({result['device']}); commit {result['commit'][:12]}."
    )
    return "\n\n".join(parts)


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
