"""embed, and evaluate with lesions, on the command line."""

import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

from alexnet import cli
from alexnet.data.prepare import prepare
from alexnet.evaluation.classifier import Classifier
from alexnet.features import embed
from alexnet.features.folder import Features


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "pictures"
    for number in range(6):
        path = root / ("cat" if number % 2 else "truck") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return root


def test_embed_writes_what_was_asked_and_names_the_folder(pictures, tmp_path, capsys):
    out = tmp_path / "features"
    asked = ["--stage", "relu3, conv1", "--half", "--geometry", "whole", "--untrained", "3"]
    edits = ["--edit", "conv1:0,5=zero", "--edit", "conv2=zero"]
    assert cli.main(["embed", "cifar10", str(pictures), str(out), *asked, *edits]) == 0
    told, notes = capsys.readouterr()
    assert told == f"{out}\n"
    assert "conv1, relu3 of 6 files: at most " in notes
    assert f" in {out}." in notes
    made = Features.open(out)
    assert made.stages == ("conv1", "relu3")
    assert made.labels == ("cat",) * 3 + ("truck",) * 3
    assert made.described["edit"] == ["conv1:0,5=zero", "conv2=zero"]
    assert made.stage("conv1").dtype == np.float16
    assert np.abs(made.stage("conv1")[:, [0, 5]]).max() == 0
    assert np.abs(made.stage("conv1")[:, 1]).max() > 0


def test_json_is_what_is_recorded(pictures, tmp_path, capsys):
    out = tmp_path / "features"
    assert cli.main(["embed", "cifar10", str(pictures), str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("features") == str(out)
    assert found == json.loads((out / "features.json").read_text())


def test_a_wrong_edit_is_one_sentence(pictures, tmp_path, capsys):
    assert cli.main(["embed", "cifar10", str(pictures), str(tmp_path / "features"), "--edit", "tower2=zero"]) == 1
    told = capsys.readouterr().err
    assert told == "alexnet: the edit 'tower2=zero': this network has one tower, so none can be taken away.\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_it_says_that_the_same_command_goes_on(pictures, tmp_path, capsys, monkeypatch, number, code):
    arguments = ["embed", "cifar10", str(pictures), str(tmp_path / "features"), "--stage", "fc10"]
    responses, before = embed.responses, signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(embed, "BATCH", 2)
    if number == signal.SIGINT:
        signal.signal(number, signal.default_int_handler)  # which jobs in a shell's background begin without
    left = iter(range(2))

    def stopping(*given):
        found = responses(*given)
        if next(left, None) is None:
            os.kill(os.getpid(), number)
        return found

    monkeypatch.setattr(embed, "responses", stopping)
    assert cli.main(arguments) == code
    assert capsys.readouterr().err.splitlines()[-1] == "alexnet: stopped; the same command goes on where it stopped."
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(embed, "responses", responses)
    assert cli.main(arguments) == 0
    assert "after 4 images" in capsys.readouterr().err
    assert len(Features.open(tmp_path / "features")) == 6


def test_evaluate_under_a_lesion(pictures, tmp_path, capsys):
    prepared = prepare(pictures, tmp_path / "prepared", encoding="raw", size=32).path
    arguments = ["evaluate", "cifar10", "--data", str(prepared), "--split", "train", "--json"]
    assert cli.main(arguments) == 0
    whole = json.loads(capsys.readouterr().out)
    assert "edit" not in whole
    assert cli.main([*arguments, "--edit", "fc10=zero"]) == 0
    out, notes = capsys.readouterr()
    lesioned = json.loads(out)
    assert lesioned["edit"] == ["fc10=zero"]
    # Logits of zero hold all ten classes to be as likely.
    assert lesioned["loss"] == pytest.approx(np.log(len(Classifier.load("cifar10").classes)), abs=1e-5)
    assert lesioned["loss"] != pytest.approx(whole["loss"], abs=1e-3)
    assert "Nothing was written" in notes
    assert "alexnet: fc10 is silenced whole, so that it and every stage after it answer all pictures alike" in notes
    folder = tmp_path / "out"
    assert cli.main([*arguments[:-1], "--edit", "conv1:0=zero", "--edit", "conv2=zero", "--out", str(folder)]) == 0
    assert "lesioned     conv1:0=zero, conv2=zero" in capsys.readouterr().out
    assert json.loads((folder / "evaluation.json").read_text())["edit"] == ["conv1:0=zero", "conv2=zero"]


def test_a_lesioned_evaluation_leaves_the_runs_own_files(pictures, tmp_path, capsys):
    prepared = prepare(pictures, tmp_path / "prepared", encoding="raw", size=32).path
    run = tmp_path / "run"
    run.mkdir()
    Classifier.load("cifar10").save(run / "weights.safetensors")
    arguments = ["evaluate", str(run), "--data", str(prepared), "--split", "train"]
    assert cli.main([*arguments, "--edit", "conv2=zero"]) == 0
    assert [path.name for path in run.iterdir()] == ["weights.safetensors"]
    assert cli.main(arguments) == 0
    assert (run / "evaluation-train-centre" / "evaluation.json").is_file()
