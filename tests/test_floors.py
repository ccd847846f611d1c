"""The house by its syntax trees: imports go downward only, and chapters on one floor never import each other."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "alexnet"
FLOORS = [
    {"config", "randomness", "distributed", "files", "locks", "errors", "devices", "machine", "arrays", "drawing"},
    {"data", "model"},
    {"evaluation"},
    {"training"},
    {"analysis", "features", "baselines", "interchange"},
    {"recipes"},
    {"sweeps"},
    {"experiments"},
    {"commands", "serving", "claims"},
    {"cli"},
]
FLOOR = {chapter: number for number, chapters in enumerate(FLOORS) for chapter in chapters}
# The door and the program above it see the whole house.
DOORS = {"__init__", "__main__"}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def chapter(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> set[str]:
    """The modules a source imports, dotted, also inside functions; `from a import b` counts as a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def violations(own: str, source: str) -> list[str]:
    """The chapters that the chapter `own` may not import and does."""
    used = {name.split(".")[1] for name in imported(source) if name.startswith("alexnet.")} & FLOOR.keys()
    return sorted(other for other in used - {own} if FLOOR[other] > FLOOR[own] or (FLOOR[other] == FLOOR[own] > 0))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward_only(path):
    if chapter(path) in DOORS:
        return
    assert chapter(path) in FLOOR, f"{path} stands on no floor; add its chapter here and to the design"
    assert violations(chapter(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("own", "source", "expected"),
    [
        ("model", "from alexnet.data import views", ["data"]),
        ("data", "def f():\n    import alexnet.model.network", ["model"]),
        ("training", "from alexnet import recipes, files", ["recipes"]),
        ("analysis", "from alexnet.interchange.caffe_blobs import load", ["interchange"]),
        ("commands", "from alexnet import cli", ["cli"]),
        ("evaluation", "from alexnet.data.shards import ClassName\nfrom alexnet.evaluation import metrics", []),
        ("devices", "from alexnet import distributed", []),
        ("config", "from alexnet.model import network", ["model"]),
    ],
)
def test_a_violation_would_be_seen(own, source, expected):
    assert violations(own, source) == expected


def test_floor_0_has_no_circle():
    graph = {
        path.stem: {name.split(".")[1] for name in imported(path.read_text()) if name.startswith("alexnet.")}
        for path in SOURCES
        if chapter(path) in FLOORS[0]
    }
    while graph:
        leaves = {name for name, used in graph.items() if not used & graph.keys()}
        assert leaves, f"a circle of imports in {sorted(graph)}"
        graph = {name: used for name, used in graph.items() if name not in leaves}


def test_no_relative_import_and_at_most_two_levels():
    for path in SOURCES:
        assert len(path.relative_to(PACKAGE).parts) <= 2, f"{path} lies deeper than a chapter"


def test_the_package_declares_what_it_imports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *(r for rs in project["optional-dependencies"].values() for r in rs)]
    declared = {re.match(r"[\w-]+", requirement)[0].lower().replace("-", "_") for requirement in requirements}
    names = {
        "PIL": "pillow",
        "faiss": "faiss_cpu",
        "sklearn": "scikit_learn",
        "skimage": "scikit_image",
        "google": "protobuf",
    }
    used = {name.split(".")[0] for path in SOURCES for name in imported(path.read_text(encoding="utf-8"))}
    used = {names.get(name, name) for name in used} - set(sys.stdlib_module_names) - {"alexnet"}
    assert used <= declared


def test_the_core_imports_no_extra_at_the_top_of_a_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]} | {"PIL", "alexnet"}
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                tops = {name.split(".")[0] for name in imported(ast.unparse(node))}
                assert tops <= core | set(sys.stdlib_module_names), f"{path} needs an extra to be imported"
