"""docs/for-*.md: their commands run as they are printed, in order, on drawn pictures; links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet import cli
from alexnet.features.folder import Features

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / f"for-{who}.md" for who in ("lecturers", "vision-scientists", "engineers")]


def steps(page):
    """What a reader runs, in order: commands, and whole programs of Python."""
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        lines = [line.split("#")[0].strip() for line in block.splitlines() if line.strip()]
        yield from ((language, line) for line in lines) if language == "sh" else [(language, block)]


def stimuli(folder):
    """Photographs in two classes, some of them in the wrong one, and responses measured to them."""
    random = np.random.default_rng(0)
    for number in range(100):
        light = number % 2
        place = folder / "photographs" / ("light" if light ^ (number % 10 in (4, 5)) else "dark") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 110, (40, 50, 3)) + 140 * light
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    np.save(folder / "responses.npy", random.normal(size=(100, 20)).astype(np.float32))


def run(language, step, folder):
    if language == "python":
        exec(step, {})
        return 0
    words = shlex.split(step)
    if words[0] == "alexnet":
        return cli.main(words[1:])
    assert words[0] == "python"
    return subprocess.run([sys.executable, ROOT / words[1], *words[2:]], cwd=folder).returncode


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_run_in_order(page, tmp_path, monkeypatch, capsys):
    if page.stem == "for-engineers":
        pytest.importorskip("onnx", reason="the extra onnx writes the export")
    monkeypatch.chdir(tmp_path)
    stimuli(tmp_path)
    made = set()
    for language, step in steps(page):
        assert run(language, step, tmp_path) == 0, f"{step}\n{capsys.readouterr().err}"
        for name in re.findall(r"(?:--out|--figure|--run) (\S+)", step):
            assert (tmp_path / name).exists(), step
            made.add(name)
    assert made
    if page.stem == "for-vision-scientists":
        features = Features.open(tmp_path / "features" / "photographs")
        assert features.stage("conv1").shape == (100, 64, 24, 24)
        assert Features.open(tmp_path / "features" / "gratings").stage("relu1").shape[0] == 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_their_links_lead_somewhere(page):
    targets = re.findall(r"\]\(((?!http)[^)#]+)", page.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (page.parent / target).exists(), target
