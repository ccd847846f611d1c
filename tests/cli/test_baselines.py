"""baseline fit and baseline evaluate."""

import json

import numpy as np
import pytest
from PIL import Image

from alexnet import cli
from alexnet.baselines import pipelines
from alexnet.baselines.linear import Descent
from alexnet.baselines.local_descriptors import Grid
from alexnet.data.prepare import prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("baselines")
    rng = np.random.default_rng(0)
    for number in range(24):
        folder = root / "pictures" / ("fine" if number % 2 else "coarse")
        folder.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (60, 60, 3) if number % 2 else (6, 6, 3), np.uint8))
        small.resize((90, 90)).save(folder / f"{number}.png")
    prepare(root / "pictures", root / "prepared", holdout=0.25)
    return root / "prepared"


@pytest.fixture
def small(monkeypatch):
    """The pipelines, small enough to be tried."""
    for package in ("kornia", "skimage", "sklearn"):
        pytest.importorskip(package)
    grid = Grid(cell=8, stride=16, scales=(0.5,))
    one = pipelines.FisherVectors(grid=grid, sample=900, dimensions=4, components=3, descent=Descent(epochs=2))
    other = pipelines.SparseCoding(grid=grid, sample=900, words=8, descent=Descent(epochs=2))
    monkeypatch.setattr(pipelines, "named", lambda name: one if name == "fisher-vectors" else other)


@pytest.mark.parametrize("name", ["fisher-vectors", "sparse-coding"])
def test_fit_then_evaluate(small, prepared, tmp_path, capsys, name):
    out = str(tmp_path / "out")
    assert cli.main(["baseline", "fit", name, "--data", str(prepared), "--out", out, "--per-class", "8"]) == 0
    assert capsys.readouterr().out.strip() == out
    assert json.loads((tmp_path / "out" / "baseline.json").read_text())["images"] == 16
    written = str(tmp_path / "written")
    assert cli.main(["baseline", "evaluate", out, "--data", str(prepared), "--out", written, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    promised = {"top1_error", "top1_standard_error", "top5_error", "loss", "images", "views", "models", "split", "data"}
    assert (
        promised | {"always_one_error", "seconds_per_image", "processor_seconds_per_image", "threads"} == found.keys()
    )
    assert (found["images"], found["views"]) == (6, "whole")
    assert len((tmp_path / "written" / "images.csv").read_text().splitlines()) == 7
    assert cli.main(["baseline", "evaluate", out, "--data", str(prepared), "--threads", "1"]) == 0
    told = capsys.readouterr().out
    assert "6 images of val" in told
    assert "ms a picture, threads: 1" in told


def test_what_is_not_there_is_one_sentence(prepared, tmp_path, capsys):
    assert cli.main(["baseline", "evaluate", str(tmp_path), "--data", str(prepared)]) == 1
    assert "holds no baseline" in capsys.readouterr().err
    assert cli.main(["baseline", "fit", "bag-of-words", "--data", str(prepared), "--out", str(tmp_path)]) == 2


def test_usage(capsys):
    assert cli.main(["baseline"]) == 2
    assert "`fit NAME` or `evaluate FOLDER`" in capsys.readouterr().err
    assert cli.main(["baseline", "--help"]) == 0
    assert "usage: alexnet baseline fit NAME" in capsys.readouterr().out
