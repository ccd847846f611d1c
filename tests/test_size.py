"""A file fits in a sitting, a function on a screen."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES, FUNCTION_LINES = 300, 40
PROGRAMS = [path for folder in ("alexnet", "benchmarks", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines a function has, docstrings (those of functions inside it too) not counted."""
    inside = [part for part in ast.walk(node) if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
    documented = [part.body[0] for part in inside if ast.get_docstring(part) is not None]
    return node.end_lineno - node.lineno + 1 - sum(part.end_lineno - part.lineno + 1 for part in documented)


def long_functions(source: str) -> list[str]:
    """ "name (lines)" of each function longer than a screen."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f"{node.name} ({lines(node)})" for node in functions if lines(node) > FUNCTION_LINES]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= FILE_LINES
    assert long_functions(source) == []


def test_a_long_function_would_be_seen():
    body = "\n".join("    pass" for _ in range(FUNCTION_LINES))
    assert long_functions(f"def f():\n{body}") == ["f (41)"]
    assert long_functions(f'def f():\n    """\n{body}"""\n    pass') == []
