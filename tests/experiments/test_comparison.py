"""Differences by loops, intervals by simulation and by SciPy, and the rule fed with each of its verdicts."""

import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from alexnet.experiments.comparison import (
    Difference,
    all_apart,
    apart,
    apart_gaps,
    guessing,
    helps,
    of_values,
    paired,
    student,
    unlearnt,
)


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
    for freedom in np.arange(1, 30, 0.05):
        assert 0.995 < student(freedom) / stats.t.ppf(0.975, freedom) < 1.03
    assert student(0) == math.inf


def between(one, other, fixed=(False, False)):
    """The parts of the standard error by loops: each run's mean, each image's mean, and what both together make."""
    squares, freedoms, together = [], [], 0.0
    for runs, alone in zip((one, other), fixed, strict=True):
        means = [float(run.mean()) for run in runs]
        squares.append(0.0 if alone else statistics.variance(means) / len(runs))
        freedoms.append(len(runs) - 1)
        if len(runs) > 1:
            images = len(runs[0])
            within = statistics.mean(statistics.variance(float(run[i]) for run in runs) for i in range(images))
            together += (within - statistics.variance(means)) * images / (images - 1) / len(runs)
    gaps = [statistics.mean(r[i].item() for r in one) - statistics.mean(r[i].item() for r in other) for i in range(40)]
    freedom = sum(squares) ** 2 / sum(q**2 / f for q, f in zip(squares, freedoms, strict=True) if q)
    return math.sqrt(sum(squares)), math.sqrt(max(0.0, statistics.pvariance(gaps) - together) / 40), freedom


def test_apart_by_loops():
    without, with_ = errors(0, seeds=4), errors(1)
    found = apart(without, with_)
    means = [statistics.mean(float(run.mean()) for run in runs) for runs in (without, with_)]
    assert found.mean == pytest.approx(means[0] - means[1])
    assert (found.seeds, found.images) == (4, 40)
    assert (found.of_seeds, found.of_images, found.freedom) == pytest.approx(between(without, with_))
    assert found.standard_error == pytest.approx(math.hypot(found.of_seeds, found.of_images))
    freedom = found.freedom * (found.standard_error / found.of_seeds) ** 4
    reach = stats.t.ppf(0.975, freedom) * found.standard_error
    assert (found.low, found.high) == pytest.approx((found.mean - reach, found.mean + reach), rel=0.03)


def test_a_side_that_no_seed_decides_has_the_error_of_its_images():
    rival, networks = errors(2, seeds=1), errors(3)
    found = apart(rival, networks, fixed=(True, False))
    assert (found.of_seeds, found.of_images, found.freedom) == pytest.approx(between(rival, networks, (True, False)))
    alone = apart(rival, errors(3, seeds=1), fixed=(True, True))
    gaps = (rival[0] - errors(3, seeds=1)[0]).tolist()
    assert alone.reach == pytest.approx(1.96 * statistics.pstdev(gaps) / math.sqrt(40))


def test_one_network_seen_in_two_ways_is_paired():
    without, with_ = errors(0), errors(1)
    found = paired(without, with_)
    gaps = [a - b for a, b in zip(without, with_, strict=True)]
    zero = [torch.zeros(40)]
    assert (found.of_seeds, found.of_images, found.freedom) == pytest.approx(between(gaps, zero, (False, True)))
    assert found.mean == pytest.approx(statistics.mean(float(gap.mean()) for gap in gaps))


def test_gaps_are_test_less_training_errors():
    pairs = [list(zip(errors(s), errors(s + 1, images=25, share=0.2), strict=True)) for s in (0, 10)]
    found = apart_gaps(*pairs)
    gaps = [[float(test.mean() - training.mean()) for test, training in runs] for runs in pairs]
    assert found.mean == pytest.approx(statistics.mean(gaps[0]) - statistics.mean(gaps[1]))
    assert found.of_seeds == pytest.approx(math.sqrt(sum(statistics.variance(runs) / 3 for runs in gaps)))
    parts = [apart([run[part] for run in pairs[0]], [run[part] for run in pairs[1]]) for part in (0, 1)]
    assert found.of_images == pytest.approx(math.hypot(*(part.of_images for part in parts)))


def test_one_spread_of_seeds_for_all_by_loops():
    text, others = errors(0, seeds=2), {"a": errors(1, seeds=2), "b": errors(2, seeds=3)}
    found = all_apart(text, others)
    networks = [[float(run.mean()) for run in runs] for runs in (text, *others.values())]
    square = sum((len(means) - 1) * statistics.variance(means) for means in networks) / (1 + 1 + 2)
    for name, runs in others.items():
        alone = apart(text, runs)
        assert (found[name].mean, found[name].of_images) == (alone.mean, alone.of_images)
        assert found[name].of_seeds == pytest.approx(math.sqrt(square / 2 + square / len(runs)))
        assert found[name].freedom == 4
    assert found["a"].of_seeds != pytest.approx(apart(text, others["a"]).of_seeds)


