"""Section 3.3 on CIFAR-10: what its nets differ in, its rule, and a whole run."""

from types import SimpleNamespace

import pytest
import torch

from alexnet import cli, config
from alexnet.claims import section33
from alexnet.experiments.comparison import Difference
from alexnet.files import read_json

(EXPERIMENT,) = section33.EXPERIMENTS


def difference(**given):
    usual = {"mean": 0.02, "of_seeds": 0.003, "of_images": 0.0, "freedom": 4, "seeds": 3, "images": 10_000}
    return Difference(**{**usual, **given})


def numbers(error=0.11, **given):
    return {"error": error, "norms alone": difference(**given).to_json()}


def test_the_judged_nets_differ_in_their_norms_alone():
    full, bare, published = section33.nets().values()
    assert config.difference(full, bare) == [("model.norm", True, False)]
    changed = {field for field, _, _ in config.difference(full, published)} - {"name"}
    assert changed == {"model.net", "optimiser.decays.fc10"}


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, "reproduced"),
        ({"mean": 0.0}, "not reproduced"),
        ({"mean": -0.02}, "not reproduced"),
        ({"mean": 0.005, "of_seeds": 0.0005}, "not reproduced"),
        ({"of_seeds": 0.02}, "not testable here"),
        ({"error": 0.6}, "not testable here"),
    ],
)
def test_each_verdict_is_possible(given, verdict):
    assert EXPERIMENT.judge(numbers(**given)).verdict == verdict


ERRORS = {
    ("11pct", True): ([0, 0, 0, 1], [0, 0, 1, 0]),
    ("11pct", False): ([1, 0, 0, 1], [0, 1, 1, 0]),
    ("13pct", True): ([1, 1, 0, 1], [1, 1, 1, 0]),
}


class FakeBench:
    """Runs are (net, seed); the nets' images err as written here."""

    def seeds(self):
        return range(2)

    def train(self, recipe, seed):
        return recipe.model, seed

    def evaluate(self, run, views="centre"):
        model, seed = run
        errors = torch.tensor(ERRORS[model.net, model.norm][seed], dtype=torch.float64)
        if views == "centre":  # told from nine views by being 1 everywhere
            errors = torch.ones(4, dtype=torch.float64)
        return SimpleNamespace(top1_error=float(errors.mean()), top1_errors=errors)


def test_measure_takes_nine_views_and_pairs_seeds():
    measured = EXPERIMENT.measure(FakeBench())
    assert measured.numbers["error"] == 0.25
    assert measured.numbers["norms alone"]["mean"] == pytest.approx(0.25)
    assert measured.numbers["as published"]["mean"] == pytest.approx(0.5)
    assert measured.numbers["norms alone, centre"]["mean"] == 0.0
    assert [row["nine views"] for row in measured.tables["Test errors"]] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert "50.0% without, 25.0% with: +25.0 points" in measured.ours


@pytest.mark.slow
def test_smoke_runs_whole_and_is_kept(tmp_path, capsys):
    assert (
        cli.main(["reproduce", EXPERIMENT.name, "--smoke", "--results", str(tmp_path), "--machine.threads", "1"]) == 0
    )
    result = read_json(tmp_path / "smoke" / f"{EXPERIMENT.name}.json")
    assert len(result["recipes"]) == 6
    assert result["verdict"] == "not testable here"
