"""Figure 1: when a curve crosses 25 %, which rate is taken, its rule, and a whole run."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alexnet import cli
from alexnet.claims import figure1
from alexnet.claims.figure1 import climb, crossing
from alexnet.experiments import pictures
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import student
from alexnet.files import read_json
from alexnet.sweeps.trial import Trial

(EXPERIMENT,) = figure1.EXPERIMENTS


def numbers(relu=(6.0,), tanh=(36.1,), relu_inside=True, tanh_inside=True, broken=0):
    def net(reached, inside):
        return {"rate": 0.001, "inside": inside, "reached": list(reached), "errors": [[0.4]] * len(reached)}

    found = {"level": 0.25, "cap": 40, "relu": net(relu, relu_inside), "tanh": net(tanh, tanh_inside)}
    found["tanh"]["errors"][:broken] = [[]] * broken
    return found


@pytest.mark.parametrize(
    ("given", "verdict", "reason"),
    [
        ({}, "reproduced", "takes 6.0 times the epochs of the rectifiers (one run of each"),
        ({"relu_inside": False}, "reproduced", "6.0 times"),
        ({"tanh": (None,)}, "reproduced", "more than 6.6 times"),
        ({"tanh": (35.9,)}, "not testable here", "tells only from 6 on, or below 1.5"),
        ({"tanh": (9.1,)}, "not testable here", "tells only from 6 on, or below 1.5"),
        ({"tanh": (8.9,)}, "not reproduced", "1.5 times"),
        ({"tanh": (5.0,), "tanh_inside": False}, "not reproduced", "0.8 times"),
        ({"tanh_inside": False}, "not testable here", "tanh's rate lies"),
        ({"tanh": (8.0,), "relu_inside": False}, "not testable here", "rectifiers' rate lies"),
        ({"relu": (6.0, 8.0), "tanh": (36.0, None)}, "reproduced", "more than 5.4 times"),
        ({"relu": (6.0, 6.2), "tanh": (18.9, 18.7)}, "reproduced", "3.1 times"),
        ({"relu": (6.0, 6.1), "tanh": (16.9, 16.5)}, "not reproduced", "2.8 times"),
        ({"relu": (6.0, 12.0), "tanh": (36.0, 18.0)}, "not testable here", "takes more seeds"),
        ({"relu": (6.0, 9.0), "tanh": (16.9, 16.7)}, "not testable here", "takes more seeds"),
        ({"relu": (None,)}, "not testable here", "did not reach 25%"),
        ({"relu": (6.0, None)}, "not testable here", "did not reach 25%"),
        ({"tanh": (None,), "broken": 1}, "not testable here", "broke"),
        ({"relu": (6.0, 6.2), "tanh": (None, None), "broken": 2}, "not testable here", "broke"),
        ({"relu": (6.0, 6.2), "tanh": (None, 39.0), "broken": 1}, "not testable here", "broke"),
        ({"relu": (None,), "tanh": (None,), "broken": 1}, "not testable here", "did not reach 25%"),
        ({"relu": (20.0,), "tanh": (None,)}, "not testable here", "too low a bound"),
        ({"relu": (20.0, 20.2), "tanh": (None, None)}, "not testable here", "too low a bound"),
    ],
)
def test_each_verdict_is_possible(given, verdict, reason):
    said = EXPERIMENT.judge(numbers(**given))
    assert said.verdict == verdict
    assert reason in said.reason


def test_the_ratio_is_that_of_geometric_means_and_its_interval_students():
    """Two seeds of each: doublings of 2.5 and 3.0 against 5.0 and 5.1, so 2.3 apart, with Welch's freedoms."""
    given = numbers(relu=(2**2.5, 2**3), tanh=(2**5, 2**5.1))
    relu, tanh = 0.125 / 2, 0.005 / 2
    reach = student((relu + tanh) ** 2 / (relu**2 + tanh**2)) * math.sqrt(relu + tanh)
    shown = f"{2**2.3:.1f} times the epochs of the rectifiers (95 % from {2 ** (2.3 - reach):.1f} to "
    assert f"{shown}{2 ** (2.3 + reach):.1f}, 2 seeds" in EXPERIMENT.judge(given).reason


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.5, 0.3, 0.2, 0.1], 2.0),  # half way from epoch 2's middle, 1.5, to epoch 3's, 2.5
        ([0.5, 0.25], 1.5),
        ([0.2], 0.5),
        ([0.5, 0.26], None),
        ([], None),
    ],
)
def test_the_crossing_is_interpolated_between_the_middles_of_epochs(errors, expected):
    assert crossing(errors) == (None if expected is None else pytest.approx(expected))


