"""sweep: what arrives at `alexnet.sweep`, what is printed, and how it fails."""

import json
from pathlib import Path

import pytest

import alexnet
from alexnet import cli, recipes
from alexnet.sweeps.outcome import Row, Sweep
from alexnet.sweeps.settings import Span
from alexnet.training.recipe import Machine
from alexnet.training.train import Stopped

RATE = "optimiser.learning_rate"


@pytest.fixture
def called(monkeypatch):
    """The arguments of the last call of sweep, which does nothing."""
    calls = []
    rows = (
        Row({RATE: 0.01}, (0.5, 0.7), "finished", 2, ("a-0", "a-1")),
        Row({RATE: 0.02}, (0.25, 0.35), "finished", 2, ("b-0", "b-1")),
        Row({RATE: 9.0}, (), "broken", 0, ("c-0", "c-1")),
    )

    def fake(*given, **named):
        calls.append((given, named))
        return Sweep(rows, Path("o"), ("alexnet", "train", "demo"))

    monkeypatch.setattr(alexnet, "sweep", fake, raising=False)
    return calls


def test_the_grid_arrives_typed_and_flags_change_the_base(called, capsys):
    words = ["--over", "optimiser.learning-rate=0.01,0.02,9", "--over", "loader.batch=32,64", "--seeds", "2"]
    more = ["--epochs", "3", "--model.width", "0.5", "--out", "o", "--machine.threads", "1"]
    assert cli.main(["sweep", "demo", "--data", "set", *words, *more]) == 0
    base = recipes.shorter(recipes.smaller(recipes.named("demo"), 0.5), 3)
    ((given, named),) = called
    assert given == (base, Path("set"), {RATE: (0.01, 0.02, 9.0), "loader.batch": (32, 64)})
    del named["say"]
    assert named == {"seeds": 2, "search": None, "out": Path("o"), "machine": Machine(threads=1)}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["optimiser.learning-rate", "0.02", "0.01", "9"]
    assert "0.3" in lines[1]
    assert lines[-1] == "best     alexnet train demo --optimiser.learning-rate 0.02"


def test_a_span_arrives_with_the_search(called, capsys):
    assert cli.main(["sweep", "demo", "--data", "s", "--over", f"{RATE}=1e-4..0.1", "--search", "30", "--json"]) == 0
    ((given, named),) = called
    assert given[2] == {RATE: Span(1e-4, 0.1, log=True)}
    assert named["search"] == 30
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == "alexnet train demo --optimiser.learning-rate 0.02"
    assert [row["mean"] for row in found["rows"]] == pytest.approx([0.6, 0.3, None])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "wants RECIPE first"),
        (["--data", "s"], 2, "wants RECIPE first"),
        (["dema", "--data", "s"], 2, "did you mean 'demo'?"),
        (["none.json", "--data", "s"], 1, "does not exist"),
        (["demo", "--data", "s", "--over", "optimiser.rate=1"], 1, "no field 'optimiser.rate'"),
        (["demo", "--data", "s", "--seed", "1"], 2, "--seed"),
    ],
)
def test_what_is_wrong_is_said(words, code, told, called, capsys):
    assert cli.main(["sweep", *words]) == code
    assert told in capsys.readouterr().err
    assert not called


def test_a_signal_is_its_exit_code(monkeypatch, capsys):
    def stopped(*_, **__):
        raise Stopped(15)

    monkeypatch.setattr(alexnet, "sweep", stopped, raising=False)
    assert cli.main(["sweep", "demo", "--data", "s", "--over", f"{RATE}=1"]) == 143
    assert "SIGTERM" in capsys.readouterr().err


def test_where_others_are_still_at_it_that_is_said(monkeypatch, capsys):
    monkeypatch.setattr(alexnet, "sweep", lambda *_, **__: Sweep((), Path("o"), ("alexnet", "train")), raising=False)
    command = ["sweep", "demo", "--data", "s", "--over", f"{RATE}=0.1..1", "--search", "2"]
    assert cli.main(command) == 0
    told = capsys.readouterr()
    assert (told.out, "Other processes are still at every setting" in told.err) == ("", True)
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == []


def test_help_needs_no_recipe(capsys):
    assert cli.main(["sweep", "--help"]) == 0
    assert "--over FIELD=VALUES" in capsys.readouterr().out
