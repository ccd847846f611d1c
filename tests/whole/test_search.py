"""docs/search.md: its commands run as they are printed, in order, and leave what it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.features.codes import Codes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("alexnet ")
]
PYTHON = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]


def pictures(folder):
    """Photographs and queries of two classes, and responses to the photographs."""
    rng = np.random.default_rng(0)
    for name, count in (("photographs", 40), ("queries", 6)):
        for number in range(count):
            place = folder / name / ("light" if number % 2 else "dark") / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 100, (48, 64, 3)) + (150 if number % 2 else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(place)
    np.save(folder / "voxels.npy", rng.normal(size=(40, 25)))


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path):
    pictures(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    told = {}
    for command in COMMANDS:
        program = [sys.executable, "-m", *command.split()]
        done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        told[command] = done.stdout
    assert (tmp_path / "compared" / "dissimilarities" / "trained-fc10.npy").is_file()
    assert np.load(tmp_path / "compared" / "brain" / "cka.npy").shape == (3, 3)
    assert (tmp_path / "nearest.png").is_file()
    assert len(Codes.open(tmp_path / "codes")) == 40
    (lines,) = (out.splitlines() for command, out in told.items() if command.endswith("--k 3 --json"))
    assert [len(json.loads(line)["neighbours"]) for line in lines] == [3] * 6
    done = subprocess.run([sys.executable, "-c", PYTHON], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    compared, found, shape, ways = done.stdout.splitlines()
    assert compared.startswith("('trained fc10', 'untrained fc10') ")
    assert found.count("/") == 3
    assert shape == "(40, 4)"
    assert "fc10, 32 random projections" in ways


def test_it_shows_every_command():
    assert {command.split()[1] for command in COMMANDS} == {"embed", "similarity", "neighbours", "codes"}
    assert {*re.findall(r"alexnet\.(\w+)\(", PYTHON)} == {"similarity", "neighbours", "codes", "retrieval"}
