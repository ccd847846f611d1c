"""Calibration error and risk by coverage against loops."""

import numpy as np
import pytest
import torch

from alexnet.evaluation.reliability import SHARES, reliability, risk_coverage


def columns(images, seed=0, right=None):
    """float64 `[3,N]`: confidences, errors (some of ties), losses."""
    random = np.random.default_rng(seed)
    sure = random.uniform(0.1, 1, images)
    errors = (random.random(images) > (sure if right is None else right)).astype(float)
    errors[random.random(images) < 0.05] = 0.5
    return torch.tensor(np.stack([sure, errors, random.exponential(1, images)]))


def test_the_calibration_error_is_that_of_a_loop():
    rows = columns(500, right=0.4)
    rows[0, :4] = torch.tensor([1.0, 1 / 15, 2 / 15, 0.0], dtype=torch.float64)
    found = reliability(rows, 2.5)
    expected, seen = 0.0, 0
    for place in range(15):
        low, high = place / 15, (place + 1) / 15
        inside = [i for i, sure in enumerate(rows[0].tolist()) if low < sure <= high or (place == 0 and sure == 0)]
        kept = found.bins[place]
        assert (kept.low, kept.high, kept.images) == (low, high, len(inside))
        if inside:
            sure = sum(float(rows[0, i]) for i in inside) / len(inside)
            right = sum(1 - float(rows[1, i]) for i in inside) / len(inside)
            assert (kept.confidence, kept.accuracy) == pytest.approx((sure, right))
            expected += len(inside) / 500 * abs(sure - right)
        seen += len(inside)
    assert seen == 500
    assert found.calibration_error == pytest.approx(expected)
    assert (found.temperature, found.top1_error) == (2.5, float(rows[1].mean()))
    assert found.loss == pytest.approx(float(rows[2].mean()))


def test_exact_probabilities_are_off_by_chance_alone():
    random = np.random.default_rng(1)
    for images in (200, 20_000):
        sure = random.uniform(0.1, 1, images)
        rows = torch.tensor(np.stack([sure, random.random(images) > sure, sure]).astype(float))
        found = reliability(rows)
        assert found.calibration_error == pytest.approx(found.by_chance, rel=0.5)
    assert found.by_chance < 0.01


def test_chance_stays_below_its_limit_in_95_of_100_cases():
    random = np.random.default_rng(2)
    sure = random.uniform(0.1, 1, 50)
    found = reliability(torch.tensor(np.stack([sure, sure, sure])))
    drawn = []
    for _ in range(400):
        gaps = [0.0] * 15
        for probability in sure.tolist():
            place = min(14, int(np.ceil(probability * 15)) - 1)
            gaps[place] += probability - (random.random() < probability)
        drawn.append(sum(map(abs, gaps)) / 50)
    assert np.mean(drawn) == pytest.approx(found.by_chance, rel=0.05)
    assert 0.9 < np.mean([each <= found.by_chance_at_most for each in drawn]) < 0.99


def test_risk_by_coverage_is_that_of_a_loop():
    rows = columns(333)
    sure, errors = rows[0].round(decimals=2), rows[1]  # rounded: many are equally sure, none but 1 between digits
    sure[sure == 1] = 0.999
    for share, row in zip(SHARES, risk_coverage(sure, errors), strict=True):
        for below in sorted(set(sure.tolist()), reverse=True):
            kept = [i for i in range(333) if float(sure[i]) >= below]
            if len(kept) >= share * 333:
                break
        assert row.abstain_below == pytest.approx(below, abs=1.0001e-4)
        assert kept == [i for i in range(333) if float(sure[i]) >= row.abstain_below]
        assert (row.images, row.share) == (len(kept), len(kept) / 333)
        assert row.error == pytest.approx(sum(float(errors[i]) for i in kept) / len(kept))
    assert risk_coverage(sure, errors)[0].images == 333


def test_a_single_image():
    rows = torch.tensor([[0.7], [1.0], [1.2]], dtype=torch.float64)
    assert reliability(rows).calibration_error == pytest.approx(0.7)
    assert {(row.share, row.error) for row in risk_coverage(rows[0], rows[1])} == {(1.0, 1.0)}


def test_a_threshold_has_the_digits_that_it_takes_and_no_more():
    sure = torch.tensor([0.99999999, 0.9999995, 0.9999985, 0.99996, 0.99962, 0.55], dtype=torch.float64)
    rows = risk_coverage(sure, torch.zeros(6, dtype=torch.float64), (0.1, 0.5, 0.6, 0.8, 1.0))
    assert [row.images for row in rows] == [2, 3, 4, 5, 6]
    assert [row.abstain_below for row in rows] == [0.999999, 0.99999, 0.9999, 0.9996, 0.55]
    single = sure.float()  # what predict compares
    assert [int((single.double() >= row.abstain_below).sum()) for row in rows] == [2, 3, 4, 5, 6]


def test_no_error_in_49_pictures_promises_no_zero():
    (row,) = risk_coverage(torch.linspace(0.5, 0.9, 49, dtype=torch.float64), torch.zeros(49).double(), (1.0,))
    assert row.error == 0
    assert row.interval[0] == 0
    assert 0.059 < row.interval[1] < 0.08, "Clopper and Pearson: 0.0593 one-sided, 0.0725 two-sided"
