"""A file fits in a sitting, a function on a screen."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES, FUNCTION_LINES = 300, 40
PROGRAMS = [path for folder in ("alexnet", "benchmarks", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]


def long_functions(source: str) -> list[str]:
    """ "name (lines)" of each function longer than a screen."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    return [f"{name} ({lines})" for name, lines in lengths.items() if lines > FUNCTION_LINES]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= FILE_LINES
    assert long_functions(source) == []


def test_a_long_function_would_be_seen():
    body = "\n".join("    pass" for _ in range(FUNCTION_LINES))
    assert long_functions(f"def f():\n{body}") == ["f (41)"]
    assert long_functions("def f():\n    pass") == []
