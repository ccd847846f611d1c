"""The page of errors: what it shows, in what order, how large it grows, and names that would break it."""

import base64
import io
import re

import numpy as np
import PIL.Image
import pytest
import torch

from alexnet.analysis.mistakes import mistakes, suspected
from alexnet.data.shards import ClassName
from alexnet.evaluation.evaluate import Evaluation


class Pictures:
    """Random images, as Shards are read."""

    def __init__(self, count, size=24):
        self.size = size
        self.pixels = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), np.uint8)

    def at(self, positions):
        return self.pixels[positions]


def evaluated(images, classes, seed=0, paths=None, words=None, right=0.5):
    """An evaluation of made-up probabilities, and they themselves, float64 `[N,K]`."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    scores = random.normal(0, 2, (images, classes))
    scores[np.arange(images), labels] += np.where(random.random(images) < right, 9, 0)
    odds = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    answers = odds.argmax(1)
    wrong = answers != labels
    names = tuple(ClassName(f"n{i:04d}", words[i] if words else f"class {i}, or so") for i in range(classes))
    found = Evaluation(
        *(1.0, wrong.mean(), 0.0, images, "centre", 1, names),
        labels=torch.tensor(labels),
        answers=torch.tensor(answers),
        losses=torch.tensor(-np.log(odds[np.arange(images), labels])),
        top1_errors=torch.tensor(wrong.astype(float)),
        top5_errors=torch.zeros(images),
        paths=paths or [f"class{label}/{i}.png" for i, label in enumerate(labels)],
        confidences=torch.tensor(odds.max(1)),
        split="val",
    )
    return found, odds


def test_suspicion_is_that_of_a_loop():
    found, odds = evaluated(300, 5)
    labels = found.labels.tolist()
    usual = [np.mean([odds[i, j] for i in range(300) if labels[i] == j]) for j in range(5)]
    margins = {}
    for i in range(300):
        answer = int(np.argmax(odds[i]))
        if answer != labels[i] and odds[i, answer] >= usual[answer]:
            margins[i] = odds[i, answer] - odds[i, labels[i]]
    assert 10 < len(margins) < int((found.answers != found.labels).sum())
    assert suspected(found) == sorted(margins, key=lambda i: -margins[i])


def test_labels_changed_on_purpose_come_first():
    found, odds = evaluated(400, 5, right=1.1)
    changed = [3, 77, 200]
    for i in changed:
        found.labels[i] = (found.answers[i] + 1) % 5
        found.losses[i] = -np.log(odds[i, int(found.labels[i])])
    assert set(suspected(found)[:3]) == set(changed)


def test_a_class_without_images_of_its_own_makes_nobody_suspect():
    found, _ = evaluated(40, 3)
    found.labels[found.labels == 2] = 0
    assert not {2} & {int(found.answers[i]) for i in suspected(found)}


@pytest.mark.parametrize("classes", [2, 1000])
def test_the_page_is_bounded_and_whole(classes):
    found, _ = evaluated(2000, classes, right=0.3)
    page = mistakes(found, Pictures(2000, 200)).decode()
    assert page.index("Suspected wrong labels") < page.index("The worst of each class")
    count = page.count("<img")
    assert count <= 24 + 40 * 4
    assert count == 24 + min(classes, 40) * 4 if classes == 2 else count > 24 + 40
    assert len(page) < 6_000_000
    assert page.count("<h3>") == min(classes, 40)
    assert f"{int((found.answers != found.labels).sum()):,} wrong of 2,000 images of val, centre view" in page
    assert "http" not in page
    assert "<script" not in page
    first = suspected(found)[0]
    assert found.paths[first] in page.split("</figure>")[0]


def test_pictures_are_those_evaluated_and_evidence_stands_beside_them():
    found, _ = evaluated(30, 3)
    pictures, asked = Pictures(30), []

    def evidence(images, labels):
        asked.extend(labels)
        return np.stack([np.eye(24, dtype=np.float32) * label for label in labels])

    page = mistakes(found, pictures, evidence).decode()
    shown = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    first = suspected(found)[0]
    pixels = [np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(data)))) for data in shown[:2]]
    assert (pixels[0].transpose(2, 0, 1) == pictures.pixels[first]).all()
    assert pixels[1].shape == (24, 24, 3)
    assert len(shown) % 2 == 0
    assert sorted(set(asked)) == sorted(
        {int(found.answers[i]) for i in range(30) if found.answers[i] != found.labels[i]}
    )
    assert f"where the evidence for class {int(found.answers[first])} (n" in page


def test_nothing_wrong_and_nothing_at_all():
    found, _ = evaluated(20, 3, right=1.1)
    page = mistakes(found, Pictures(20)).decode()
    assert "No picture is answered wrongly." in page
    assert "<img" not in page


def test_names_do_not_break_the_page():
    paths = [f'<img src=x onerror="alert({i})">\udcff/"&.png' for i in range(30)]
    found, _ = evaluated(30, 2, paths=paths, words=["<script>alert(1)</script>", "$\\frac"], right=0.2)
    page = mistakes(found, Pictures(30)).decode()
    assert "<script" not in page
    assert "onerror=&quot;" in page
    assert 'src=x onerror="' not in page
