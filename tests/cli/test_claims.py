"""reproduce: the list, one by name, all that the data serve, and the page."""

import json
import signal

import pytest

import alexnet
from alexnet import cli
from alexnet.claims.catalogue import EXPERIMENTS
from alexnet.errors import InputError
from alexnet.experiments import page, pictures
from alexnet.files import write_json
from alexnet.training.recipe import Machine
from alexnet.training.train import Stopped

NAMES = [experiment.name for experiment in EXPERIMENTS]


def result(name):
    words = {"section": "3", "claim": "It helps.", "paper": "1.4", "ours": "0.3", "reason": "so.", "rule": "above 0."}
    machine = {"device": "cpu", "device_name": "a processor", "commit": "abc", "seconds": 1.0}
    parts = {"tables": {}, "figures": [], "remarks": [], "recipes": {}, "data": None}
    budget = {"name": "full", "epochs": 1.0, "width": 1.0, "seeds": 3}
    return {
        "experiment": name,
        "file": f"{name}.json",
        "verdict": "reproduced",
        "budget": budget,
        **words,
        **machine,
        **parts,
    }


FAILURES = {
    "towers": InputError("the network broke."),
    "overlap": RuntimeError("out of memory"),
    "dropout": Stopped(signal.SIGTERM),
}


@pytest.fixture
def failing():
    return {"towers"}


@pytest.fixture
def called(monkeypatch, failing):
    """The names that alexnet.reproduce was called with and its other arguments; those in `failing` fail."""
    calls = []

    def fake(name, data, **options):
        calls.append((name, data, options))
        if name in failing:
            raise FAILURES[name]
        return result(name)

    monkeypatch.setattr(alexnet, "reproduce", fake, raising=False)
    return calls


