"""docs/deciding.md: its commands run as they are printed, in order; its table is the one that calibrate prints."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deciding.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("alexnet ")
]


def pictures(folder):
    """Light and dark ones, a fifth in the wrong folder: what is always right cannot be calibrated."""
    random = np.random.default_rng(0)
    for number in range(100):
        light = number % 2
        place = folder / ("light" if light ^ (number % 10 in (4, 5)) else "dark") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 110, (40, 50, 3)) + 140 * light
        Image.fromarray(pixels.astype(np.uint8)).save(place)


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "photographs")
    # The measured runs stand for themselves here: another run and another set under their names.
    (tmp_path / "sets").mkdir()
    (tmp_path / "runs").mkdir()
    for name in ("cifar", "imagenette"):
        (tmp_path / "runs" / name).symlink_to("sixty")
        (tmp_path / "sets" / name).symlink_to("../prepared")
    (tmp_path / "samples").symlink_to("photographs/dark")
    told = {}
    for command in COMMANDS:
        assert cli.main(shlex.split(command)[1:]) == 0, f"{command}\n{capsys.readouterr().err}"
        told[command] = capsys.readouterr().out
    assert (tmp_path / "runs" / "sixty" / "reliability.png").is_file()
    assert (tmp_path / "runs" / "sixty" / "evaluation-test-centre" / "errors.html").is_file()
    printed = next(out for command, out in told.items() if command.startswith("alexnet calibrate"))
    words = re.search(r"```\n(temperature .*?)```", PAGE, re.DOTALL)[1]
    assert re.sub(r"[\d.,]+", "0", words).split()[:4] == re.sub(r"[\d.,]+", "0", printed).split()[:4]
    for name in ("calibration error", "by chance alone", "loss", "top-1 error", "answered   images  abstain below"):
        assert name in words
        assert name in printed


def test_it_shows_calibrate_predict_and_evaluate():
    assert {"calibrate", "predict", "evaluate"} <= {command.split()[1] for command in COMMANDS}
