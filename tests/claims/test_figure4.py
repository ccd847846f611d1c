"""Figure 4: pictures, vectors and shares against loops, the rule against made-up numbers, a smoke run."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet.claims import figure4
from alexnet.claims.figure4 import overlap, pixel_distances, pixels, same_class
from alexnet.claims.reproduce import reproduce
from alexnet.data.views import centre_view
from alexnet.evaluation.classifier import Classifier
from alexnet.experiments import pictures
from alexnet.experiments.comparison import Difference
from alexnet.experiments.sample import Pictures, last_hidden, sample
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Network
from alexnet.recipes import named

JUDGE = figure4.EXPERIMENTS[0].judge


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return pictures.photographs(tmp_path_factory.mktemp("figure4"), train=20, val=10, classes=5)


@pytest.fixture
def val(prepared):
    return sample(prepared.split("val"), 100)


@pytest.fixture
def train(prepared):
    return sample(prepared.split("train"), 100)


def test_pictures_are_those_stored(prepared):
    shards = prepared.split("train")
    some = Pictures(shards, np.array([1, 4, 7]))
    assert np.array_equal(some.images(np.array([2, 0])).numpy(), shards.at([7, 1]))
    assert some.labels.tolist() == shards.labels[[1, 4, 7]].tolist()


def test_all_are_taken_or_as_many_as_are_allowed_from_the_whole_split(prepared):
    shards = prepared.split("train")
    assert sample(shards, 100).places.tolist() == list(range(len(shards)))
    some = sample(shards, 8).places.tolist()
    assert len(set(some)) == 8
    assert some == sorted(some) == sample(shards, 8).places.tolist() != list(range(8))
    assert max(some) < len(shards)


def test_features_are_the_last_hidden_layer_of_the_centre_view(monkeypatch, prepared, val):
    monkeypatch.setattr("alexnet.experiments.sample._BATCH", 4)
    network = Network(AlexNetConfig(classes=5, width=1 / 32)).eval()
    network.initialise(0)
    classifier = Classifier(network, named("imagenette").views, prepared.statistics(), prepared.classes)
    found = last_hidden(classifier, val)
    images = val.images(np.arange(len(val.places)))
    with torch.no_grad():
        shown = centre_view(images, classifier.views, classifier.statistics)[:, 0]
        expected = torch.relu(network.fc7(network.stages(shown, ["drop6"])["drop6"]))
    torch.testing.assert_close(found, expected)
    assert float(found.std()) > 0


def test_pixels_and_their_distances_by_loops(monkeypatch, tmp_path, val, train):
    monkeypatch.setattr("alexnet.experiments.sample._BATCH", 4)
    own, others = pixels(val, 224, tmp_path / "own.npy"), pixels(train, 224, tmp_path / "others.npy")
    image = val.images(np.array([9]))[0, :, 16:240, 16:240]
    assert np.array_equal(own[9], image.flatten().numpy())
    rows = np.array([[0, 3], [5, 5]])
    found = pixel_distances(val, train, rows, 224)
    for query in range(2):
        for place in range(2):
            gap = own[query].astype(int) - others[rows[query, place]].astype(int)
            assert found[query, place] == pytest.approx(math.sqrt(int((gap**2).sum())))


def test_shares_by_loops():
    queries, stored = SimpleNamespace(labels=np.array([0, 1])), SimpleNamespace(labels=np.array([0, 1, 0, 1, 1]))
    one, other = np.array([[0, 1, 2], [0, 2, 3]]), np.array([[2, 0, 4], [1, 4, 3]])
    assert same_class(queries, stored, one).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert overlap(one, other) == pytest.approx((2 + 1) / 6)
    assert overlap(one, one) == 1


def numbers(mean, error=0.01, shared=0.1, spread=0.0, errs=0.5):
    found = Difference(mean, spread, error, 1, 2, 1000).to_json()
    return {"difference": found, "overlap": shared, "nearest": [], "error": errs, "guessing": 0.9}


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (numbers(0.3), "reproduced"),
        (numbers(0.3, shared=0.5), "not reproduced"),
        (numbers(0.05), "not reproduced"),
        (numbers(-0.2), "not reproduced"),
        (numbers(0.09, error=0.02), "not testable here"),
        (numbers(0.3, error=0.2), "not testable here"),
        (numbers(0.3, spread=0.1), "not testable here"),
        (numbers(0.3, errs=0.82), "not testable here"),
        (numbers(-0.2, errs=0.82), "not testable here"),
    ],
)
def test_the_rule(given, verdict):
    assert JUDGE(given).verdict == verdict


@pytest.mark.slow
def test_smoke(tmp_path):
    result = reproduce("figure4", results=tmp_path, smoke=True)
    rows = {row["nearest by"]: row for row in result["tables"]["Six nearest"]}
    assert rows["pixels"]["also nearest by pixels"] == 1
    assert rows["pixels"]["distance in pixels, random = 1"] < 1
    assert rows["drawn at random"]["distance in pixels, random = 1"] == pytest.approx(1)
    least = min(row["distance in pixels, random = 1"] for row in rows.values())
    assert rows["pixels"]["distance in pixels, random = 1"] == least
    gaps = [rows[f"relu7, seed {seed}"]["of the query's class"] for seed in range(2)]
    expected = sum(gaps) / 2 - rows["pixels"]["of the query's class"]
    assert result["numbers"]["difference"]["mean"] == pytest.approx(expected)
    assert len(result["figures"]) == 3
    assert result["numbers"]["guessing"] == 0.9
    assert JUDGE(result["numbers"]).verdict == result["verdict"]
    calls = []
    again = reproduce("figure4", results=tmp_path, smoke=True, say=calls.append)
    assert calls == []
    assert again["numbers"] == result["numbers"]