def test_without_a_name_the_claims_are_listed_with_their_state(tmp_path, capsys):
    write_json(tmp_path / "towers.json", result("towers"))
    assert cli.main(["reproduce", "--results", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == NAMES
    assert lines[-1].startswith(f"By the results in {tmp_path}. --details: ")
    (line,) = (line for line in lines if line.startswith("towers "))
    assert line.split(maxsplit=2) == ["towers", "3.2", "reproduced"]
    assert sum(line.endswith("not run") for line in lines) == len(NAMES) - 1


def test_the_list_as_json(tmp_path, capsys):
    assert cli.main(["reproduce", "--results", str(tmp_path), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == NAMES
    assert set(listed[0]) == {
        "name",
        "section",
        "claim",
        "paper",
        "needs",
        "cost",
        "state",
        "budget",
        "scale",
        "data",
    } | {"smaller", "on_other_sets"}
    assert {(entry["state"], entry["budget"], entry["data"]) for entry in listed} == {("not run", None, None)}


def test_the_list_tells_the_budget_and_the_set_of_each_result(tmp_path, capsys):
    """A trial's verdict, or one of other photographs, is not taken for the full one's."""
    budget = {"name": "reduced", "epochs": 0.5, "width": 1.0, "seeds": 1}
    write_json(tmp_path / "towers.json", {**result("towers"), "budget": budget, "data": {"name": "beetles"}})
    full = {**result("towers"), "data": {"name": "moths"}, "verdict": "not reproduced"}
    write_json(tmp_path / "towers-smaller-moths-3-seeds.json", full)
    assert cli.main(["reproduce", "--results", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert " reproduced (reduced; 1 seed, 0.5 of the epochs; beetles)\n" in told
    assert "moths" not in told
    assert cli.main(["reproduce", "--results", str(tmp_path), "--details"]) == 0
    told = capsys.readouterr().out
    assert " beside it: not reproduced (full; 3 seeds; moths)\n" in told
    assert cli.main(["reproduce", "--results", str(tmp_path), "--json"]) == 0
    (entry,) = (each for each in json.loads(capsys.readouterr().out) if each["name"] == "towers")
    assert (entry["budget"], entry["data"]) == ("reduced", "beetles")
    assert (entry["scale"], entry["smaller"]) == (
        "1 seed, 0.5 of the epochs",
        ["not reproduced (full; 3 seeds; moths)"],
    )


def test_one_by_name_with_its_budget(called, tmp_path, capsys):
    flags = ["--seeds", "5", "--epochs", "0.5", "--width", "0.25", "--machine.threads", "1"]
    assert cli.main(["reproduce", "overlap", "--data", "set", "--results", str(tmp_path), *flags]) == 0
    ((name, data, options),) = called
    assert (name, str(data)) == ("overlap", "set")
    assert (options["seeds"], options["epochs"], options["width"], options["smoke"]) == (5, 0.5, 0.25, False)
    assert (options["machine"], options["results"]) == (Machine(threads=1), tmp_path)
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "overlap (section 3): It helps.",
        "  paper    1.4",
        "  ours     0.3",
        "  rule     above 0.",
        "  verdict  reproduced: so.",
        f"  kept in  {tmp_path / 'overlap.json'}, with its figures and runs",
    ]


def test_one_that_fails_is_1_and_one_that_is_unknown_too(called, tmp_path, capsys, monkeypatch):
    assert cli.main(["reproduce", "towers", "--smoke", "--results", str(tmp_path)]) == 1
    assert "the network broke." in capsys.readouterr().err
    monkeypatch.undo()
    assert cli.main(["reproduce", "tower", "--smoke", "--results", str(tmp_path)]) == 1
    assert "did you mean 'towers'" in capsys.readouterr().err


def test_all_goes_on_after_one_that_fails_and_is_1(called, tmp_path, capsys):
    assert cli.main(["reproduce", "all", "--smoke", "--json", "--results", str(tmp_path)]) == 1
    assert [name for name, _, _ in called] == NAMES
    told = capsys.readouterr()
    done = [json.loads(line)["experiment"] for line in told.out.splitlines()]
    assert done == [name for name in NAMES if name != "towers"]
    assert "towers: the network broke." in told.err


@pytest.mark.parametrize("failing", [{"towers", "overlap"}])
def test_whatever_fails_the_others_go_on(called, tmp_path, capsys):
    assert cli.main(["reproduce", "all", "--smoke", "--json", "--results", str(tmp_path)]) == 1
    assert [name for name, _, _ in called] == NAMES
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == len(NAMES) - 2
    assert "overlap: RuntimeError: out of memory (`alexnet reproduce overlap --traceback` shows where)" in told.err


@pytest.mark.parametrize("failing", [{"dropout"}])
@pytest.mark.parametrize("name", ["dropout", "all"])
def test_a_signal_ends_it_with_the_code_of_train(called, tmp_path, capsys, name):
    assert cli.main(["reproduce", name, "--smoke", "--results", str(tmp_path)]) == 128 + signal.SIGTERM
    assert [each for each, _, _ in called][-1] == "dropout"
    assert "stopped by SIGTERM; the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["photographs", "cifar10"])
def test_all_are_those_that_the_data_serve(called, tmp_path, kind):
    data = getattr(pictures, kind)(tmp_path / "set", 50, 10).path
    cli.main(["reproduce", "all", "--data", str(data), "--results", str(tmp_path)])
    served = [experiment.name for experiment in EXPERIMENTS if experiment.needs in (kind, "nothing")]
    assert [name for name, _, _ in called] == served


@pytest.mark.parametrize("name", [[], ["overlap"]])
def test_the_page_is_written_from_the_results_that_there_are(called, tmp_path, name):
    write_json(tmp_path / "colour.json", result("colour"))
    file = tmp_path / "results.md"
    file.write_text(f"{page.BEGIN}\n{page.END}\n")
    assert cli.main(["reproduce", *name, "--data", "set", "--results", str(tmp_path), "--write", str(file)]) == 0
    assert "### colour" in file.read_text()
