"""Temperature against scipy and made-up truths; a classifier's calibration on splits of every kind."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from alexnet.errors import InputError
from alexnet.evaluation import calibration
from alexnet.evaluation.calibration import calibrate, temperature


def made_up(views, images=400, classes=7, sharpness=2.0, seed=0):
    """(logits `[N,V,K]`, labels drawn from the first view's probabilities)."""
    random = np.random.default_rng(seed)
    common = random.normal(0, sharpness, (images, 1, classes))
    logits = common + random.normal(0, 0.5 if views > 1 else 0, (images, views, classes))
    odds = np.exp(log_softmax(logits[:, 0], 1))
    labels = np.array([random.choice(classes, p=p) for p in odds])
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)


@pytest.mark.parametrize("views", [1, 10])
@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_the_temperature_is_scipys(views, scale):
    logits, labels = made_up(views)
    logits = logits * scale
    array, rows = logits.double().numpy(), np.arange(len(labels))

    def loss(log):
        each = log_softmax(array / np.exp(log), axis=2)[rows, :, labels.numpy()]
        return -(logsumexp(each, axis=1) - np.log(views)).mean()

    grid = np.linspace(np.log(scale) - 3, np.log(scale) + 3, 601)
    near = grid[np.argmin([loss(log) for log in grid])]
    exact = np.exp(
        minimize_scalar(loss, bounds=(near - 0.02, near + 0.02), method="bounded", options={"xatol": 1e-9}).x
    )
    assert temperature(logits, labels) == pytest.approx(exact, rel=1e-5)


def test_logits_three_times_too_large_get_temperature_three():
    logits, labels = made_up(1, images=5000)
    one = temperature(logits, labels)
    assert one == pytest.approx(1, abs=0.05)
    assert temperature(logits * 3, labels) == pytest.approx(3 * one, rel=1e-4)


def test_blocks_change_nothing(monkeypatch):
    logits, labels = made_up(10)
    whole, rows = temperature(logits, labels), calibration.seen(logits, labels, 1.7)
    monkeypatch.setattr(calibration, "_BLOCK", 70 * 3)
    assert temperature(logits, labels) == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(calibration.seen(logits, labels, 1.7), rows)
    each = torch.full((400, 1, 1), 1.7, dtype=torch.float64)
    torch.testing.assert_close(calibration.seen(logits, labels, each), rows)


def test_a_part_of_the_images_is_as_if_they_were_alone(monkeypatch):
    logits, labels = made_up(10)
    half = torch.from_numpy(np.random.default_rng(3).permutation(400)[:200])
    alone = temperature(logits[half], labels[half])
    assert alone != temperature(logits, labels)
    assert temperature(logits, labels, images=half) == pytest.approx(alone, rel=1e-5)
    monkeypatch.setattr(calibration, "_BLOCK", 70 * 3)
    assert temperature(logits, labels, images=half) == pytest.approx(alone, rel=1e-5)


def test_batches_are_put_into_one_tensor():
    logits, labels = made_up(10)
    parts = zip(logits.split(150), labels.split(150), strict=True)
    found, truth = calibration._whole(parts, 400)
    assert torch.equal(found, logits)
    assert torch.equal(truth, labels)