@dataclass
class FakeNet:
    """Curves of training errors by net and rate; what was trained is written down."""

    curves: dict[tuple[str, float], list[float]]
    trained: list[tuple[str, float, int, int]] = field(default_factory=list)

    def trial(self, base, setting, seed, data, runs, machine, *, stop, say):
        net, rate = base.model.activation, setting["optimiser.learning_rate"]
        lines = []
        for error in self.curves.get((net, rate), [0.9] * 40)[: base.schedule.epochs]:
            lines.append({"training": {"top1_error": error}})
            if stop(lines):
                break
        self.trained.append((net, rate, seed, len(lines)))
        return Trial(setting, base, Path(f"{net}-{rate}-{seed}"), "stopped" if lines else "broken", tuple(lines))


def line(epochs):
    """A curve that is at 25 % in the middle of its epoch number `epochs`, and straight."""
    return [0.25 + 0.02 * (epochs - 1 - number) for number in range(40)]


@pytest.fixture
def measured(monkeypatch, tmp_path):
    def measure(curves, budget):
        net = FakeNet(curves)
        monkeypatch.setattr(figure1, "trial", net.trial)
        bench = Bench(pictures.cifar10(tmp_path, train=50, test=10).path, tmp_path / "runs", budget)
        return EXPERIMENT.measure(bench), net.trained

    return measure


def test_each_net_is_tuned_apart_and_no_rate_trains_longer_than_it_could_win(measured):
    curves = {
        ("relu", 0.001): line(8),
        ("relu", 0.003): line(6),
        ("relu", 0.01): [],  # breaks
        ("tanh", 0.001): line(30),
        ("tanh", 0.0003): line(24),
    }
    found, trained = measured(curves, Budget("full", seeds=2))
    numbers = found.numbers
    assert (numbers["relu"]["rate"], numbers["tanh"]["rate"]) == (0.003, 0.0003)
    assert [numbers[net]["inside"] for net in ("relu", "tanh")] == [True, True]
    assert numbers["relu"]["reached"] == pytest.approx([5.5, 5.5])
    assert numbers["ratio"] == pytest.approx(23.5 / 5.5)
    assert not numbers["at_least"]
    # tanh: 0.001 crosses in epoch 30; 0.003 may not take longer; then 0.0003 crosses in 24, which bounds 0.0001.
    assert [call for call in trained if call[0] == "tanh"] == [
        ("tanh", 0.001, 0, 30),
        ("tanh", 0.003, 0, 30),
        ("tanh", 0.0003, 0, 24),
        ("tanh", 0.0001, 0, 24),
        ("tanh", 0.0003, 0, 24),
        ("tanh", 0.0003, 1, 24),
    ]
    assert found.ours.startswith("4.3 times fewer epochs")
    assert EXPERIMENT.judge(numbers).verdict == "not testable here", "curves that are all equal show no spread"


def test_with_less_than_the_full_budget_rates_are_compared_for_a_third_of_it(measured):
    curves = {("relu", 0.001): line(6), ("tanh", 0.001): [0.8 - 0.001 * n for n in range(40)]}
    found, trained = measured(curves, Budget("reduced", epochs=0.75, seeds=1))
    assert ("tanh", 0.001, 0, 10) in trained
    assert trained[-1] == ("tanh", 0.001, 0, 30)
    assert found.numbers["at_least"]
    assert found.numbers["ratio"] == pytest.approx(29.5 / 5.5)
    assert found.ours.startswith("more than 5.4 times")
    assert any("first 10 epochs" in remark for remark in found.remarks)


@pytest.mark.parametrize(("best", "inside"), [(4, True), (1, True), (0, False), (6, False), (3, True)])
def test_climbing_finds_the_bottom_of_a_valley(best, inside):
    asked = []

    def cost(value):
        asked.append(value)
        return abs(value - best)

    assert climb(range(7), 3, cost) == (best, inside)
    assert len(asked) == len(set(asked)) == max(3, abs(best - 3) + (2 if inside else 1) + 1)


@pytest.mark.slow
def test_smoke_runs_whole_and_is_kept(tmp_path):
    words = ["reproduce", "figure1", "--smoke", "--results", str(tmp_path), "--machine.threads", "1"]
    assert cli.main(words) == 0
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "smoke" / "runs").glob("*/weights.safetensors")}
    assert cli.main(words) == 0
    assert runs == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "smoke" / "runs").glob("*/weights.safetensors")
    }
    result = read_json(tmp_path / "smoke" / "figure1.json")
    assert result["verdict"] == "not testable here"
    assert (tmp_path / "smoke" / "figure1-curves.png").is_file()
