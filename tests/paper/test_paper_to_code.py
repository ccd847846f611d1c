"""docs/paper-to-code.md: all that it names exists, and no statement goes unheld in silence."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "paper-to-code.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \d", line)]
REFERENCE = re.compile(r"`([\w/-]+\.py)(?:::([\w.]+))?`")


@cache
def names(path):
    """Everything a file defines, dotted: functions, classes, their methods and fields, and constants."""
    found = set()

    def gather(body, prefix):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                gather(node.body, f"{prefix}{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    gather(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def exists(file, name):
    path = ROOT / file
    return path.is_file() and (not name or name in names(path))


@pytest.mark.parametrize(("file", "name"), sorted(set(REFERENCE.findall(PAGE))))
def test_what_the_page_names_exists(file, name):
    assert exists(file, name)


def test_a_name_that_is_gone_would_be_seen():
    assert not exists("alexnet/model/rows.py", "Pooling")
    assert not exists("alexnet/model/row.py", "")
    assert exists("alexnet/model/rows.py", "Pool.kind")


def test_each_statement_has_code_and_a_test_or_is_said_not_to_be_built():
    assert len(ROWS) > 40
    for section, statement, code, held in ROWS:
        assert statement, section
        if "not yet built" in (code, held):
            continue
        assert REFERENCE.search(code), f"section {section}: {statement} names no code"
        assert any(file.startswith("tests/") for file, _ in REFERENCE.findall(held)), f"{section}: {statement}"


def test_sections_are_in_order_and_whole():
    sections = [row[0] for row in ROWS]
    assert sections == sorted(sections)
    assert {"2", "3", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "4.1", "4.2", "5", "6", "6.1", "7"} <= set(sections)


def test_every_test_of_the_papers_facts_is_on_the_page():
    """The facts of tests/paper, so that the page grows with them."""
    pages = {"test_paper_to_code.py", "test_text_and_code.py", "test_misreadings.py"}
    facts = [path for path in sorted((ROOT / "tests" / "paper").glob("test_*.py")) if path.name not in pages]
    for path in facts:
        assert f"tests/paper/{path.name}" in PAGE, f"{path.name} is not on the page"