def test_images_that_determine_no_temperature_are_refused():
    logits, labels = made_up(1)
    best = logits[:, 0].argmax(1)
    with pytest.raises(InputError, match=r"no answer to 400 images is wrong"):
        temperature(logits, best)
    with pytest.raises(InputError, match=r"no better than guessing"):
        temperature(logits, logits[:, 0].argmin(1))
    with pytest.raises(InputError, match=r"no better than guessing"):
        temperature(torch.ones(5, 1, 3), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(InputError, match=r"not finite"):
        temperature(logits.index_fill(0, torch.tensor([3]), torch.nan), labels)
    with pytest.raises(InputError, match=r"set, val: "):
        temperature(logits, best, "set, val")


def truthful(make_classifier, make_pictures, counts, scale=1.0):
    """(a classifier whose logits are `scale` times what its labels are drawn from, a prepared set)."""
    classifier = make_classifier()
    last = classifier.network.rows[-1].name
    logits = classifier.logits(torch.from_numpy(make_pictures(100, 7, seed=9).pixels))[:, 0]
    common = logits.mean(0)
    state = classifier.network.whole()
    state[f"{last}.bias"] = state[f"{last}.bias"] - common  # or one class would be the answer to every picture
    sharp = {n: v * (2 / (logits - common).std() if n.startswith(last) else 1) for n, v in state.items()}
    classifier.network.load_whole(sharp)
    splits, random = {}, np.random.default_rng(5)
    for seed, (name, count) in enumerate(counts.items()):
        pictures = splits[name] = make_pictures(count, 7, seed=seed)
        odds = classifier.probabilities(torch.from_numpy(pictures.pixels)).double().numpy()
        pictures.labels = np.array([random.choice(7, p=p / p.sum()) for p in odds], dtype=np.int64)
    classifier.network.load_whole({n: v * (scale if n.startswith(last) else 1) for n, v in sharp.items()})
    prepared = SimpleNamespace(
        path="set", size=32, classes=classifier.classes, counts=counts, split=lambda name: splits[name]
    )
    return classifier, prepared


def test_a_network_three_times_too_sure_is_put_right(make_classifier, make_pictures):
    classifier, prepared = truthful(make_classifier, make_pictures, {"val": 500, "test": 700}, scale=3)
    done = []
    found = calibrate(classifier, prepared, progress=done.append)
    assert found.temperature == pytest.approx(3, rel=0.15)
    assert (found.how, found.measured, found.images, len(found.errors)) == ("apart", "test", 500, 700)
    assert sum(done) == 1200
    assert found.before.calibration_error > 0.1
    assert found.after.calibration_error < found.after.by_chance + 0.03
    assert found.after.loss < found.before.loss
    assert found.after.top1_error == found.before.top1_error
    assert classifier.temperature == 1, "calibrate tells and changes nothing"
    # What was fitted does not depend on what the file had before.
    classifier.temperature = 5.0
    assert calibrate(classifier, prepared).temperature == found.temperature
    classifier.temperature = found.temperature
    logs = classifier.log_probabilities(torch.from_numpy(prepared.split("test").pixels))
    torch.testing.assert_close(logs.exp().amax(1).double(), found.confidences, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("counts", [{"val": 300}, {"train": 10, "val": 300, "test": 0}])
def test_without_a_test_split_each_half_has_the_others_temperature(make_classifier, make_pictures, counts):
    classifier, prepared = truthful(make_classifier, make_pictures, counts)
    found = calibrate(classifier, prepared, views="nine")
    assert (found.how, found.measured, len(found.errors)) == ("crosswise", "val", 300)
    parts = list(calibration._logits(classifier, prepared, "val", "nine", lambda _: None))
    logits, labels = (torch.cat(values) for values in zip(*parts, strict=True))
    own = calibration.seen(logits, labels, found.temperature)[2].mean()
    assert float(own) < found.after.loss, "at the one temperature the fit has flattered itself"


def test_a_half_without_errors_makes_it_optimistic_and_that_is_said(make_classifier, make_pictures):
    classifier, prepared = truthful(make_classifier, make_pictures, {"test": 60})
    images = prepared.split("test")
    answers = classifier.probabilities(torch.from_numpy(images.pixels)).argmax(1).numpy()
    images.labels = answers.copy()
    images.labels[0] = (answers[0] + 1) % 7
    found = calibrate(classifier, prepared, "test")
    assert (found.how, found.measured) == ("same", "test")


def test_guesses_are_refused(make_classifier, make_pictures):
    classifier, prepared = truthful(make_classifier, make_pictures, {"val": 140, "test": 20})
    images, last = prepared.split("val"), classifier.network.rows[-1].name
    random = np.random.default_rng(0)
    state = classifier.network.whole()
    classifier.network.load_whole(
        {n: v + 1e3 * (torch.arange(7) == 2) if n == f"{last}.bias" else v for n, v in state.items()}
    )
    images.labels = random.permutation(np.arange(140) % 7)
    with pytest.raises(InputError, match=r"no better than guessing \(the same answer to all of them, error 0\.8571\)"):
        calibrate(classifier, prepared)
    classifier.network.load_whole(state)
    answers = classifier.probabilities(torch.from_numpy(images.pixels)).argmax(1).numpy()
    images.labels = np.where(np.arange(140) % 7 == 0, answers, (answers + 1) % 7)  # right as often as chance
    with pytest.raises(InputError, match=r"no better than guessing \(7 classes, error 0\.8571\)"):
        calibrate(classifier, prepared)


def test_a_temperature_that_makes_the_loss_worse_is_known(make_classifier, make_pictures):
    classifier, prepared = truthful(make_classifier, make_pictures, {"val": 300, "test": 300}, scale=3)
    assert not calibrate(classifier, prepared).worse
    images = prepared.split("test")
    images.labels = classifier.probabilities(torch.from_numpy(images.pixels)).argmax(1).numpy()
    assert calibrate(classifier, prepared).worse, "all is right there: it could be surer"


def test_what_cannot_be_calibrated_is_said(make_classifier, make_pictures):
    classifier, prepared = truthful(make_classifier, make_pictures, {"train": 4, "val": 0})
    with pytest.raises(InputError, match=r"surer of the images that it learnt from"):
        calibrate(classifier, prepared, "train")
    with pytest.raises(InputError, match=r"set has no images in its val split"):
        calibrate(classifier, prepared)
    prepared.size = 256
    with pytest.raises(InputError, match=r"256×256"):
        calibrate(classifier, prepared)
