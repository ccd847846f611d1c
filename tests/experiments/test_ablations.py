"""Networks with and without a part: what differs in their recipes, what is measured, and the rule's verdicts."""

import math

import pytest
import torch

from alexnet import recipes
from alexnet.claims import architecture, dropout, regularisation
from alexnet.claims.architecture import acting_norm
from alexnet.claims.reproduce import find, reproduce
from alexnet.experiments import ablations, pictures
from alexnet.experiments.ablations import Seen, differences, intervals, table
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import Difference
from alexnet.model.alexnet import AlexNet, AlexNetConfig, Initialisation

BUDGET = Budget("smoke", epochs=0.0, width=1 / 32, seeds=2)
COMMON = {"views.colour"}  # the base's own difference from `imagenette`
CHANGES = {
    "tanh": {"model.activation"},
    "towers": {"model.towers", "model.kernels"},
    "communication": {"model.communication", "model.kernels", "model.units"},
    "response-norm": {"model.norm"},
    "overlap": {"model.overlap"},
    "overlap-overfitting": {"model.overlap"},
    "crops": {"views.augment", "views.horizontal"},
    "dropout": {"model.dropout"},
    "weight-decay": {"optimiser.weight_decay"},
    **{f"without-conv{number}": {"model.without"} for number in range(1, 6)},
}
PARTS = {
    experiment.name: experiment
    for experiment in (
        *architecture.UNITS,
        *architecture.STRUCTURE,
        *architecture.LAYERS,
        *regularisation.AUGMENTATION,
        *regularisation.LEARNING,
        *dropout.EXPERIMENTS,
    )
    if getattr(experiment.measure, "func", None) is ablations._measure
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return pictures.photographs(tmp_path_factory.mktemp("pictures"), train=20, val=10)


@pytest.fixture
def bench(prepared, tmp_path):
    return Bench(prepared.path, tmp_path, BUDGET)


def changed_fields(a, b):
    return {difference.field for difference in recipes.difference(a, b)}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_the_only_difference(bench, name):
    part = PARTS[name].measure.keywords["part"]
    with_, without = part.with_(bench), part.without(bench)
    expected = COMMON if name == "colour" else CHANGES[name]
    found = changed_fields(with_, without)
    if name == "response-norm":
        assert found == expected | {"model.norm_alpha"}
        assert changed_fields(bench.base, with_) == {"model.norm_alpha"}
    else:
        assert found == expected
        assert with_ == bench.base


@torch.no_grad()
def test_the_norm_on_divided_input_is_the_norm_on_0_to_255_divided():
    """Activations D times smaller and alpha D squared times larger: the same network, its logits divided by D."""
    deviation, random = 61.7, torch.Generator().manual_seed(0)
    images = (torch.rand(3, 3, 67, 67, generator=random) - 0.5) * 255
    start = Initialisation(weights="he", bias=0.0)

    def logits(alpha, images):
        config = AlexNetConfig(classes=4, input=67, width=1 / 16, norm_alpha=alpha, initialisation=start)
        return AlexNet(config).eval()(images)

    whole, divided = logits(1e-4, images), logits(1e-4 * deviation**2, images / deviation)
    torch.testing.assert_close(divided * deviation, whole, rtol=1e-4, atol=1e-3)
    inactive = logits(1e-4, images / deviation) * deviation
    assert float((inactive - whole).abs().max() / whole.abs().max()) > 0.1, "the norm acts"


def test_alpha_is_scaled_by_the_divisor_of_the_views(bench):
    deviation = bench.prepared.statistics().deviation
    assert acting_norm(bench).model.norm_alpha == pytest.approx(1e-4 * deviation**2)
    bench.__dict__["prepared"] = type("Set", (), {"classes": [None] * 1000})()
    assert acting_norm(bench) == recipes.named("paper-2012")


class FakeEvaluation:
    def __init__(self, errors):
        self.top1_errors = torch.tensor(errors, dtype=torch.float64)
        self.top5_errors = self.top1_errors / 2
        self.top1_error, self.top5_error = float(self.top1_errors.mean()), float(self.top5_errors.mean())
        self.images = len(errors)


def fakes(*pairs):
    return [Seen(FakeEvaluation(test), FakeEvaluation(training)) for test, training in pairs]


def test_four_differences_by_hand():
    full = fakes(([0, 0, 1, 1], [0, 0, 0, 1]), ([0, 1, 0, 1], [0, 0, 0, 0]))
    bare = fakes(([1, 0, 1, 1], [0, 0, 0, 0]), ([1, 1, 1, 1], [0, 0, 1, 0]))
    found = differences(bare, full)
    assert {name: difference.mean for name, difference in found.items()} == pytest.approx(
        {
            "top-1 error": (0.25 + 0.5) / 2,
            "top-5 error": (0.25 + 0.5) / 4,
            "training error": (-0.25 + 0.25) / 2,
            "overfitting": ((0.75 - 0.25) + (0.75 - 0.5)) / 2,
        }
    )
    assert all(1 <= difference.freedom <= 2 for difference in found.values())
    assert found["top-5 error"].images == 4
    assert found["top-5 error"].reach == pytest.approx(found["top-1 error"].reach / 2), "halves of the same errors"
    rows = table({"with": full, "without": bare})
    assert [(row["network"], row["seed"]) for row in rows] == [(n, s) for n in ("with", "without") for s in (0, 1)]
    assert rows[3]["overfitting"] == pytest.approx(0.75)


def numbers(name, mean, spread, error=0.3, bare=0.1):
    effect = PARTS[name].measure.keywords["effect"]
    others = Difference(0, 1, 0, 4, 3, 9)
    found = dict.fromkeys(("top-1 error", "top-5 error", "training error", "overfitting"), others)
    found[effect] = Difference(mean, spread / math.sqrt(3), 0.0, 4, 3, 1959)
    learnt = {"error": error, "guessing": 0.9, "bare training error": bare, "guessing in training": 0.8}
    return {"differences": {k: v.to_json() for k, v in found.items()}, **learnt}


@pytest.mark.parametrize("name", PARTS)
def test_each_verdict_of_each_part(name):
    judge, smallest = PARTS[name].judge, PARTS[name].judge.keywords["smallest"]
    assert judge(numbers(name, 2 * smallest, 0.1 * smallest)).verdict == "reproduced"
    assert judge(numbers(name, 0.1 * smallest, 0.1 * smallest)).verdict == "not reproduced"
    assert judge(numbers(name, -2 * smallest, 0.1 * smallest)).verdict == "not reproduced"
    unsure = judge(numbers(name, 2 * smallest, 20 * smallest))
    assert unsure.verdict == "not testable here"
    assert "takes about" in unsure.reason
    nothing = judge(numbers(name, 2 * smallest, 0.1 * smallest, error=0.85))
    assert (nothing.verdict, "errs on 0.850" in nothing.reason) == ("not testable here", True)
    assert f"{100 * smallest:.1f} points" in PARTS[name].rule


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("times", [2, 0.1])
def test_overfitting_needs_a_network_that_fits(name, times):
    judge, smallest = PARTS[name].judge, PARTS[name].judge.keywords["smallest"]
    fits, not_yet = (judge(numbers(name, times * smallest, 0.1 * smallest, bare=bare)) for bare in (0.39, 0.4))
    assert fits.verdict == ("reproduced" if times == 2 else "not reproduced")
    overfitting = PARTS[name].judge.keywords["effect"] == "overfitting"
    assert (name in ("crops", "dropout", "overlap-overfitting")) == overfitting
    assert (not_yet.verdict == "not testable here") == overfitting
    assert ("does not fit" in not_yet.reason) == overfitting == ("50% or more" in PARTS[name].rule)


def test_the_picture_shows_each_interval_and_the_papers_number():
    found = {
        "top-1 error": Difference(0.01, 0.002, 0.0, 4, 3, 9),
        "overfitting": Difference(0.1, math.inf, 0.0, 1, 1, 9),
    }
    (axes,) = intervals("Without", found, {"top-1 error": 0.017}).axes
    marks = [line for line in axes.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert [list(mark.get_xdata()) for mark in marks] == [[pytest.approx(1.7)]]
    (reach,) = (bars.get_segments() for bars in axes.collections)
    (one,) = [segment for segment in reach if len(segment)]
    assert one[:, 0] == pytest.approx([100 * found["top-1 error"].low, 100 * found["top-1 error"].high])


@pytest.mark.slow
def test_a_trial_of_one_measures_both_networks_alike(tmp_path):
    found = reproduce("response-norm", smoke=True, results=tmp_path)
    rows = found["tables"]["Errors"]
    assert [row["network"][:7] for row in rows] == ["with"] * 2 + ["without"] * 2 + ["with al"] * 2
    by = {name: [r["top-1 error"] for r in rows if r["network"] == name] for name in ("with", "without")}
    expected = sum(by["without"]) / 2 - sum(by["with"]) / 2
    assert found["numbers"]["differences"]["top-1 error"]["mean"] == pytest.approx(expected)
    assert found["numbers"]["guessing"] == 0.9
    bare = [r["training error"] for r in rows if r["network"] == "without"]
    assert found["numbers"]["bare training error"] == pytest.approx(sum(bare) / 2)
    assert len(found["recipes"]) == 6
    assert "128 photographs of 10 classes" in found["remarks"][0]
    assert find("response-norm").judge(found["numbers"]).reason == found["reason"]
