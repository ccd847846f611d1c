"""doctor."""

import importlib.util
import json

import torch

import alexnet
from alexnet import cli
from alexnet.cli import machine


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


def test_it_works_where_the_system_tells_nothing(monkeypatch, capsys):
    class Nowhere:
        def __init__(self, *_):
            pass

        def read_text(self, **_):
            raise FileNotFoundError

    folder = machine.Path()
    monkeypatch.setattr(machine, "Path", Nowhere)
    found = machine.examine(folder)
    assert found["memory"] is None
    assert found["processor"]["name"]
    machine._tell(found)
    assert "memory     unknown" in capsys.readouterr().out
