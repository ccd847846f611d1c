"""calibrate, predict --abstain-below and the page of errors, on pictures of which a fifth have the wrong label."""

import hashlib
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import alexnet
from alexnet import cli, recipes
from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.evaluation import classifier_file
from alexnet.evaluation.calibration import Calibration
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.reliability import reliability
from alexnet.training.recipe import Machine
from alexnet.training.train import train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with photographs, prepared (train, val, test), halves (train, val), and run, a trained one."""
    root = tmp_path_factory.mktemp("calibrate")
    random = np.random.default_rng(0)
    for number in range(100):
        light = number % 2
        folder = root / "photographs" / ("light" if light ^ (number % 10 in (0, 1)) else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 110, (40, 50, 3)) + 140 * light
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03d}.png")
    prepare(root / "photographs", root / "prepared", holdout=0.3, test=0.3)
    prepare(root / "photographs", root / "halves", holdout=0.3)
    train(recipes.shorter(recipes.named("smoke"), 6), root / "prepared", root / "run", Machine(devices=("cpu",)))
    return root


@pytest.fixture
def run(root, tmp_path):
    """A copy of the run, to change."""
    return shutil.copytree(root / "run", tmp_path / "run")


def digests(run):
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(run.glob("*.safetensors"))}


def calibrated(run, root, capsys, *more):
    assert cli.main(["calibrate", str(run), "--data", str(root / "prepared"), *more, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_and_what_the_file_keeps(run, root, capsys):
    before = {n: t.clone() for n, t in classifier_file.read(run / "weights.safetensors")[1].items()}
    told = calibrated(run, root, capsys)
    counts = PreparedSet.open(root / "prepared").counts
    assert told["measured"] == {"split": "test", "images": counts["test"], "how": "apart"}
    assert told["fitted"] == {"split": "val", "images": counts["val"]}
    assert told["before"]["temperature"] == 1
    assert told["after"]["temperature"] == told["temperature"] != 1
    assert len(told["after"]["bins"]) == 15
    assert told["risk_coverage"][0]["share"] == 1
    assert (run / "reliability.png").read_bytes().startswith(b"\x89PNG")
    described, after = classifier_file.read(run / "weights.safetensors")
    assert described.temperature == told["temperature"] == Classifier.load(run).temperature
    assert all((after[n] == before[n]).all() for n in before)
    kept = digests(run)
    assert calibrated(run, root, capsys) == told, "the same again"
    assert digests(run) == kept


def test_the_table_and_a_set_without_test(run, root, capsys):
    assert cli.main(["calibrate", str(run), "--data", str(root / "halves"), "--views", "ten"]) == 0
    out, err = capsys.readouterr()
    assert f"fitted on {PreparedSet.open(root / 'halves').counts['val']} images of val, ten views" in out
    assert "no other split to measure: " in out
    assert "answered   images  abstain below  top-1 error (95 %: Wilson's interval)" in out
    count = PreparedSet.open(root / "halves").counts["val"]
    assert re.search(rf"\n  100\.0%  {count:7d}         0\.\d{{4}}  0\.\d{{4}} \(0\.\d{{4}} to 0\.\d{{4}}\)\n", out)
    assert "learnt from another prepared set" in err


@pytest.mark.parametrize(
    ("images", "sure", "loss", "told"),
    [
        (47, 0.7, 0.6, "(0.1468, 0.0032), though the loss is not: 47 images are too few to tell, chance alone makes"),
        (
            4700,
            0.7,
            0.6,
            "(0.1468, 0.0032), though the loss is not, and is more than chance alone makes: look at figure.png",
        ),
        (
            47,
            0.7,
            0.8,
            "the loss is higher at this temperature than at 1 (0.8000, 0.7000): 3 images of val are too few",
        ),
        (47, 0.55, 0.7, ""),
    ],
)
def test_what_is_worse_at_the_temperature_is_told(images, sure, loss, told, root, capsys, monkeypatch):
    errors = (torch.arange(images) % 47 >= 26).double()
    rows = [[torch.full_like(errors, value) for value in pair] for pair in ((0.55, 0.7), (sure, loss))]
    before, after = (reliability(torch.stack([of, errors, by])) for of, by in rows)
    made = Calibration(2.0, "centre", "val", 3, "test", "apart", before, after, rows[1][0], errors, "f", "figure.png")
    monkeypatch.setattr(alexnet, "calibrate", lambda *_, **__: made, raising=False)
    assert cli.main(["calibrate", "run", "--data", str(root / "prepared"), "--json"]) == 0
    err = capsys.readouterr().err
    assert told in err
    assert len(err.splitlines()) == bool(told)


def test_best_is_calibrated_with_the_last_where_they_are_one_network(run, root, capsys):
    shutil.copy(run / "weights.safetensors", run / "best.safetensors")
    calibrated(run, root, capsys)
    assert os.path.samefile(run / "weights.safetensors", run / "best.safetensors")
    other = Classifier.load(run)
    other.network.load_whole({n: v * (0.5 if "fc8" in n else 1) for n, v in other.network.whole().items()})
    other.temperature = 1.0
    (run / "best.safetensors").unlink()
    other.save(run / "best.safetensors")
    last = digests(run)["weights.safetensors"]
    told = calibrated(run, root, capsys, "--best")
    assert told["file"].endswith("best.safetensors")
    assert digests(run)["weights.safetensors"] == last
    assert (run / "reliability-best.png").is_file()
    assert Classifier.load(run, best=True).temperature == told["temperature"]


def test_resuming_a_finished_run_rewrites_no_classifier(run, root, capsys):
    calibrated(run, root, capsys)
    kept = digests(run)
    assert cli.main(["resume", str(run)]) == 0
    assert "finished already" in "".join(capsys.readouterr())
    assert digests(run) == kept
    assert Classifier.load(run).temperature != 1


@pytest.mark.slow
def test_a_finetuned_run_goes_on_after_its_start_was_calibrated(run, root, capsys, tmp_path):
    command = ["finetune", str(run), "--data", str(root / "prepared"), "--run", str(tmp_path / "tuned")]
    command += ["--epochs", "1"]
    assert cli.main(command) == 0
    kept = digests(tmp_path / "tuned")
    capsys.readouterr()
    calibrated(run, root, capsys)
    assert cli.main(command) == 0, "the start is known by its tensors"
    assert digests(tmp_path / "tuned") == kept
    assert Classifier.load(tmp_path / "tuned").temperature == 1
    # Data as older versions wrote it: the whole file's checksum, which start.safetensors still has.
    file = tmp_path / "tuned" / "data.json"
    data = json.loads(file.read_text())
    del data["start"]["tensors"]
    file.write_text(json.dumps(data))
    assert cli.main(["resume", str(tmp_path / "tuned")]) == 0
    assert cli.main(command) == 1
    assert "holds another run" in capsys.readouterr().err


def test_a_file_to_another_and_half_stays_half(root, capsys, tmp_path):
    small = tmp_path / "small.safetensors"
    Classifier.load(root / "run").save(small, half=True)
    kept = small.read_bytes()
    out = tmp_path / "out" / "sure.safetensors"
    command = ["calibrate", str(small), "--data", str(root / "prepared"), "--json"]
    assert cli.main([*command, "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["figure"]) == (str(out), str(out.parent / "sure-reliability.png"))
    assert small.read_bytes() == kept
    for file in (small, out):
        with safe_open(file, "pt") as opened:
            assert str(opened.get_tensor("conv1.weight").dtype) == "torch.float16"
    assert classifier_file.checksum(small) == classifier_file.checksum(out)
    assert len(out.read_bytes()) < 1.01 * len(kept)


def test_what_cannot_be_is_one_sentence_and_writes_nothing(run, root, capsys, tmp_path, monkeypatch):
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    data = str(root / "prepared")
    for arguments, sentence in (
        ([str(run), "--data", data, "--split", "train"], "surer of the images"),
        ([str(run), "--data", data, "--split", "tset"], "it has train, val, test"),
        ([str(run), "--data", str(tmp_path)], "is not a prepared set"),
        ([str(run), "--data", data, "--out", str(tmp_path)], "is a folder"),
        (["nowhere", "--data", data], "neither a run folder nor a classifier file"),
        (["cifar10", "--data", data], "--out FILE"),
        (["cifar10", "--data", data, "--out", str(tmp_path / "x")], "32×32"),
    ):
        assert cli.main(["calibrate", *arguments]) == 1, arguments
        out, err = capsys.readouterr()
        assert sentence in err
        assert out == ""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["calibrate", str(run), "--data", data]) == 1
    assert "not spread by torchrun" in capsys.readouterr().err
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == before
    assert not (tmp_path / "x").exists()


def test_a_damaged_file_has_no_checksum(tmp_path):
    for content in (b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]", b"\x10\0\0\0\0\0\0\0{"):
        file = tmp_path / "bad.safetensors"
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"no classifier file, or a damaged one"):
            classifier_file.checksum(file)


def test_not_sure(run, root, capsys):
    pictures = [str(f) for f in sorted((root / "photographs").rglob("*.png"))[:4]]
    assert cli.main(["predict", str(run), *pictures, "--json"]) == 0
    before = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("abstained" not in line for line in before)
    best = [line["predictions"][0]["probability"] for line in before]
    below = (min(best) + max(best)) / 2
    assert cli.main(["predict", str(run), *pictures, "missing.png", "--json", "--abstain-below", str(below)]) == 1
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("abstained") for line in lines] == [*(value < below for value in best), None]
    assert len({line.get("abstained") for line in lines}) == 3
    assert [line["predictions"] for line in lines[:4]] == [line["predictions"] for line in before]
    assert f"{run} is not calibrated" in err
    calibrated(run, root, capsys)
    assert cli.main(["predict", str(run), pictures[0], "--abstain-below", "1"]) == 0
    out, err = capsys.readouterr()
    assert f"{pictures[0]}  not sure" in out
    assert err == ""
    assert cli.main(["predict", str(run), pictures[0], "--abstain-below", "0"]) == 0
    assert "not sure" not in capsys.readouterr().out


@pytest.mark.parametrize("below", ["1.5", "-0.1", "nan"])
def test_what_is_no_probability_is_refused(run, capsys, below):
    assert cli.main(["predict", str(run), "a.png", f"--abstain-below={below}"]) == 1
    assert f"--abstain-below is {float(below)}; it is a probability, from 0 to 1" in capsys.readouterr().err


def test_evaluate_writes_the_page_with_evidence(run, root, capsys):
    assert cli.main(["evaluate", str(run), "--data", str(root / "prepared"), "--split", "test"]) == 0
    page = run / "evaluation-test-centre" / "errors.html"
    assert f"pictures     {page}" in capsys.readouterr().out
    text = page.read_text()
    assert text.index("Suspected wrong labels") < text.index("<img") < text.index("The worst of each class")
    assert "where the evidence for" in text
