"""A rival fitted to small drawn pictures: it learns, goes on after a kill to the same bytes, and tells all of it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.baselines import fit, pipelines, vectors
from alexnet.baselines.fit import baseline
from alexnet.baselines.fitted import Baseline
from alexnet.baselines.linear import Descent
from alexnet.baselines.local_descriptors import Grid
from alexnet.baselines.pipelines import FisherVectors, SparseCoding
from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError

for package in ("kornia", "skimage", "sklearn"):
    pytest.importorskip(package)

GRID = Grid(cell=8, stride=16, scales=(1.0, 0.5))
FISHER = FisherVectors(grid=GRID, sample=3000, dimensions=8, components=4, iterations=5, descent=Descent(epochs=3))
SPARSE = SparseCoding(grid=GRID, sample=3000, words=16, descent=Descent(epochs=3))
PROGRAM = "import sys; from tests.baselines import test_fit as t; t.baseline(t.FISHER, *sys.argv[1:], threads=2)"


def stripes(seed: int, upright: bool) -> Image.Image:
    """A picture of stripes of a random width and phase, upright or level, with noise."""
    rng = np.random.default_rng(seed)
    wave = 127 + 90 * np.sin(np.arange(96) / rng.uniform(2, 5) + rng.uniform(0, 6))
    grey = np.broadcast_to(wave if upright else wave[:, None], (96, 96))
    pixels = grey[..., None] + rng.normal(0, 15, (96, 96, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("baselines")
    for label, name in enumerate(("level", "upright")):
        (root / "pictures" / name).mkdir(parents=True)
        for i in range(24):
            stripes(100 * label + i, bool(label)).save(root / "pictures" / name / f"{i:02}.png")
    prepare(root / "pictures", root / "prepared", holdout=0.25)
    return root / "prepared"


@pytest.fixture(scope="module")
def fitted(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("fitted") / "fisher"
    baseline(FISHER, prepared, out, threads=1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the timings."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timing.json"
    }


def test_fisher_vectors_tell_stripes_apart(prepared, fitted):
    result = Baseline.open(fitted).evaluate(prepared, threads=2)
    told = result.to_json()
    assert told["top1_error"] <= 0.1
    assert told["top5_error"] == 0
    assert 0 < told["loss"] < 0.69
    assert (told["images"], told["views"], told["models"], told["threads"]) == (12, "whole", 2, 2)
    assert told["seconds_per_image"] > 0
    assert told["split"] == "val"
    assert told["data"] == {"path": str(prepared), "fingerprint": PreparedSet.open(prepared).fingerprint}
    assert not list(fitted.rglob("*.npy"))
    assert (fitted / "sift" / "mixture.safetensors").is_file()


def test_sparse_coding_tells_stripes_apart(prepared, tmp_path):
    result = baseline(SPARSE, prepared, tmp_path / "sparse", threads=2).evaluate(prepared)
    assert result.evaluation.top1_error <= 0.1
    assert result.evaluation.models == 3


def test_neither_threads_nor_a_repeat_change_anything(prepared, fitted, tmp_path):
    baseline(FISHER, prepared, tmp_path / "out", threads=2)
    first = contents(fitted)
    assert contents(tmp_path / "out") == first
    baseline(FISHER, prepared, tmp_path / "out")
    assert contents(tmp_path / "out") == first


def test_scores_are_the_mean_of_the_channels(prepared, fitted):
    found, shards = Baseline.open(fitted), PreparedSet.open(prepared).split("val")
    picture = np.empty((1, 3, 256, 256), np.uint8)
    shards.read(np.array([3]), picture)
    expected = torch.zeros(2)
    for kind in FISHER.channels:
        tensors = pipelines.learnt(FISHER, fitted / kind)
        weights = pipelines.load_file(fitted / kind / "classifier.safetensors")
        vector = pipelines.vector(FISHER, kind, picture[0], tensors).float()
        assert vector.shape == (pipelines.length(FISHER, kind),)
        expected += (weights["weights"] @ vector + weights["biases"]) / 2
    torch.testing.assert_close(found.scores(picture[0]), expected)


@pytest.mark.parametrize(
    "stage", ["sift sample", "sift vectors", "colour model", "colour vectors", "colour classifier"]
)
def test_stopped_in_any_stage_it_goes_on_to_the_same_result(prepared, fitted, tmp_path, monkeypatch, stage):
    class Killed(BaseException):
        pass

    def progress(now, total):
        @contextlib.contextmanager
        def told():
            def advance(count):
                if now == stage and count:
                    raise Killed

            yield advance
            if now == stage:
                raise Killed

        return told()

    monkeypatch.setattr(vectors, "BLOCK", 4)
    with pytest.raises(Killed):
        baseline(FISHER, prepared, tmp_path / "out", threads=1, progress=progress)
    with pytest.raises(InputError, match="is not finished: repeat"):
        Baseline.open(tmp_path / "out")
    seen = []

    def noted(now, total):
        seen.append(now)
        return contextlib.nullcontext(lambda _: None)

    baseline(FISHER, prepared, tmp_path / "out", threads=1, progress=noted)
    assert contents(tmp_path / "out") == contents(fitted)
    assert ("sift sample" in seen) == (stage == "sift sample")


@pytest.mark.slow
def test_killed_and_repeated_it_gives_the_same_bytes(prepared, fitted, tmp_path):
    arguments = [sys.executable, "-c", PROGRAM, str(prepared), str(tmp_path / "out")]
    root = Path(__file__).parents[2]
    for wanted in ("sift/sample.npy", "colour/sample.npy"):
        process = subprocess.Popen(arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
        deadline = time.monotonic() + 120
        while process.poll() is None and not (tmp_path / "out" / wanted).exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=True)
    assert contents(tmp_path / "out") == contents(fitted)


@pytest.mark.parametrize("killed_writing", ["baseline.json", "timing.json"])
def test_what_a_killed_process_was_writing_is_gone(killed_writing, prepared, fitted, tmp_path):
    out = tmp_path / "out"
    if killed_writing == "baseline.json":
        out.mkdir()
    else:
        shutil.copytree(fitted, out)
    (out / f".{killed_writing}.0a1b2c3d.part").write_text("{")
    baseline(FISHER, prepared, out, threads=1)
    assert contents(out) == contents(fitted)


def test_per_class_takes_the_first_of_an_order_drawn_by_the_seed():
    labels = np.random.default_rng(0).integers(0, 3, 300)
    few, more = (vectors.first_of_each_class(labels, n, seed=1) for n in (10, 20))
    assert np.bincount(labels[few]).tolist() == [10, 10, 10]
    assert set(few) < set(more)
    assert (np.diff(more) > 0).all()
    assert set(vectors.first_of_each_class(labels, 10, seed=2)) != set(few)
    assert len(vectors.first_of_each_class(labels, None, 0)) == 300
    assert len(vectors.first_of_each_class(labels, 1000, 0)) == 300


def test_the_seconds_of_a_stage_are_those_of_all_calls(prepared, tmp_path):
    fitting = fit._Fitting(FISHER, None, np.arange(1), 1, tmp_path, 0, 1, lambda *_: contextlib.nullcontext())
    for seconds in (0.4, 0.3):
        with contextlib.suppress(KeyboardInterrupt), fit._stage(fitting, "sift", "model", 0):
            time.sleep(seconds)
            raise KeyboardInterrupt
    with fit._stage(fitting, "sift", "model", 0):
        pass
    assert json.loads((tmp_path / "timing.json").read_text())["sift model"]["seconds"] >= 0.7


def test_vectors_whose_file_went_are_computed_anew_even_after_a_kill(prepared, fitted, tmp_path, monkeypatch):
    """The note that stayed says all are done; the first picture of the new file kills."""
    path, shards = tmp_path / "vectors.npy", PreparedSet.open(prepared).split("train")
    (tmp_path / "vectors.json").write_text(json.dumps({"images": 8}))
    tensors = pipelines.learnt(FISHER, fitted / "sift")
    arguments = (path, shards, np.arange(8), FISHER, "sift", tensors, 1)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vectors, "vector", killed)
        with pytest.raises(KeyboardInterrupt):
            vectors.write(*arguments)
    assert not vectors.finished(path, 8)
    vectors.write(*arguments)
    assert (np.abs(vectors.read(path)).sum(1) > 0).all()


def test_another_baseline_or_set_is_refused(prepared, fitted, tmp_path):
    with pytest.raises(InputError, match="holds another baseline \\(seed is 0, not 1\\); give another --out"):
        baseline(FISHER, prepared, fitted, seed=1)
    with pytest.raises(InputError, match="per_class is None, not 5"):
        baseline(FISHER, prepared, fitted, per_class=5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no baseline"):
        baseline(FISHER, prepared, tmp_path / "full")
    with pytest.raises(InputError, match="holds no baseline; `alexnet baseline fit"):
        Baseline.open(tmp_path / "nowhere")


def test_a_small_disk_is_refused_before_vectors_are_computed(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match=r"need 0.0 GB in .*sift, where 0.0 GB are free; make room"):
        baseline(FISHER, prepared, tmp_path / "out")


def test_classes_are_joined_by_name(prepared, fitted, tmp_path):
    description = json.loads((prepared / "dataset.json").read_text())
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in prepared.iterdir():
        (moved / path.name).symlink_to(path)
    (moved / "dataset.json").unlink()
    description["classes"].reverse()
    (moved / "dataset.json").write_text(json.dumps(description))
    found = Baseline.open(fitted)
    assert found.evaluate(moved).evaluation.top1_error >= 0.9
    description["classes"][0]["name"] = "spotted"
    (moved / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="was not fitted to the set's class 'spotted'"):
        found.evaluate(moved)


def test_the_extra_is_asked_for_by_name(monkeypatch, prepared, tmp_path):
    monkeypatch.setattr(fit.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"baselines need the package kornia: pip install 'alexnet\[baselines\]'"):
        baseline("fisher-vectors", prepared, tmp_path / "out")
