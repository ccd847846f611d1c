"""Schedules as functions of the epoch and the validation errors."""

import math

import pytest

from alexnet import recipes
from alexnet.errors import InputError
from alexnet.training.schedule import Milestone, Milestones, Plateau

STALL = [0.5, 0.4, 0.4, 0.4]


def test_plateau_drops_three_times_then_ends():
    plateau = Plateau(patience=2, threshold=0.001)
    assert plateau.factors(2, STALL[:3]).weights == 1.0
    assert plateau.factors(3, STALL).weights == pytest.approx(0.1)
    errors = STALL + [0.3, 0.3, 0.3] + [0.2, 0.2, 0.2]
    assert plateau.factors(9, errors).weights == pytest.approx(0.001)
    assert not plateau.finished(errors)
    assert plateau.finished([*errors, 0.2, 0.2])
    assert plateau.factors(11, [*errors, 0.2, 0.2]).biases == pytest.approx(0.001)


def test_plateau_ignores_improvements_below_the_threshold():
    slow = [0.5 - 0.0005 * i for i in range(4)]
    assert Plateau(patience=3, threshold=0.001).stalls(slow) == 0
    assert Plateau(patience=3, threshold=0.002).stalls(slow) == 1


def test_plateau_ends_at_the_last_epoch():
    assert Plateau(epochs=3).finished([0.5, 0.4, 0.3])


def test_the_authors_run():
    """Fact sheet 2.1: rates 23, 51, 78 of 93; noise off and conv1 slow at 68, frozen at 72; bias 0.02 then 0.002."""
    recipe = recipes.code_2012()

    def at(epoch):
        return recipe.schedule.factors(epoch, ())

    assert recipe.schedule.epochs == 93
    for epoch, rate in [(0, 0.01), (22.99, 0.01), (23, 0.001), (51, 1e-4), (77, 1e-4), (78, 1e-5), (92, 1e-5)]:
        assert recipe.optimiser.learning_rate * at(epoch).weights == pytest.approx(rate)
    biases = recipe.optimiser.learning_rate * recipe.optimiser.bias_rate
    assert biases * at(0).biases == pytest.approx(0.02)
    for epoch in (23, 51, 78, 92):
        assert biases * at(epoch).biases == pytest.approx(0.002)
    assert (at(67.9).colour, at(68).colour) == (1.0, 0.0)
    conv1 = [0.01 * at(e).weights * at(e).layers.get("conv1", 1.0) for e in (67, 68, 72, 80)]
    assert conv1 == pytest.approx([1e-4, 1e-5, 0, 0])


def test_warm_up_and_decay_to_zero():
    cosine = Milestones(10, warmup=2, decay="cosine")
    assert cosine.factors(0, ()).weights == pytest.approx(0.1)
    assert cosine.factors(1, ()).weights == pytest.approx(0.55)
    assert cosine.factors(2, ()).weights == pytest.approx(1.0)
    assert cosine.factors(6, ()).weights == pytest.approx(0.5)
    assert cosine.factors(4, ()).weights == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert cosine.factors(10, ()).biases == pytest.approx(0.0, abs=1e-12)
    assert Milestones(10, decay="linear").factors(2.5, ()).weights == pytest.approx(0.75)
    assert not cosine.finished([0.1] * 100)


def test_milestones_out_of_order_are_refused():
    with pytest.raises(InputError, match="order"):
        Milestones(10, (Milestone(5), Milestone(3)))


@pytest.mark.parametrize("schedule", [Plateau, Milestones])
def test_impossible_spans_are_refused(schedule):
    with pytest.raises(InputError, match="epochs"):
        schedule(epochs=0)
    with pytest.raises(InputError, match="warmup"):
        schedule(epochs=3, warmup=3)
