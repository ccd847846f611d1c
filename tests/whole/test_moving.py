"""docs/moving.md: its commands run as they are printed, in order, and its Python too."""

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet import cli, recipes
from alexnet.data.prepare import prepare
from alexnet.data.squaring import Squaring
from alexnet.interchange import torchvision_state
from alexnet.interchange.torchvision_state import TORCHVISION
from alexnet.model.network import Network
from alexnet.training.finished import epochs
from alexnet.training.recipe import Machine
from alexnet.training.train import train

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("alexnet ")
]
ELSEWHERE, FINETUNING = (block.splitlines() for block in re.findall(r"```\n(alexnet import .*?)```", PAGE, re.DOTALL))
PYTHON, SQUARE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def draw(folder):
    """Twelve pictures, half of them dark."""
    rng = np.random.default_rng(0)
    for number in range(12):
        place = folder / ("light" if number % 2 else "dark") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (40, 50, 3)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place)


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path):
    for module in ("onnx", "onnxruntime", "google.protobuf"):
        pytest.importorskip(module)
    draw(tmp_path / "photographs")
    prepare(tmp_path / "photographs", tmp_path / "prepared", holdout=0.25)
    # Small ones stand for the measured run and sets.
    for name, there in {
        "runs/imagenette": "first",
        "sets/imagenette": "../prepared",
        "sets/cells": "../prepared",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(there)
    recipe = recipes.shorter(recipes.named("smoke"), 1)
    train(recipe, tmp_path / "prepared", tmp_path / "runs" / "first", Machine(devices=("cpu",)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for command in COMMANDS:
        words = [sys.executable, "-m", *command.split()]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    weights = (tmp_path / "runs" / "first" / "weights.safetensors").read_bytes()
    for name in ("from-onnx", "from-npz", "from-file"):
        assert (tmp_path / "runs" / name / "weights.safetensors").read_bytes() == weights
    done = subprocess.run([sys.executable, "-c", PYTHON], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() in ("dark", "light"), done.stderr


@pytest.mark.slow
def test_the_commands_of_fine_tuning_run_on_small_stand_ins(tmp_path, monkeypatch):
    """A network of torchvision's, narrow, and two sets of drawn pictures."""
    monkeypatch.chdir(tmp_path)
    small = Network(replace(TORCHVISION, width=1 / 16))
    small.initialise(0)
    torch.save(torchvision_state.state(small), "alexnet-owt-7be5be79.pth")
    draw(tmp_path / "photographs")
    for name in ("ten", "cells"):
        prepare(tmp_path / "photographs", tmp_path / name, holdout=0.25)
    assert len(FINETUNING) == 3
    for command in FINETUNING:
        assert cli.main(command.split()[1:]) == 0, command
    assert len(epochs(tmp_path / "tuned")) == 4
    assert len(epochs(tmp_path / "tuned-cells")) == 10


def test_commands_on_files_from_elsewhere_are_understood(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(ELSEWHERE) == 3
    for command in ELSEWHERE:
        assert cli.main(command.split()[1:]) == 1
        assert f"{command.split()[2]} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("size", [256, 32])
@pytest.mark.parametrize(
    ("width", "height", "kind", "mode", "orientation"),
    [
        (2400, 2051, "JPEG", "RGB", 1),
        (1303, 1025, "JPEG", "RGB", 6),
        (1025, 1500, "JPEG", "L", 1),
        (1023, 700, "JPEG", "RGB", 3),
        (401, 300, "PNG", "RGB", 1),
        (700, 256, "PNG", "L", 1),
        (200, 133, "PNG", "RGB", 1),
        (40, 500, "PNG", "P", 1),
    ],
)
def test_the_pages_square_is_the_packages_to_a_level(size, width, height, kind, mode, orientation):
    rng = np.random.default_rng(width)
    small = Image.fromarray(rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), np.uint8))
    image, file = small.resize((width, height), Image.Resampling.BICUBIC).convert(mode), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(file, kind, exif=exif, **({"quality": 90} if kind == "JPEG" else {}))
    page: dict = {}
    exec(SQUARE, page)
    found, own = page["square"](file, size), Squaring(size).of_file(file.getvalue()).transpose(2, 0, 1)[None]
    assert (found.shape, found.dtype) == (own.shape, own.dtype)
    assert np.abs(found.astype(int) - own).max() <= 1
    plain = np.asarray(image.convert("RGB").resize((size, size))).transpose(2, 0, 1)
    assert np.abs(plain.astype(int) - own).max() > 10, "it matters"
