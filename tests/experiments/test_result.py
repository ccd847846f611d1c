"""The file an experiment leaves: judged as it stands, with the recipes, the time and the machine of its runs."""

import json

import pytest
from matplotlib.figure import Figure

from alexnet import recipes
from alexnet.errors import InputError
from alexnet.experiments import result
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.experiment import Experiment, Measured, Verdict
from alexnet.files import write_json

BUDGET = Budget("smoke", seeds=2)
SEEN = []


def judge(numbers):
    SEEN.append(numbers)
    return Verdict("reproduced" if numbers["difference"] > 0 else "not reproduced", f"{numbers['difference']}")


def experiment():
    cost = "nothing"
    return Experiment("mine", "3.1", "It helps.", "1 point", "nothing", cost, "above 0", BUDGET, lambda _: None, judge)


def written(folder, measured, used=()):
    bench = Bench(folder, folder / "runs", BUDGET, used=dict(used))
    return result.write(folder, experiment(), bench, measured, 1.26)


def test_the_verdict_is_the_rules_on_the_numbers_in_the_file(tmp_path):
    returned = written(tmp_path, Measured({"difference": 0.5, "all": (1, 2)}, "0.5 points"))
    found = result.read(tmp_path, "mine")
    assert found == json.loads(json.dumps(returned))
    assert SEEN[-1] == found["numbers"] == {"difference": 0.5, "all": [1, 2]}
    assert (found["verdict"], found["reason"]) == ("reproduced", "0.5")
    assert (found["claim"], found["ours"], found["paper"]) == ("It helps.", "0.5 points", "1 point")
    assert (found["data"], found["seconds"], found["training_seconds"]) == (None, 1.3, 0)
    assert written(tmp_path, Measured({"difference": -0.5}, ""))["verdict"] == "not reproduced"


def test_numbers_that_no_file_can_hold_are_a_defect(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        written(tmp_path, Measured({"difference": {1, 2}}, ""))
    assert not list(tmp_path.iterdir())


def test_figures_lie_beside_it(tmp_path):
    found = written(tmp_path, Measured({"difference": 1}, "", {"errors": Figure(figsize=(1, 1))}))
    assert found["figures"] == ["mine-errors.png"]
    assert (tmp_path / "mine-errors.png").read_bytes().startswith(b"\x89PNG")


def test_time_and_machine_are_those_of_the_runs_however_late_it_is_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(result.environment, "commit", lambda: "now+changes")
    used = {}
    for number, (name, device) in enumerate([("imagenette", "cpu"), ("cifar10-11pct", "cuda:0")]):
        run = tmp_path / "runs" / name
        session = {"commit": f"abc{number}", "started": f"2012-01-0{2 - number}", "python": "3", "packages": {}}
        write_json(
            run / "environment.json",
            {"sessions": [{"commit": "first"}, {**session, "device": device, "device_name": device.upper()}]},
        )
        lines = [{"epoch": 1, "seconds": 1.5}, {"epoch": 2, "seconds": 2.0}]
        (run / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        used[name] = Budget("half", width=0.5).shrink(recipes.named(name))
    found = written(tmp_path, Measured({"difference": 1}, ""), used)
    assert found["training_seconds"] == 7
    assert (found["device"], found["device_name"]) == ("cpu", "CPU")
    assert (found["commit"], found["run_commits"]) == ("now+changes", ["abc0", "abc1", "first"])
    assert found["recipes"]["imagenette"]["changes"] == {"model.width": 0.5}
    assert found["recipes"]["cifar10-11pct"]["recipe"]["model"]["width"] == 0.5


def test_what_is_no_result_is_refused(tmp_path):
    assert result.read(tmp_path, "mine") is None
    write_json(tmp_path / "mine.json", {"experiment": "another"})
    with pytest.raises(InputError, match="not the result of mine; `alexnet reproduce mine` writes it anew"):
        result.read(tmp_path, "mine")
