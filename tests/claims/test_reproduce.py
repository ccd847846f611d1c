"""The catalogue: found by name, run on what is given, and all of it as a trial that computes nothing twice."""

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet import claims, cli, experiments
from alexnet.claims import catalogue, reproduce
from alexnet.errors import InputError
from alexnet.experiments import pictures, result
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.experiment import Experiment, Measured, Verdict
from alexnet.training.parts import NotFinite
from alexnet.training.recipe import Machine

EXPERIMENTS = catalogue.EXPERIMENTS
NAMES = [experiment.name for experiment in EXPERIMENTS]


def told(bench: Bench) -> Measured:
    numbers = {"budget": vars(bench.budget), "data": str(bench.data), "pretrain": str(bench.pretrain)}
    return Measured(numbers, "told")


def fake(needs="photographs"):
    reduced, full = Budget("reduced", 0.5, 0.25, 2), Budget("full", seeds=4)
    judge = lambda _: Verdict("reproduced", "always")  # noqa: E731
    return Experiment("fake", "0", "Claims.", "1", needs, "none", "always", reduced, told, judge, full)


@pytest.fixture
def only(monkeypatch):
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (fake(), *EXPERIMENTS))


def test_the_chapters_tell_where_each_claim_is():
    for chapter in (claims, experiments):
        files = {path.name for path in Path(chapter.__file__).parent.glob("*.py")} - {"__init__.py"}
        assert {name for name in files if not re.search(rf"\b{name}\b", chapter.__doc__)} == set()
    told = claims.__doc__
    listed = re.sub(r"without-conv1 \.\.\. without-conv5", "without-conv" + " without-conv".join("12345"), told)
    assert set(NAMES) <= set(re.findall(r"[a-z0-9-]+", listed))


def test_names_are_unique_and_make_file_names():
    assert len(set(NAMES)) == len(NAMES)
    assert all(name == name.lower() and name.replace("-", "").isalnum() for name in NAMES)
    assert "all" not in NAMES


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_each_says_what_it_claims_costs_and_how_it_is_judged(experiment):
    for words in (experiment.section, experiment.claim, experiment.paper, experiment.cost, experiment.rule):
        assert words.strip() == words != ""
    assert experiment.claim.endswith(".")
    assert experiment.reduced.seeds <= experiment.full.seeds or experiment.reduced.name == "full"


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match=r"no experiment 'tower' \(did you mean 'towers'\?\)"):
        reproduce.find("tower")
    assert reproduce.find("towers").name == "towers"


def test_without_data_it_says_which(only, tmp_path):
    with pytest.raises(InputError, match="fake needs a prepared set of photographs: --data PREPARED, or --smoke"):
        reproduce.reproduce("fake", results=tmp_path)


@pytest.mark.parametrize(("needs", "other"), [("photographs", "cifar10"), ("cifar10", "photographs")])
def test_another_kind_of_set_is_refused_before_anything_is_measured(monkeypatch, tmp_path, needs, other):
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (fake(needs),))
    data = getattr(pictures, other)(tmp_path / "set", 50, 10).path
    kind, size = {"photographs": ("photographs", "32x32"), "cifar10": ("CIFAR-10", "256x256")}[needs]
    with pytest.raises(InputError, match=f"fake needs a prepared set of {kind}, but the images of .* are {size}"):
        reproduce.reproduce("fake", data, results=tmp_path / "results", machine=Machine(devices=("cpu",)))
    assert not (tmp_path / "results" / "fake.json").exists()
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (fake(other),))
    reproduce.reproduce("fake", data, results=tmp_path / "results", machine=Machine(devices=("cpu",)))
    assert (tmp_path / "results" / "fake.json").exists()


def test_the_budget_is_the_machines_the_trials_or_the_callers(only, tmp_path):
    data = pictures.photographs(tmp_path / "set", train=10, val=10).path

    def budget(**given):
        found = reproduce.reproduce("fake", data, results=tmp_path, machine=Machine(devices=("cpu",)), **given)
        assert found["numbers"]["data"] == str(data)
        return found["numbers"]["budget"]

    assert budget() == {"name": "reduced", "epochs": 0.5, "width": 0.25, "seeds": 2, "rates": []}
    assert budget(seeds=5, width=1.0) == {"name": "chosen", "epochs": 0.5, "width": 1.0, "seeds": 5, "rates": []}
    assert budget(rates=(0.5, 2.0))["rates"] == [0.5, 2.0]
    assert budget(pretrain_data=data)["name"] == "reduced"
    trial = reproduce.reproduce("fake", results=tmp_path, smoke=True, seeds=1, width=1 / 16)["numbers"]["budget"]
    assert trial == {"name": "smoke", "epochs": 0.0, "width": 1 / 16, "seeds": 1, "rates": []}
    with pytest.raises(InputError, match="at least one seed"):
        budget(seeds=0)


