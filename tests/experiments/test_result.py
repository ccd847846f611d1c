"""The file an experiment leaves: judged as it stands, with the recipes, the time and the machine of its runs."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from alexnet import recipes
from alexnet.errors import InputError
from alexnet.experiments import pictures, result
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.experiment import Experiment, Measured, Verdict
from alexnet.files import write_json
from alexnet.training.parts import NotFinite

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
    assert found["device_names"] == ["CPU", "CUDA:0"]
    assert found["training_seconds"] == 7
    assert (found["device"], found["device_name"]) == ("cpu", "CPU")
    assert (found["commit"], found["run_commits"]) == ("now+changes", ["abc0", "abc1", "first"])
    assert found["recipes"]["imagenette"]["changes"] == {"model.width": 0.5}
    assert found["recipes"]["cifar10-11pct"]["recipe"]["model"]["width"] == 0.5


@pytest.fixture
def several(tmp_path):
    """Writes a result of so much of a set of so many images and tells what was said."""

    def write(value, seeds=3, epochs=1.0, width=1.0, train=100, elsewhere=(), name="set"):
        said = []
        budget = Budget("chosen", epochs, width, seeds)
        bench = Bench(tmp_path / name, tmp_path / "runs", budget, say=said.append, elsewhere=set(elsewhere))
        classes, counts = [None] * 2, {"train": train}
        prepared = {"path": bench.data, "fingerprint": "f", "note": "", "counts": counts, "classes": classes}
        bench.__dict__["prepared"] = SimpleNamespace(**prepared)
        wanted = replace(experiment(), needs="photographs")
        measured = Measured({"difference": value}, "", {"errors": Figure(figsize=(1, 1))})
        if value is None:
            measured = result.broken(NotFinite("it broke"))
        return result.write(tmp_path, wanted, bench, measured, 1.0), said

    return write


@pytest.mark.parametrize(
    ("less", "words", "file"),
    [
        ({"seeds": 1}, "1 instead of 3 seed(s) here", "mine-smaller-1-seed"),
        ({"epochs": 0.5}, "0.5 instead of 1 of the epochs here", "mine-smaller-3-seeds-0.5-epochs"),
        ({"width": 1 / 8, "seeds": 5}, "0.125 instead of 1 of the width", "mine-smaller-5-seeds-0.125-width"),
        ({"train": 99}, "99 instead of 100 training images", "mine-smaller-3-seeds"),
        ({"elsewhere": ()}, "0 instead of 1 other set(s)", "mine-smaller-3-seeds"),
    ],
)
def test_a_fuller_result_stays_and_a_smaller_one_lies_beside_it(several, tmp_path, less, words, file):
    several(1, elsewhere=("more",))
    second, said = several(2, **{"elsewhere": ("more",), **less})
    (line,) = said
    assert words in line
    assert line.endswith(f"this result is in {file}.json.")
    assert result.read(tmp_path, "mine")["numbers"]["difference"] == 1
    assert result.smaller(tmp_path, "mine") == [json.loads((tmp_path / f"{file}.json").read_text())]
    assert second["numbers"]["difference"] == 2
    assert second["figures"] == [f"{file}-errors.png"]
    assert (tmp_path / "mine-errors.png").is_file()
    assert (tmp_path / f"{file}-errors.png").is_file()


def test_another_set_has_a_result_of_its_own(several, tmp_path):
    several(1)
    fuller, said = several(2, name="other", seeds=9, train=900)
    assert said == [f"{tmp_path / 'mine'}.json is of set and stays; of other it is mine-on-other.json."]
    assert fuller["file"] == "mine-on-other.json"
    less, said = several(3, name="other", seeds=8, train=900)
    assert said[1].endswith("this result is in mine-on-other-smaller-8-seeds.json.")
    assert several(4, name="other", seeds=9, train=900)[0]["file"] == "mine-on-other.json"
    assert result.read(tmp_path, "mine")["numbers"]["difference"] == 1
    assert [found["numbers"]["difference"] for found in result.on_other_sets(tmp_path, "mine")] == [4]
    assert result.smaller(tmp_path, "mine") == [less]
    assert (tmp_path / "mine-on-other-errors.png").is_file()


@pytest.mark.parametrize("more", [{}, {"seeds": 5}, {"train": 200, "epochs": 2.0}, {"elsewhere": ("more",)}])
def test_as_full_a_result_replaces_what_is_there(several, tmp_path, more):
    several(1)
    assert several(2, **more)[1] == []
    assert result.read(tmp_path, "mine")["numbers"]["difference"] == 2
    assert result.smaller(tmp_path, "mine") == []


def test_a_network_that_broke_does_not_replace_a_result(several, tmp_path):
    several(1)
    broken, said = several(None)
    assert broken["file"] == "mine-smaller-3-seeds.json"
    assert "0 instead of 1 whole result(s) here" in said[0]
    assert result.read(tmp_path, "mine")["numbers"]["difference"] == 1


def test_where_nothing_is_trained_nothing_is_fuller(tmp_path):
    for budget in (BUDGET, Budget("chosen", seeds=1)):
        bench = Bench(tmp_path, tmp_path / "runs", budget)
        result.write(tmp_path, experiment(), bench, Measured({"difference": budget.seeds}, ""), 1.0)
    assert result.read(tmp_path, "mine")["numbers"]["difference"] == 1


def test_what_is_no_result_is_written_anew(several, tmp_path):
    (tmp_path / "mine.json").write_text("{")
    several(1)
    assert result.read(tmp_path, "mine")["numbers"]["difference"] == 1


def test_the_sets_note_and_the_fitting_of_rivals_are_in_it(several, tmp_path):
    place = tmp_path / "runs" / "rivals" / "fisher"
    write_json(place / "timing.json", {"sift vectors": {"seconds": 2.5}, "sift model": {"seconds": 4.0}})
    prepared = pictures.photographs(tmp_path, train=10, val=10)
    assert prepared.note == ""
    (prepared.path / "note.txt").write_text("Squashed by\ntheir maker.\n")
    bench = Bench(prepared.path, tmp_path / "runs", BUDGET, rivals={place, tmp_path / "deleted"})
    found = result.write(
        tmp_path, replace(experiment(), needs="photographs"), bench, Measured({"difference": 1}, ""), 1
    )
    assert found["data"]["note"] == "Squashed by their maker."
    assert found["fitting_seconds"] == 6.5
    assert found["data"]["fingerprint"] == prepared.fingerprint


@pytest.mark.parametrize(
    ("tuned", "plateau", "split", "words"),
    [
        (True, False, "val", ["Learning rates were chosen on the validation images"]),
        (False, True, "val", ["Drops of the rate were timed on the validation images"]),
        (True, True, "val", ["Learning rates were chosen and drops of the rate were timed on the validation images"]),
        (True, True, "test", []),
        (False, False, "val", []),
    ],
)
def test_what_was_chosen_on_the_images_that_errors_are_of_is_told(tmp_path, tuned, plateau, split, words):
    used = {"a": recipes.named("paper-2012" if plateau else "code-2012")}
    bench = Bench(tmp_path, tmp_path / "runs", BUDGET, used=used, tuned=tuned)
    bench.__dict__["prepared"] = SimpleNamespace(counts={split: 1})
    found = result.write(tmp_path, experiment(), bench, Measured({"difference": 1}, "", remarks=("first",)), 1)
    first, *told = found["remarks"]
    assert (first, len(told)) == ("first", len(words))
    assert all(line.startswith(word) for line, word in zip(told, words, strict=True))


def test_the_scale_in_words():
    for budget, words in (
        (Budget("full"), "3 seeds"),
        (Budget("reduced", 0.075, 1 / 8, 1), "1 seed, 0.075 of the epochs, 0.125 of the width"),
    ):
        assert result.scale({"budget": vars(budget)}) == words


def test_what_is_no_result_is_refused(tmp_path):
    assert result.read(tmp_path, "mine") is None
    write_json(tmp_path / "mine.json", {"experiment": "another"})
    with pytest.raises(InputError, match="not the result of mine; `alexnet reproduce mine` writes it anew"):
        result.read(tmp_path, "mine")


def test_an_old_verdict_is_shown_as_todays_rule_judges_it_and_told_of(tmp_path):
    written(tmp_path, Measured({"difference": 1}, "", remarks=("first",)))
    found = result.read(tmp_path, "mine")
    assert result.judged(experiment(), found) == found
    stricter = replace(
        experiment(), rule="above 2", judge=lambda n: Verdict("not reproduced", f"{n['difference']} < 2")
    )
    today = result.judged(stricter, found)
    assert (today["verdict"], today["reason"], today["rule"]) == ("not reproduced", "1 < 2", "above 2")
    told = "Judged reproduced by the rule of its day; today's, given here, says not reproduced."
    assert today["remarks"] == ["first", told]
    assert result.judged(replace(experiment(), rule="> 0"), found)["remarks"][-1].endswith("says the same.")
    other = replace(experiment(), rule="another", judge=lambda n: Verdict("reproduced", n["absent"]))
    kept = result.judged(other, found)
    assert (kept["verdict"], kept["reason"], kept["rule"]) == ("reproduced", "1", "above 0")
    assert kept["remarks"][-1].startswith("Judged by the rule of its day, given here")


def test_rates_chosen_on_the_images_that_errors_are_of_are_told_of(tmp_path):
    for tuned, split, count in ((True, "val", 1), (True, "test", 0), (False, "val", 0)):
        bench = Bench(tmp_path, tmp_path / "runs", BUDGET, tuned=tuned)
        bench.__dict__["prepared"] = SimpleNamespace(counts={split: 1})
        found = result.write(tmp_path, experiment(), bench, Measured({"difference": 1}, ""), 1.0)
        assert len(found["remarks"]) == count
