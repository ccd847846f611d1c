"""The text against the code: differences that belong together, what alone is changed, the rule, a whole run."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet import cli, config, recipes
from alexnet.claims import text_and_code
from alexnet.claims.text_and_code import groups, patient, with_values
from alexnet.experiments.bench import Budget
from alexnet.experiments.comparison import Difference
from alexnet.files import read_json

(EXPERIMENT,) = text_and_code.EXPERIMENTS
TEXT, CODE = recipes.named("paper-2012"), recipes.named("code-2012")


def differing(a, b):
    return {name for name, _, _ in config.difference(a, b)} - {"name"}


def test_the_differences_together_are_the_code():
    recipe = TEXT
    for fields in groups(TEXT, CODE).values():
        assert differing(recipe, CODE)
        recipe = with_values(recipe, CODE, fields)
    assert replace(recipe, name="code-2012") == CODE


def test_every_difference_is_in_one_group_that_changes_nothing_else():
    found = groups(TEXT, CODE)
    seen = []
    for fields in found.values():
        changed = differing(TEXT, with_values(TEXT, CODE, fields))
        assert changed
        assert all(name in fields or name.split(".")[0] in fields for name in changed)
        seen += changed
    assert len(seen) == len(set(seen))
    assert set(seen) == differing(TEXT, CODE)
    assert len(found) == 9
    assert found["32 images share a crop, stored order"] == ("views.shared", "loader.order")


def test_a_difference_that_is_new_stands_alone():
    other = replace(CODE, optimiser=replace(CODE.optimiser, momentum=0.8))
    assert groups(TEXT, other)["optimiser.momentum"] == ("optimiser.momentum",)
    assert groups(TEXT, TEXT) == {}


def test_a_quarter_of_the_width_doubles_the_first_weights_but_those_of_the_first_layers():
    narrow = recipes.signals_kept(CODE, 0.25)
    assert differing(CODE, narrow) == {
        "model.initialisation.deviation_middle",
        "model.initialisation.deviation_hidden",
    }
    assert narrow.model.initialisation.deviation_middle == pytest.approx(0.06)
    assert narrow.model.initialisation.deviation_hidden == pytest.approx(0.02)
    assert recipes.signals_kept(TEXT, 1.0) == TEXT


@pytest.mark.parametrize(("epochs", "patience"), [(0.2, 2), (0.1, 2), (0.5, 2), (1.0, 5)])
def test_a_shrunk_plateau_waits_for_two_epochs(epochs, patience):
    shrunk = Budget("reduced", epochs=epochs).shrink(patient(TEXT, epochs))
    assert shrunk.schedule.patience == patience
    assert patient(CODE, epochs) == CODE


def numbers(mean=0.0, error=0.003, text=0.4, code=0.4, guessing=0.9):
    alone = {"schedule": {"mean": 0.01}, "colour noise": {"mean": -0.02}}
    whole = Difference(mean, error, 0.0, 100, 3, 5000).to_json()
    return {"whole": whole, "alone": alone, "text": text, "code": code, "guessing": guessing}


@pytest.mark.parametrize(
    ("given", "verdict", "says"),
    [
        ({}, "reproduced", "+0.0 points apart"),
        ({"mean": 0.03}, "not reproduced", "colour noise"),
        ({"mean": -0.03}, "not reproduced", "-3.0 points apart"),
        ({"mean": 0.01}, "not testable here", "reaches across"),
        ({"error": 0.02}, "not testable here", "reaches across"),
        ({"text": 0.85, "code": 0.86}, "not testable here", "learnt nothing"),
        ({"text": 0.9, "code": 0.4, "mean": 0.5}, "not reproduced", "text 90.0%"),
    ],
)
def test_each_verdict_is_possible(given, verdict, says):
    found = EXPERIMENT.judge(numbers(**given))
    assert found.verdict == verdict
    assert says in found.reason


class FakeBench:
    """Ten images, of which as many err as the recipe's fields say; classes 0 and 1 are in the set 7 and 3 times."""

    budget = Budget("reduced", epochs=0.2, width=0.25, seeds=2)
    split = "test"

    def __init__(self):
        labels = np.array([0] * 7 + [1] * 3)
        split = lambda name: SimpleNamespace(labels=labels)  # noqa: E731
        self.prepared = SimpleNamespace(counts={"train": 50}, classes="ab", split=split)

    def seeds(self):
        return range(2)

    def train(self, recipe, seed):
        return recipe, seed

    def evaluate(self, run):
        recipe, seed = run
        saved = 2 * (recipe.views.colour == "code") + (recipe.optimiser.bias_rate == 2.0) + recipe.model.norm_across
        count = 6 - saved - seed
        return SimpleNamespace(top1_errors=torch.tensor([1.0] * count + [0.0] * (10 - count), dtype=torch.float64))


def test_measure_compares_each_difference_with_the_text():
    measured = EXPERIMENT.measure(FakeBench())
    assert measured.numbers["text"] == pytest.approx(0.55)
    assert measured.numbers["code"] == pytest.approx(0.25)
    assert measured.numbers["guessing"] == pytest.approx(0.3)
    assert measured.numbers["whole"]["mean"] == pytest.approx(0.3)
    alone = {name: round(gap["mean"], 6) for name, gap in measured.numbers["alone"].items()}
    assert {name for name, mean in alone.items() if mean} == {"colour noise", "rate and decay of the biases"}
    assert (alone["colour noise"], alone["rate and decay of the biases"]) == (0.2, 0.1)
    (rows,) = measured.tables.values()
    assert len(rows) == 1 + len(alone) + 1
    assert (rows[-1]["fields"], rows[-1]["saved, points"]) == ("model.norm_across", "+10.0")
    assert measured.numbers["border"]["mean"] == pytest.approx(0.1)
    assert rows[0]["difference"] == "all of them: code-2012"
    assert all(row["top-1 error, text"] == pytest.approx(0.55) for row in rows)
    assert any("two at least" in remark for remark in measured.remarks)


def test_one_run_of_each_cannot_tell():
    bench = FakeBench()
    bench.budget = Budget("chosen", epochs=0.2, width=0.25, seeds=1)
    bench.seeds = lambda: range(1)
    found = EXPERIMENT.judge(json.loads(json.dumps({**EXPERIMENT.measure(bench).numbers, "guessing": 0.9})))
    assert (found.verdict, "one run of each" in found.reason) == ("not testable here", True)


@pytest.mark.slow
def test_smoke_runs_whole(tmp_path):
    where = ["--smoke", "--results", str(tmp_path), "--machine.threads", "1"]
    assert cli.main(["reproduce", EXPERIMENT.name, *where]) == 0
    result = read_json(tmp_path / "smoke" / f"{EXPERIMENT.name}.json")
    assert len(result["recipes"]) == 2 * (2 + 9 + 1)
    assert result["verdict"] in ("reproduced", "not reproduced", "not testable here")
    assert (tmp_path / "smoke" / result["figures"][0]).is_file()
