"""README: its commands run as they are printed, in order, on a few pictures; its tree names what there is."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("alexnet ")
]


def pictures(folder):
    rng = np.random.default_rng(0)
    for number in range(100):  # on fewer smoke answers the same to all, which calibrate refuses
        name = "dark" if number % 2 == 0 else "light"
        wrong = number % 5 == 4  # some labels are, so that there are errors to calibrate by
        pixels = rng.integers(0, 100, (48, 64, 3)) + (150 if (name == "light") != wrong else 0)
        place = folder / name / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_commands_run_in_order(tmp_path):
    pictures(tmp_path / "photographs")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "alexnet"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m alexnet "$@"\n')
    script.chmod(0o755)
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for command in COMMANDS:
        if command.startswith("alexnet serve"):
            serve(command.replace("8321", "0"), tmp_path, environment)
            continue
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
    assert (tmp_path / "runs" / "third" / "weights.safetensors").is_file()


def serve(command, folder, environment):
    """Serves until it says that it is ready, then ends by Ctrl-C, as the page tells people to."""
    if importlib.util.find_spec("fastapi") is None:
        return
    with subprocess.Popen(
        ["sh", "-c", f"exec {command}"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline().startswith("alexnet serves ")
        server.send_signal(signal.SIGINT)
        assert server.wait(60) in (0, 130)


def test_it_shows_every_command():
    from alexnet.cli import COMMANDS as NAMES

    assert {command.split()[1] for command in COMMANDS} == set(NAMES)


def test_its_tree_names_only_what_there_is():
    tree = README.split("```\nalexnet/", 1)[1].split("```")[0]
    files = {path.name for path in ROOT.rglob("*") if ".venv" not in path.parts and path.suffix in (".py", ".md")}
    missing = set(re.findall(r"[\w-]+\.(?:py|md)\b", tree)) - files
    assert missing == set()


def test_the_targets_it_names_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make (demo|test|check|bench|gpu|clean)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