def test_one_run_of_every_network_has_no_spread():
    found = all_apart(errors(0, seeds=1), {"a": errors(1, seeds=1), "b": errors(2, seeds=1)})
    assert all(gap.reach == math.inf for gap in found.values())
    assert found["a"].mean == apart(errors(0, seeds=1), errors(1, seeds=1)).mean


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("way", ["apart", "one never varies", "paired", "values", "one spread"])
def test_19_of_20_intervals_hold_the_true_difference(seeds, way):
    """Errors are a mean and what seeds, images and both together add; images are alike to both networks, not equal."""
    random, held, trials, count = np.random.default_rng(seeds), 0, 800, 200

    def network(mean, hard, seed):
        own = random.normal(0, 0.2, (seeds, count))
        return list(torch.from_numpy(mean + seed * random.normal(0, 1, (seeds, 1)) + hard + own))

    for _ in range(trials):
        shared = random.normal(0, 0.3, count)
        hards = [shared + random.normal(0, 0.2, count) for _ in range(2)]
        without = network(0.3, hards[0], 0.02)
        with_ = network(0.28, hards[1], 0.0 if way == "one never varies" else 0.02)
        if way == "values":
            found = of_values(random.normal(0.3, 0.02, seeds), random.normal(0.28, 0.02, seeds))
        elif way == "one spread":
            others = {name: network(0.28, hards[1], 0.02) for name in range(9)}
            found = all_apart(without, {**others, "asked": with_})["asked"]
        else:
            found = (paired if way == "paired" else apart)(without, with_)
        held += found.low <= 0.02 <= found.high
    assert 0.91 < held / trials < 0.99  # from two seeds the degrees of freedom are a guess themselves


def test_one_seed_tells_of_one_network_and_not_of_two():
    found = paired(errors(0, 1), errors(1, 1))
    assert found.of_seeds == 0
    assert found.reach == pytest.approx(1.96 * found.of_images)
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
    for found in (apart(wrong, right), apart_gaps(*pairs)):
        assert (found.mean, found.standard_error) == (0.5, math.inf)
        for told in (found, Difference.from_json(found.to_json())):
            verdict = helps(told, smallest, "norm")
            assert (verdict.verdict, "one run of each" in verdict.reason) == ("not testable here", True)
    assert helps(paired(wrong, right), 0.01, "norm").verdict == "reproduced", "one network seen in two ways"


@pytest.mark.parametrize("of_images", [0.0, 0.0005])
@pytest.mark.parametrize(("smallest", "room"), [(0.012, 0.05 / 3), (0.018, 0.018 - 0.05 / 3), (0.05, 0.05 - 0.05 / 3)])
def test_so_many_seeds_would_decide_at_this_mean_and_one_less_would_not(of_images, smallest, room):
    found = replace(of_values([0.31, 0.29, 0.33], [0.30, 0.30, 0.28]), of_images=of_images)
    assert found.room(smallest) == pytest.approx(room)
    needed = found.seeds_for(smallest)

    def reach(seeds):
        of_seeds = found.of_seeds * math.sqrt(3 / seeds)
        return Difference(0, of_seeds, of_images, found.freedom * (seeds - 1) / 2, seeds, 0).reach

    assert reach(needed) < room <= reach(needed - 1)


def test_more_seeds_do_not_tell_what_the_images_cannot():
    found = Difference(0.016, 0.01, 0.01, 4, 3, 500)
    assert found.seeds_for(0.015) is None
    assert "takes more images than these" in helps(found, 0.015, "norm").reason
    assert "takes more than 10,000 seeds" in helps(replace(found, of_seeds=2.0, of_images=0.0), 0.015, "norm").reason


def test_equal_numbers_do_not_tell_that_others_would_be():
    assert of_values([3, 3, 3], [2, 2, 2]).reach == math.inf


def test_as_json_and_back():
    for found in (apart(errors(0), errors(1)), of_values([0.5], [0.3]), of_values([1, 2], [1, 1])):
        numbers = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert Difference.from_json(numbers) == found


@pytest.mark.parametrize(("error", "nothing"), [(0.80, False), (0.81, False), (0.82, True), (0.9, True)])
def test_a_network_that_guesses_has_learnt_nothing(error, nothing):
    found = unlearnt(error, 0.9, "the net with everything")
    assert (found is not None) == nothing
    if found:
        assert (found.verdict, found.reason[:31]) == ("not testable here", "the net with everything errs on")


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
    found = Difference(mean, spread / math.sqrt(3), 0.0, 2, 3, 1000)
    assert helps(found, 0.01, "norm").verdict == verdict


def test_the_reason_tells_numbers_and_the_seeds_it_would_take():
    found = Difference(0.0123, 0.01, 0.0, 2, 3, 1959)
    reason = helps(found, 0.01, "norm").reason
    assert reason.startswith("norm: +1.2 points of top-1 error saved, 95 % from -3.1 to +5.5 (3 seeds, 1959 images)")
    assert f"to decide about +1.0, were this the mean, takes about {found.seeds_for(0.01)} seeds" in reason
    told = helps(Difference(0.5, 0.00708, 0.0, 1, 2, 0), 0.1, "biases of 1", "nats", 1).reason
    assert told == "biases of 1: +0.500 nats saved, 95 % from +0.410 to +0.590 (2 seeds)."


def test_what_one_run_of_each_leaves_unknown_is_said():
    assert Difference(0.0123, 0.004, 0.0, 1, 2, 100).points == "+1.2 ± 0.4 points"
    assert Difference(-0.02, math.inf, 0.0, 1, 1, 100).points == "-2.0 ± unknown points"
