"""export and import."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet import cli
from alexnet.data.shards import ClassName
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier


@pytest.fixture
def saved(tmp_path):
    network = alexnet.AlexNet(alexnet.AlexNetConfig(width=1 / 32, classes=2)).eval()
    statistics = Statistics(torch.full((3, 256, 256), 120.0), torch.eye(3, dtype=torch.float64) * 3600)
    classes = (ClassName("dark", "dark"), ClassName("light", "light"))
    Classifier(network, Views(), statistics, classes).save(tmp_path / "one.safetensors")
    return tmp_path / "one.safetensors"


def test_there_and_back_for_people_and_for_programs(saved, tmp_path, capsys):
    assert cli.main(["export", str(saved), str(tmp_path / "a.npz")]) == 0
    out, err = capsys.readouterr()
    assert "caffe, " in out
    assert "read back, bit for bit" in out
    assert "blue, green, red" in err
    assert cli.main(["import", str(tmp_path / "a.npz"), str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert "2 classes" in out
    assert "16 drawn pictures, no photographs" in out
    assert "were never trained" in err
    assert cli.main(["import", str(tmp_path / "a.npz"), str(tmp_path / "again"), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found.keys() == {
        "run",
        "network",
        "parameters",
        "classes",
        "sha256",
        "published",
        "notes",
        "kernels",
        "seen",
    }
    assert found["kernels"]["trained"] is False
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == saved.read_bytes()


def test_onnx_says_how_it_was_checked(saved, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)).save(tmp_path / "one.png")
    arguments = ["export", str(saved), str(tmp_path / "a.onnx"), "--data", str(tmp_path / "one.png")]
    assert cli.main([*arguments, "--stage", "relu7", "pool5"]) == 0
    told = capsys.readouterr().out
    assert "1 of 1 same first answers" in told
    assert "relu7: largest difference" in told
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"]["same_top1"] == 1


def test_what_fails_is_one_sentence_and_1(saved, tmp_path, capsys):
    assert cli.main(["export", str(saved), str(tmp_path / "a.onnx")]) == 1
    assert "give --data, a prepared set or a folder of photographs" in capsys.readouterr().err
    assert cli.main(["import", str(tmp_path / "absent.pth"), str(tmp_path / "run")]) == 1
    assert "does not exist" in capsys.readouterr().err
