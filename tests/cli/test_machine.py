"""doctor."""

import importlib.util
import json

import torch

import alexnet
from alexnet import cli, machine


def test_it_tells_what_there_is(capsys):
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["packages"]["simplejpeg"]
    assert found["processor"]["cores"] >= 1
    assert found["devices"][-1]["device"] == "cpu"
    assert found["disk"]["free"] > 0
    assert cli.main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert found["processor"]["name"] in told
    assert "(auto)" in told


def test_it_tells_what_is_missing_for_what_and_the_mending_command(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "elpv_dataset" else find(name))
    missing = alexnet.doctor()["missing"]
    assert [entry["module"] for entry in missing] == ["elpv_dataset"]
    assert cli.main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "missing    for the demo's photographs (make demo): pip install 'alexnet[demo]'" in told


def test_it_works_where_the_system_tells_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(machine, "_PROCESSES", tmp_path)
    assert alexnet.doctor()["memory"] is None
    assert cli.main(["doctor"]) == 0
    assert "memory     unknown" in capsys.readouterr().out