def test_a_folder_that_takes_no_results_is_told_of_before_anything_is_measured(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (fake("nothing"),))
    with pytest.raises(InputError, match=r"file/results takes no results .*--results names another folder"):
        reproduce.reproduce("fake", results=tmp_path / "file" / "results")
    monkeypatch.setattr(reproduce.tempfile, "TemporaryFile", refused)
    with pytest.raises(InputError, match=r"takes no results \(Read-only file system\)"):
        reproduce.reproduce("fake", results=tmp_path / "results")


def refused(dir):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))


def test_the_state_of_each_is_its_result(tmp_path):
    assert [state.experiment.name for state in reproduce.states(tmp_path)] == NAMES
    assert {state.result for state in reproduce.states(tmp_path)} == {None}


def test_a_network_that_breaks_makes_the_claim_not_testable_here(monkeypatch, tmp_path):
    def breaks(_):
        raise NotFinite("norm-0: the loss is not finite at conv1.")

    monkeypatch.setattr(reproduce, "EXPERIMENTS", (replace(fake("nothing"), measure=breaks),))
    found = reproduce.reproduce("fake", results=tmp_path, machine=Machine(devices=("cpu",)))
    assert found["verdict"] == "not testable here"
    assert found["reason"].endswith("norm-0: the loss is not finite at conv1.")
    (state,) = reproduce.states(tmp_path)
    assert (state.result["verdict"], state.result["reason"]) == (found["verdict"], found["reason"])
    assert state.result["remarks"] == []


def test_each_kept_result_has_the_verdict_of_todays_rule_or_the_page_tells():
    files = sorted((Path(__file__).parents[2] / "results" / "experiments").glob("*.json"))
    if not files:
        pytest.skip("no results are kept here")
    rules = {experiment.name: experiment for experiment in EXPERIMENTS}
    for file in files:
        stored = json.loads(file.read_text())
        if stored.get("experiment") not in rules:
            continue
        experiment = rules[stored["experiment"]]
        shown = result.judged(experiment, stored)
        told = any("by the rule of its day" in remark for remark in shown["remarks"])
        assert told or (shown["verdict"], shown["rule"]) == (stored["verdict"], experiment.rule), file.name


@pytest.mark.slow
@pytest.mark.timeout(1800)  # 80 seconds of one core; many times that beside other work
def test_all_as_a_trial_and_once_more_computes_nothing_anew(tmp_path, capsys):
    """Every experiment ends, in a verdict that its own rule gives; what was trained and kept stays as it is."""
    command = ["reproduce", "all", "--smoke", "--json", "--results", str(tmp_path), "--machine.devices", "cpu"]
    assert cli.main(command) == 0
    assert [json.loads(line)["experiment"] for line in capsys.readouterr().out.splitlines()] == NAMES
    for experiment in EXPERIMENTS:
        found = json.loads((tmp_path / "smoke" / f"{experiment.name}.json").read_text())
        assert found["verdict"] in ("reproduced", "not reproduced", "not testable here"), experiment.name
        again = experiment.judge(found["numbers"])
        assert (again.verdict, again.reason) == (found["verdict"], found["reason"]), experiment.name
        assert all((tmp_path / "smoke" / name).is_file() for name in found["figures"])
        for rows in found["tables"].values():
            assert len({tuple(sorted(row)) for row in rows}) == 1, experiment.name
    before = computed(tmp_path / "smoke" / "runs")
    assert cli.main(command) == 0
    assert computed(tmp_path / "smoke" / "runs") == before
    assert len(before) > 10


def computed(folder):
    """The files of weights, journals and kept measurements with the time at which each was written."""
    kinds = (".safetensors", ".jsonl", ".npy", ".npz")
    files = [path for path in folder.rglob("*") if path.suffix in kinds]
    return {str(path.relative_to(folder)): os.stat(path).st_mtime_ns for path in files}
