"""Differences by loops, intervals by simulation and by SciPy, and the rule fed with each of its verdicts."""

import json
import math
import statistics

import numpy as np
import pytest
import torch
from scipy import stats

from alexnet.experiments.comparison import Difference, guessing, helps, of_values, paired, paired_gaps, student


def errors(seed, seeds=3, images=40, share=0.4):
    random = np.random.default_rng(seed)
    return [torch.from_numpy((random.random(images) < share).astype(float)) for _ in range(seeds)]


def test_guessing_is_the_error_of_the_most_frequent_class():
    labels = [3, 0, 3, 1, 3, 0]
    most = max(labels.count(label) for label in set(labels))
    for given in (np.array(labels), torch.tensor(labels)):
        assert guessing(given) == pytest.approx(1 - most / len(labels))
    assert guessing(np.array([0, 1])) == 0.5


def test_students_factor_is_scipys():
    for freedom in range(1, 200):
        assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=2e-3)
    assert student(0) == math.inf


@pytest.mark.parametrize("independent", [False, True])
def test_paired_by_loops(independent):
    without, with_ = errors(0), errors(1)
    found = paired(without, with_, independent=independent)
    per_seed = [statistics.mean((a - b).tolist()) for a, b in zip(without, with_, strict=True)]
    per_image = [statistics.mean(float(a[i] - b[i]) for a, b in zip(without, with_, strict=True)) for i in range(40)]
    of_images = statistics.pstdev(per_image) / math.sqrt(40)
    spread = statistics.stdev(per_seed)
    if independent:
        means = [[float(run.mean()) for run in runs] for runs in (without, with_)]
        spread = math.sqrt(sum(statistics.variance(runs) for runs in means))
    assert (found.seeds, found.images, found.freedom) == (3, 40, 4 if independent else 2)
    assert found.mean == pytest.approx(statistics.mean(per_seed))
    assert found.spread == pytest.approx(spread)
    assert found.standard_error == pytest.approx(max(of_images, spread / math.sqrt(3)))
    factor = stats.t.ppf(0.975, found.freedom)
    reach = max(1.96 * found.standard_error, factor * spread / math.sqrt(3))
    assert (found.low, found.high) == pytest.approx((found.mean - reach, found.mean + reach), rel=1e-3)


def test_gaps_are_test_less_training_errors():
    pairs = [list(zip(errors(s), errors(s + 1, images=25, share=0.2), strict=True)) for s in (0, 10)]
    found = paired_gaps(*pairs, independent=True)
    gaps = [[float(test.mean() - training.mean()) for test, training in runs] for runs in pairs]
    assert found.mean == pytest.approx(statistics.mean(gaps[0]) - statistics.mean(gaps[1]))
    assert found.spread == pytest.approx(math.sqrt(sum(statistics.variance(runs) for runs in gaps)))
    of_images = 0.0
    for part, images in ((0, 40), (1, 25)):
        each = [
            statistics.mean(float(a[part][i] - b[part][i]) for a, b in zip(*pairs, strict=True)) for i in range(images)
        ]
        of_images += statistics.pvariance(each) / images
    assert found.standard_error == pytest.approx(max(math.sqrt(of_images), found.spread / math.sqrt(3)))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("independent", [False, True])
def test_19_of_20_intervals_hold_the_true_difference(seeds, independent):
    random, held, trials = np.random.default_rng(seeds), 0, 1500
    for _ in range(trials):
        without, with_ = random.normal(0.3, 0.02, seeds), random.normal(0.28, 0.02, seeds)
        found = of_values(without, with_, independent=independent)
        held += found.low <= 0.02 <= found.high
    assert held / trials == pytest.approx(0.95, abs=0.025)


def test_one_seed_tells_of_one_network_and_not_of_two():
    found = paired(errors(0, 1), errors(1, 1))
    assert (found.spread, found.freedom) == (None, None)
    assert found.reach == pytest.approx(1.96 * found.standard_error)
    alone = of_values([0.5], [0.3])
    assert (alone.standard_error, alone.low) == (math.inf, -math.inf)
    verdict = helps(alone, 0.01, "norm")
    assert verdict.verdict == "not testable here"
    assert "one run of each cannot tell" in verdict.reason


@pytest.mark.parametrize("smallest", [0.01, 0.9])
def test_one_run_of_each_of_two_networks_decides_nothing(smallest):
    """Every image tells the same, yet another seed might not: neither a yes nor a no."""
    right, wrong = [torch.zeros(40)], [torch.ones(40) * 0.5]
    pairs = [[(run[0], run[0] * 0)] for run in (wrong, right)]
    for found in (paired(wrong, right, independent=True), paired_gaps(*pairs, independent=True)):
        assert (found.mean, found.standard_error, found.spread) == (0.5, math.inf, None)
        for told in (found, Difference.from_json(found.to_json())):
            verdict = helps(told, smallest, "norm")
            assert (verdict.verdict, "one run of each" in verdict.reason) == ("not testable here", True)
    assert helps(paired(wrong, right), 0.01, "norm").verdict == "reproduced", "one network seen in two ways"


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("smallest", [0.004, 0.01, 0.03])
def test_so_many_seeds_would_tell_and_one_less_would_not(independent, smallest):
    found = of_values([0.31, 0.29, 0.33], [0.30, 0.30, 0.28], independent=independent)
    needed = found.seeds_for(smallest)

    def reach(seeds):
        freedom = (seeds - 1) * (2 if independent else 1)
        return Difference(0, found.spread / math.sqrt(seeds), found.spread, seeds, 0, freedom).reach

    assert reach(needed) <= smallest < reach(needed - 1)


def test_as_json_and_back():
    for found in (paired(errors(0), errors(1), independent=True), of_values([0.5], [0.3]), of_values([1, 2], [1, 1])):
        numbers = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert Difference.from_json(numbers) == found


@pytest.mark.parametrize(
    ("mean", "spread", "verdict"),
    [
        (0.02, 0.001, "reproduced"),
        (0.005, 0.001, "not reproduced"),
        (-0.02, 0.001, "not reproduced"),
        (0.0, 0.0, "not reproduced"),
        (0.02, 0.05, "not testable here"),
        (-0.02, 0.05, "not testable here"),
        (0.0099, 0.0002, "not testable here"),
    ],
)
def test_the_rule(mean, spread, verdict):
    found = Difference(mean, spread / math.sqrt(3), spread, 3, 1000)
    assert helps(found, 0.01, "norm").verdict == verdict


def test_the_reason_tells_numbers_and_the_seeds_it_would_take():
    found = Difference(0.0123, 0.01, 0.0173, 3, 1959)
    reason = helps(found, 0.01, "norm").reason
    assert reason.startswith("norm: +1.2 points of top-1 error saved, 95 % from -3.1 to +5.5 (3 seeds, 1959 images)")
    assert f"to tell +1.0 takes about {found.seeds_for(0.01)} seeds" in reason
    told = helps(Difference(0.5, 0.01, 0.01, 2, 0), 0.1, "biases of 1", "nats", 1).reason
    assert told == "biases of 1: +0.500 nats saved, 95 % from +0.410 to +0.590 (2 seeds)."


def test_what_one_run_of_each_leaves_unknown_is_said():
    assert Difference(0.0123, 0.004, 0.005, 2, 100).points == "+1.2 ± 0.4 points"
    assert Difference(-0.02, math.inf, None, 1, 100).points == "-2.0 ± unknown points"
