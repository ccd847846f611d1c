"""docs/features.md: its commands run as they are printed, in order, and its Python says what is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.features.folder import Features

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("alexnet ")
]


def stimuli(folder):
    """Photographs of two kinds, and gratings of the size that the shipped network sees."""
    rng = np.random.default_rng(0)
    for number in range(40):
        place = folder / "photographs" / ("dark" if number % 2 else "light") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (48, 64, 3)) + (0 if number % 2 else 150)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    waves = np.sin(np.arange(24) / np.array([1, 2, 3])[:, None]) * 100 + 120
    gratings = np.broadcast_to(waves.astype(np.uint8)[:, None, :, None], (3, 24, 24, 3))
    np.save(folder / "gratings.npy", gratings)


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path):
    stimuli(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for command in COMMANDS:
        program = [sys.executable, "-m", *command.split()]
        done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    features = {path.name: Features.open(path) for path in (tmp_path / "features").iterdir()}
    assert features["stages"].stage("conv1").shape == (40, 64, 24, 24)
    assert features["stages"].vectors("fc10").shape == (40, 10)
    assert len(features["gratings"]) == 3
    # Five networks, so five answers.
    names = ("run-untrained", "run-epoch0", "run-epoch1", "run-trained", "run-lesioned")
    rows = {name: features[name].vectors() for name in names}
    assert len({values.tobytes() for values in rows.values()}) == 5
    half = rows["run-lesioned"].shape[1] // 2
    assert rows["run-lesioned"][:, half:].max() == 0 < rows["run-lesioned"][:, :half].max()
