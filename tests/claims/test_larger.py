"""More photographs, wider networks: where lines cross, what the rule reads, a whole run."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet import cli, recipes
from alexnet.claims import larger
from alexnet.claims.larger import crossings, judge
from alexnet.experiments import pretraining, rivals
from alexnet.experiments.bench import Budget
from alexnet.experiments.comparison import Difference
from alexnet.files import read_json

DATA, NETS = larger.EXPERIMENTS


def test_lines_cross_where_the_straight_lines_over_the_logarithm_do():
    falling, flat = {0.25: 0.6, 0.5: 0.4, 1.0: 0.3}, {0.25: 0.5, 0.5: 0.5, 1.0: 0.5}
    (said,) = crossings({"a network": falling, "a rival": flat})
    x = math.log2(0.25) + (0.6 - 0.5) / (0.6 - 0.4)
    assert f"Above {2**x:.0%} of the images, a network errs less than a rival" in said
    (other,) = crossings({"a rival": flat, "a network": falling})
    assert other == said
    (apart,) = crossings({"a network": falling, "a better": {share: error - 0.1 for share, error in falling.items()}})
    assert "a better errs less than a network, or as much" in apart
    three = {"a network": falling, "a rival": flat, "a worse": dict.fromkeys(flat, 0.9)}
    assert [sentence.startswith("Nowhere") for sentence in crossings(three)] == [False, True, True]


@pytest.mark.parametrize(
    ("mean", "error", "verdict"),
    [(0.04, 0.01, "reproduced"), (-0.01, 0.005, "not reproduced"), (0.0, 0.004, "not reproduced")]
    + [(0.02, 0.03, "not testable here"), (0.008, 0.002, "not testable here")],
)
def test_each_verdict_is_possible_and_the_last_doubling_decides(mean, error, verdict):
    doublings = [Difference(0.2, 0.0, 0.001, 1, 2, 2000), Difference(mean, 0.0, error, 1, 2, 2000)]
    numbers = {"what": "twice the width", "doublings": [each.to_json() for each in doublings], "guessing": 0.9}
    assert judge({**numbers, "error": 0.85}).verdict == "not testable here", "nothing was learnt"
    found = judge({**numbers, "error": 0.3})
    assert found.verdict == verdict
    assert "twice the width" in found.reason


class FakeBench:
    """Sixteen images; each doubling of share or width makes two fewer err, fine-tuning one fewer still."""

    budget = Budget("reduced", epochs=0.5, width=0.5, seeds=2)
    base = recipes.named("imagenette")
    prepared = SimpleNamespace(
        counts={"train": 800}, classes="abcd", split=lambda name: SimpleNamespace(labels=np.arange(16) % 4)
    )
    split = "val"

    def __init__(self, pretrain=None):
        self.pretrain = pretrain

    def seeds(self):
        return range(2)

    def train(self, recipe, seed, *, start=None, data=None):
        if start is not None:
            assert (recipe.name, start.parent.name) == ("finetuning", f"on-{self.pretrain}-{seed}")
        path = Path(f"on-{data}-{seed}")
        return SimpleNamespace(recipe=recipe, path=path, tuned=start is not None)

    def evaluate(self, run):
        doublings = math.log2(run.recipe.loader.share) + math.log2(run.recipe.model.width)
        count = round(8 - 2 * doublings - run.tuned)
        return SimpleNamespace(top1_errors=torch.tensor([1.0] * count + [0.0] * (16 - count), dtype=torch.float64))


def test_the_errors_of_every_share_and_the_last_doubling(monkeypatch):
    fitted = rivals.Rivalled(torch.tensor([1.0] * 11 + [0.0] * 5, dtype=torch.float64), 0.0, 100)
    monkeypatch.setattr(rivals, "measured", lambda bench, rival, share: fitted)
    monkeypatch.setattr(pretraining, "learnt", lambda bench: (0.75, 0.995))
    measured = DATA.measure(FakeBench(Path("other")))
    assert measured.numbers["errors"]["from scratch"] == {"0.125": 14 / 16, "0.25": 12 / 16, "0.5": 10 / 16, "1": 0.5}
    assert measured.numbers["errors"]["pretrained on another set"]["0.125"] == 13 / 16
    assert measured.numbers["errors"]["Fisher vectors"]["1"] == 11 / 16
    assert [round(doubling["mean"], 6) for doubling in measured.numbers["doublings"]] == [0.125] * 3
    (rows,) = measured.tables.values()
    assert [row["of"] for row in rows] == ["100 images", "200 images", "400 images", "800 images"]
    images = 1.96 * math.sqrt(11 / 16 * 5 / 16 / 16)
    assert rows[0]["± 95 %, Fisher vectors"] == pytest.approx(images), "no seed decides a rival"
    assert rows[0]["± 95 %, from scratch"] < rows[3]["± 95 %, from scratch"], "of alike runs, over images alone"
    assert any("Above 35% of the images, from scratch errs less than Fisher vectors" in r for r in measured.remarks)
    assert any(
        "Pretrained on other, with a sixth convolution, the network errs on 75.0%" in r for r in measured.remarks
    )


def test_fisher_vectors_of_fewer_images_than_the_share_are_told_of(monkeypatch):
    fitted = rivals.Rivalled(torch.tensor([1.0] * 11 + [0.0] * 5, dtype=torch.float64), 0.0, 300)
    monkeypatch.setattr(rivals, "measured", lambda bench, rival, share: fitted)
    monkeypatch.setattr(rivals, "_IMAGES", 300)
    told = [remark for remark in DATA.measure(FakeBench()).remarks if "300 images only" in remark]
    assert [remark.split()[4] for remark in told] == ["0.5", "1"]


def test_lines_without_their_data_or_packages_are_left_out(monkeypatch):
    monkeypatch.setattr(rivals, "measured", lambda bench, rival, share: "baselines need the package kornia.")
    measured = DATA.measure(FakeBench())
    assert list(measured.numbers["errors"]) == ["from scratch"]
    assert not any("Nowhere" in remark for remark in measured.remarks)
    assert any("--pretrain-data" in remark for remark in measured.remarks)
    assert any("kornia" in remark for remark in measured.remarks)


def test_widths_are_shares_of_the_budgets():
    measured = NETS.measure(FakeBench())
    assert measured.numbers["errors"]["from scratch"] == {"0.25": 12 / 16, "0.5": 10 / 16, "1": 0.5}
    (rows,) = measured.tables.values()
    assert [row["of"].split()[0] for row in rows] == ["0.125", "0.25", "0.5"]
    assert len(measured.numbers["doublings"]) == 2


@pytest.mark.slow
def test_smoke_runs_whole(tmp_path):
    where = ["--smoke", "--results", str(tmp_path), "--machine.threads", "1"]
    for experiment, runs in ((DATA, 4 * 2 * 2 + 2), (NETS, 3 * 2)):
        assert cli.main(["reproduce", experiment.name, *where]) == 0
        result = read_json(tmp_path / "smoke" / f"{experiment.name}.json")
        assert len(result["recipes"]) == runs
        assert (tmp_path / "smoke" / result["figures"][0]).is_file()
