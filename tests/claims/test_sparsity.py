"""Zeros and dead units against loops over the maps; the rule against made-up numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet import config, recipes
from alexnet.claims import sparsity
from alexnet.claims.reproduce import reproduce
from alexnet.claims.sparsity import counted, summed
from alexnet.data.loader import Loader, Loading
from alexnet.evaluation.classifier import Classifier
from alexnet.experiments import pictures
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Network

JUDGE = sparsity.EXPERIMENTS[0].judge
LAYERS = ["relu1", "relu2", "relu3", "relu4", "relu5", "relu6", "relu7"]


def test_counts_by_loops(tmp_path):
    prepared = pictures.photographs(tmp_path, train=10, val=10, classes=5)
    network = Network(AlexNetConfig(classes=5, width=1 / 16)).eval()
    network.initialise(0)
    with torch.no_grad():
        network.conv3.bias[1] = -1e9
        network.fc6.bias[7] = -1e9
    classifier = Classifier(network, recipes.named("imagenette").views, prepared.statistics(), prepared.classes)
    shards = prepared.split("val")
    found = counted(classifier, Loader(shards, Loading(batch=4), torch.device("cpu")))
    images = np.empty((len(shards), 3, 256, 256), np.uint8)
    shards.read(np.arange(len(shards)), images)
    stages = classifier.stages(torch.from_numpy(images), LAYERS)
    assert sorted(found) == LAYERS
    for name, stage in stages.items():
        assert found[name].shape == (stage.shape[1], 2)
        for unit in range(stage.shape[1]):
            values = [image[unit].flatten().tolist() for image in stage]
            zeros = sum(value == 0 for image in values for value in image) / sum(map(len, values))
            active = sum(any(value > 0 for value in image) for image in values) / len(values)
            assert found[name][unit].tolist() == pytest.approx([zeros, active])
    rows = {row["layer"]: row for row in summed(found)}
    assert list(rows) == LAYERS
    for name, stage in stages.items():
        assert rows[name]["zeros"] == pytest.approx(float((stage == 0).double().mean()))
        assert rows[name]["dead"] == sum(not bool((stage[:, unit] > 0).any()) for unit in range(stage.shape[1]))
        assert rows[name]["units"] == stage.shape[1]
    assert rows["relu3"]["dead"] >= 1 <= rows["relu6"]["dead"]


def numbers(*dead, images=1000, units=100, error=0.5):
    seeds = [
        [{"layer": "relu1", "units": units, "dead": 0}, {"layer": "relu6", "units": units, "dead": d}] for d in dead
    ]
    return {"images": images, "seeds": seeds, "error": error, "guessing": 0.9}


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (numbers(0, 0), "reproduced"),
        (numbers(2, 0), "reproduced"),
        (numbers(0, 0, images=40), "reproduced"),
        (numbers(2, 1), "not testable here"),
        (numbers(6, 5), "not reproduced"),
        (numbers(50), "not reproduced"),
        (numbers(6, 5, images=299), "not testable here"),
        *((numbers(dead, error=0.82), "not testable here") for dead in (1, 50)),
    ],
)
def test_the_rule(given, verdict):
    found = JUDGE(given)
    assert found.verdict == verdict
    if verdict != "reproduced":
        assert ("relu6" in found.reason) == (given["error"] < 0.81)


@pytest.mark.parametrize("named", ["imagenette", "paper-2012"])
def test_it_trains_on_undivided_input_and_changes_no_more_than_the_rate(named):
    base = recipes.named(named)
    found = sparsity.undivided(SimpleNamespace(base=base))
    assert found.views.divisor == 1.0
    changed = {field for field, _, _ in config.difference(base, found)}
    assert changed == ({"views.divisor", "optimiser.learning_rate"} if named == "imagenette" else set())
    assert found.optimiser.learning_rate == (0.002 if named == "imagenette" else base.optimiser.learning_rate)


@pytest.mark.slow
def test_smoke(tmp_path):
    result = reproduce("sparsity", results=tmp_path, smoke=True)
    assert [row["layer"] for row in result["numbers"]["seeds"][1]] == LAYERS
    assert 0 < result["numbers"]["seeds"][0][0]["zeros"] < 1
    assert "not divided" in result["remarks"][1]
    assert {entry["recipe"]["views"]["divisor"] for entry in result["recipes"].values()} == {1.0}
    assert result["numbers"]["guessing"] == 0.9
    calls = []
    assert reproduce("sparsity", results=tmp_path, smoke=True, say=calls.append)["numbers"] == result["numbers"]
    assert calls == []
