"""Evaluation against plain formulas, ensembles, joined classes, ranks, and the files it writes."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import centre_view, nine_views, ten_views
from alexnet.errors import InputError
from alexnet.evaluation.evaluate import evaluate, write


def plainly(classifier, pixels, show):
    """float64 `[N,K]`: the mean of the softmax over views, one image at a time."""
    rows = []
    classifier.network.eval()
    with torch.no_grad():
        for image in torch.from_numpy(pixels):
            views = show(image[None], classifier.views, classifier.statistics)[0]
            rows.append((classifier.network(views).double() / classifier.temperature).softmax(1).mean(0))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize(("views", "show"), [("centre", centre_view), ("ten", ten_views), ("nine", nine_views)])
def test_agrees_with_formulas_on_plainly_averaged_probabilities(
    make_classifier, make_pictures, make_loader, views, show
):
    parts, pictures = [make_classifier(seed=1), make_classifier(seed=2)], make_pictures(24, 7)
    parts[0].temperature = 2.0
    expected = np.mean([plainly(part, pictures.pixels, show) for part in parts], axis=0)
    pictures.labels[::2] = expected.argmax(1)[::2]
    result = evaluate(parts, make_loader(pictures), views, probabilities=True)
    names = np.arange(7)
    # scikit-learn's own log_loss cuts probabilities off at 2e-16.
    assert result.loss == pytest.approx(-np.log(expected[np.arange(24), pictures.labels]).mean(), rel=1e-5)
    assert result.top1_error == pytest.approx(np.mean(expected.argmax(1) != pictures.labels))
    assert result.top5_error == pytest.approx(1 - top_k_accuracy_score(pictures.labels, expected, k=5, labels=names))
    np.testing.assert_allclose(result.probabilities, expected, atol=2e-6)
    assert (result.images, result.views, result.models) == (24, views, 2)
    assert result.always_one_error == pytest.approx(min(np.mean(pictures.labels != label) for label in names))
    assert "always_one_error" not in result.to_json(), "a run's journal stays as it is"
    assert 0 < result.top1_error < 1


def test_batches_change_only_rounding_and_classes_of_few_are_safe(make_classifier, make_pictures, make_loader):
    classifier, pictures = make_classifier("ab"), make_pictures(50, 2)
    results = [evaluate([classifier], make_loader(pictures, batch)) for batch in (1, 7, 50)]
    assert [r.top1_error for r in results] == [results[0].top1_error] * 3
    assert [r.loss for r in results] == pytest.approx([results[0].loss] * 3)
    assert results[0].top5_error == 0


def test_a_permuted_ensemble_is_realigned(make_classifier, make_pictures, make_loader):
    pictures, names = make_pictures(30, 7), "abcdefg"
    one, other = make_classifier(names, seed=1), make_classifier(names, seed=2)
    before = evaluate([one, other], make_loader(pictures), probabilities=True)
    order = [3, 1, 6, 0, 5, 2, 4]
    state = other.network.whole()
    state |= {f"fc10.{part}": state[f"fc10.{part}"][order] for part in ("weight", "bias")}
    other.network.load_whole(state)
    other.classes = tuple(other.classes[i] for i in order)
    after = evaluate([one, other], make_loader(pictures), probabilities=True)
    torch.testing.assert_close(after.probabilities, before.probabilities)
    assert after.to_json() == pytest.approx(before.to_json())


def test_the_sets_classes_are_joined_by_name(make_classifier, make_pictures, make_loader):
    pictures, classifier = make_pictures(40, 7), make_classifier()
    plain = evaluate([classifier], make_loader(pictures))
    order = [3, 1, 6, 0, 5, 2, 4]
    shuffled = [classifier.classes[i] for i in order]
    pictures.labels = np.array([order.index(label) for label in pictures.labels])
    joined = evaluate([classifier], make_loader(pictures), classes=shuffled)
    assert joined.to_json() == plain.to_json()
    assert (joined.confusion == plain.confusion).all()
    few = [ClassName("g", ""), ClassName("b", "")]
    pictures.labels %= 2
    assert set(evaluate([classifier], make_loader(pictures), classes=few).labels.tolist()) == {6, 1}


def test_what_does_not_fit_is_said(make_classifier, make_pictures, make_loader):
    loader = make_loader(make_pictures(4, 2))
    with pytest.raises(InputError, match=r"different classes .*not common: b, c"):
        evaluate([make_classifier("ab"), make_classifier("ac")], loader)
    with pytest.raises(InputError, match=r"1 of 2 classes that the classifier does not know: zebra"):
        evaluate([make_classifier("ab")], loader, classes=[ClassName("a", ""), ClassName("zebra", "")])
    with pytest.raises(InputError, match="at least one"):
        evaluate([], loader)
    classifier = make_classifier("ab")
    classifier.squaring = Squaring(256)
    with pytest.raises(InputError, match=r"32×32 .* 256×256"):
        evaluate([classifier], loader)
    with pytest.raises(InputError, match="does not know: zebra"):  # that first: another size would not mend it
        evaluate([classifier], loader, classes=[ClassName("a", ""), ClassName("zebra", "")])


def test_a_living_network_keeps_its_mode_and_autocast_is_off(make_classifier, make_pictures, make_loader):
    classifier, loader = make_classifier(), make_loader(make_pictures(20, 7))
    plain = evaluate([classifier], loader)
    classifier.network.train()
    with torch.autocast("cpu", torch.bfloat16):
        result = evaluate([classifier], loader)
    assert classifier.network.training
    assert all(module.training for module in classifier.network.modules())
    assert result.to_json() == plain.to_json()
    assert not result.losses.requires_grad


def test_a_network_that_says_nothing_is_half_right_on_two_classes(make_classifier, make_pictures, make_loader):
    classifier = make_classifier("ab")
    classifier.network.load_whole({n: torch.zeros_like(v) for n, v in classifier.network.whole().items()})
    result = evaluate([classifier], make_loader(make_pictures(11, 2)))
    assert (result.top1_error, result.answered) == (0.5, 1)
    assert result.loss == pytest.approx(np.log(2))


def test_files(make_classifier, make_pictures, make_loader, tmp_path):
    pictures, classifier = make_pictures(60, 6), make_classifier()
    result = evaluate([classifier], make_loader(pictures), probabilities=True)
    write(tmp_path, result)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result.to_json()
    probabilities = np.load(tmp_path / "probabilities.npy")
    assert (probabilities == result.probabilities.numpy()).all()
    with (tmp_path / "images.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        images = list(csv.DictReader(file))
    assert [row["path"] for row in images] == pictures.paths
    assert [row["answer"] for row in images] == ["abcdefg"[i] for i in probabilities.argmax(1)]
    matrix = np.load(tmp_path / "confusion.npy")
    assert matrix.sum() == 60
    assert 1 - np.trace(matrix) / 60 == pytest.approx(result.top1_error)
    with (tmp_path / "confusion.csv").open(newline="") as file:
        assert [[int(v) for v in row[1:]] for row in list(csv.reader(file))[1:]] == matrix.tolist()
    with (tmp_path / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["images"]) for row in rows] == matrix.sum(1).tolist()
    assert rows[6]["top1_error"] == ""
    for i, row in enumerate(rows[:6]):
        assert float(row["top1_error"]) == pytest.approx(1 - matrix[i, i] / matrix[i].sum(), abs=1e-6)
        wrong = np.where(np.arange(7) == i, 0, matrix[i])
        assert int(row["times"]) == wrong.max()


@pytest.mark.slow
def test_one_two_and_three_ranks_count_each_image_once(tmp_path):
    told = {}
    for world in (1, 2, 3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {**os.environ, "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        shared["PYTHONPATH"] = str(Path(__file__).parents[2])
        script, out = Path(__file__).with_name("ranks.py"), tmp_path / str(world)
        processes = [
            subprocess.Popen([sys.executable, str(script), str(out)], env={**shared, "RANK": str(rank)})
            for rank in range(world)
        ]
        assert [process.wait(120) for process in processes] == [0] * world
        told[world] = [json.loads(Path(f"{out}.{rank}").read_text()) for rank in range(world)]
    alone = told[1][0]
    assert (alone["images"], alone["progress"]) == (37, 37)
    for world in (2, 3):
        assert told[world] == [told[world][0]] * world
        for name, value in told[world][0].items():
            assert value == pytest.approx(alone[name], rel=1e-6) if name != "views" else value == alone[name]
