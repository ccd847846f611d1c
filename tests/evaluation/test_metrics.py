import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, top_k_accuracy_score

from alexnet.evaluation import metrics


def scores(images, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=generator) * 3
    return logits.log_softmax(1), torch.randint(classes, (images,), generator=generator)


@pytest.mark.parametrize("classes", [2, 7, 100])
def test_agrees_with_scikit_learn(classes):
    logs, labels = scores(300, classes)
    loss, top1, top5, images = metrics.columns(logs, labels).double().sum(1).tolist()
    names, probabilities = np.arange(classes), logs.exp().double().numpy()
    probabilities /= probabilities.sum(1, keepdims=True)
    assert images == 300
    assert loss / 300 == pytest.approx(log_loss(labels.numpy(), probabilities, labels=names), rel=1e-5)
    assert 1 - top1 / 300 == pytest.approx(accuracy_score(labels, probabilities.argmax(1)))
    if classes > 5:
        assert 1 - top5 / 300 == pytest.approx(top_k_accuracy_score(labels.numpy(), probabilities, k=5, labels=names))
    else:
        assert top5 == 0


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_ties_count_as_the_mean_over_every_way_to_break_them(top):
    rows = torch.tensor([[1.0, 1, 0, 0], [2, 2, 2, 2], [3, 1, 1, 1], [0, 1, 1, 2]])
    for label in range(4):
        expected = []
        for row in rows.tolist():
            ways = [
                label not in sorted(range(4), key=lambda j, o=order, r=row: (-r[j], o[j]))[:top]
                for order in itertools.permutations(range(4))
            ]
            expected.append(sum(ways) / len(ways))
        found = metrics.errors(rows, torch.full((4,), label), top)
        assert found.tolist() == pytest.approx(expected)


def test_a_tie_of_m_maxima_is_right_by_one_over_m():
    assert metrics.errors(torch.zeros(1, 8), torch.tensor([3]), 1).item() == pytest.approx(1 - 1 / 8)


def test_what_is_not_a_number_is_an_error_whatever_the_label():
    broken = torch.full((3, 3), math.nan)
    assert metrics.errors(broken, torch.arange(3), 1).tolist() == [1, 1, 1]
    assert metrics.errors(torch.tensor([[0.0, math.nan]]), torch.tensor([0]), 1).item() == 1


def test_columns_are_the_single_measures_and_of_no_images_nothing():
    logs, labels = scores(64, 9)
    columns = metrics.columns(logs, labels)
    assert columns.dtype == torch.float32
    expected = [metrics.losses(logs, labels), metrics.errors(logs, labels, 1), metrics.errors(logs, labels, 5)]
    assert torch.equal(columns, torch.stack([*expected, torch.ones(64)]))
    assert metrics.columns(logs[:0], labels[:0]).shape == (4, 0)


def test_confusion_agrees_with_scikit_learn():
    generator = torch.Generator().manual_seed(1)
    labels, answers = torch.randint(6, (2, 500), generator=generator)
    matrix = metrics.confusion(labels, answers, 7)
    assert matrix.dtype == torch.int64
    assert (matrix.numpy() == confusion_matrix(labels, answers, labels=range(7))).all()


def test_standard_error():
    assert metrics.standard_error(0.2, 656) == pytest.approx(0.0156, abs=1e-4)
    assert metrics.standard_error(0.0, 10) == 0


@pytest.mark.parametrize(("wrong", "images"), [(0, 49), (1, 49), (10, 81), (1119, 5000), (7, 7)])
def test_wilsons_ends_are_the_rates_from_which_the_measured_one_is_196_deviations_away(wrong, images):
    error = wrong / images
    for end, beyond in zip(metrics.wilson(error, images), (0.0, 1.0), strict=True):
        if error == beyond:
            assert end == pytest.approx(beyond)
        else:
            assert abs(end - error) == pytest.approx(1.959964 * (end * (1 - end) / images) ** 0.5)
    assert metrics.wilson(0.0, 0) == (0.0, 1.0)
