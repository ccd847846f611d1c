"""docs/looking.md: its commands run as they are printed, in order, and its Python; its pictures are small."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alexnet
from alexnet import cli, recipes
from alexnet.training.recipe import Machine
from alexnet.training.train import train

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "looking.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photographs/, prepared/ and runs/first as the page has them."""
    root = tmp_path_factory.mktemp("looking")
    rng = np.random.default_rng(0)
    for number in range(30):
        name = "dark" if number % 2 == 0 else "light"
        # A third lies in the wrong folder, so that there are errors to show.
        pixels = rng.integers(0, 100, (48, 64, 3)) + (150 if (name == "light") == (number % 3 != 0) else 0)
        (root / "photographs" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(root / "photographs" / name / f"{number}.png")
    alexnet.prepare(root / "photographs", root / "prepared", holdout=0.2, test=0.2)
    recipe = recipes.shorter(recipes.named("smoke"), 1)
    train(recipe, root / "prepared", root / "runs" / "first", Machine(devices=("cpu",)))
    shutil.copytree(ROOT / "examples", root / "examples")
    return root


@pytest.mark.slow
def test_the_commands_and_the_python_run_in_order(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for command in COMMANDS:
        program, *words = shlex.split(command)
        if program == "python":
            subprocess.run([sys.executable, *words], check=True)
            continue
        assert cli.main(words) == 0, f"{command}\n{capsys.readouterr().err}"
        out = capsys.readouterr().out
        if words[0] == "show":
            assert Path(out.strip()).is_file()
    (python,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace = {}
    exec(python, namespace)
    assert namespace["slopes"].shape == namespace["cams"].shape == (1, 32, 32)
    assert namespace["best"].label == "ship"


def test_the_page_shows_every_kind_and_only_small_pictures():
    from alexnet.analysis.show import USES

    assert {command.split()[3] for command in COMMANDS if command.startswith("alexnet show")} == set(USES)
    pictures = re.findall(r"\]\((figures/[^)]+)\)", PAGE)
    assert len(pictures) == 4
    for picture in pictures:
        assert (ROOT / "docs" / picture).stat().st_size < 250_000
