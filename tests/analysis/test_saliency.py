"""The gradient against finite differences in float64, Grad-CAM against its formula in loops."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from alexnet import drawing
from alexnet.analysis.saliency import evidence, grad_cam, gradient, last_maps, named_class, saliency
from alexnet.data.shards import ClassName
from alexnet.data.views import centre_view
from alexnet.errors import InputError
from alexnet.model.network import facts


def pictures(classifier, count=2):
    generator = torch.Generator().manual_seed(3)
    side = classifier.size
    return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def views_of(classifier, images):
    return centre_view(images, classifier.views, classifier.statistics)[:, 0].double()


@pytest.mark.parametrize("name", ["small", "towers"])
def test_the_gradient_is_that_of_finite_differences(name, request):
    classifier = copy.deepcopy(request.getfixturevalue(name))
    classifier.network.double()
    images = pictures(classifier)
    found = gradient(classifier, images, [2, 0])
    assert found.shape == (2, classifier.size, classifier.size)
    assert found.dtype == np.float32
    edge = (classifier.size - classifier.views.crop) // 2
    divisors = classifier.views.divisor
    divisors = divisors if isinstance(divisors, tuple) else (divisors,) * 3
    step = 1e-6
    with torch.no_grad():
        for picture, label in ((0, 2), (1, 0)):
            for y, x in ((0, 0), (11, 7), (classifier.views.crop - 1, 3)):
                slopes = []
                for channel in range(3):
                    shown = views_of(classifier, images[picture : picture + 1]).repeat(2, 1, 1, 1)
                    shown[0, channel, y, x] += step / divisors[channel]
                    shown[1, channel, y, x] -= step / divisors[channel]
                    logits = classifier.network(shown)[:, label]
                    slopes.append(abs(float(logits[0] - logits[1])) / (2 * step))
                assert found[picture, edge + y, edge + x] == pytest.approx(max(slopes), rel=1e-4, abs=1e-9)


def test_beyond_the_view_nothing_is_seen_and_the_best_label_is_the_default(small):
    images = pictures(small, 20)
    small = copy.deepcopy(small)
    with torch.no_grad():
        # So that no class is every picture's best.
        small.network.get_submodule("fc10").bias -= small.network(views_of(small, images).float()).mean(0)
    best = small.probabilities(images).argmax(1).tolist()
    assert len(set(best)) > 1
    for function in (gradient, grad_cam):
        found = function(small, images)
        np.testing.assert_array_equal(found, function(small, images, best))
        np.testing.assert_allclose(found[5:7], function(small, images[5:7]), rtol=1e-4, atol=1e-7)
        found[:, 4:28, 4:28] = 0
        assert not found.any()


def test_weights_and_mode_are_left_as_they_were(towers):
    classifier = copy.deepcopy(towers)
    classifier.network.train()
    images = pictures(classifier)
    first = gradient(classifier, images, [1, 1])
    assert classifier.network.training
    assert all(parameter.grad is None for parameter in classifier.network.parameters())
    np.testing.assert_array_equal(first, gradient(classifier, images, [1, 1]))


def in_loops(classifier, image, label, stage):
    """Grad-CAM of one image as the formula reads, and its interpolation pixel by pixel."""
    shown = centre_view(image[None], classifier.views, classifier.statistics)[:, 0]
    names = [row.name for row in classifier.network.rows]
    values = shown
    for name in names:
        values = classifier.network.get_submodule(name)(values)
        if name == stage:
            maps = values = values.detach().requires_grad_()
    values[0, label].backward()
    kept = maps.detach()
    kernels, height, width = kept.shape[1:]
    small = np.zeros((height, width))
    for k in range(kernels):
        weight = float(maps.grad[0, k].sum()) / (height * width)
        for y in range(height):
            for x in range(width):
                small[y, x] += weight * float(kept[0, k, y, x])
    small = np.maximum(small, 0)
    field = next(fact.field for fact in facts(classifier.network.config) if fact.name == stage)
    crop, side = classifier.views.crop, classifier.size
    result, edge = np.zeros((side, side)), (side - crop) // 2
    centres = [field.start + p * field.stride + (field.size - 1) / 2 for p in range(height)]
    for y in range(crop):
        lines = [np.interp(y, centres, small[:, column]) for column in range(width)]
        for x in range(crop):
            result[edge + y, edge + x] = np.interp(x, centres, lines)
    return result


@pytest.mark.parametrize(("name", "stage"), [("small", "relu2"), ("towers", "relu5"), ("towers", "pool1")])
def test_grad_cam_is_its_formula_in_loops(name, stage, request):
    classifier = request.getfixturevalue(name)
    images = pictures(classifier)
    found = grad_cam(classifier, images, [0, 2], stage)
    assert found.dtype == np.float32
    for picture, label in ((0, 0), (1, 2)):
        expected = in_loops(classifier, images[picture], label, stage)
        assert expected.max() > 0
        np.testing.assert_allclose(found[picture], expected, atol=1e-4 * expected.max())


def test_the_stage_is_the_last_whose_places_share_weights(small, towers):
    assert last_maps(towers.network) == "relu5"
    assert last_maps(small.network) == "relu2"
    with pytest.raises(InputError, match="fc6 has no maps, so no places in the picture; relu5 has"):
        grad_cam(towers, pictures(towers), stage="fc6")
    with pytest.raises(InputError, match="no stage 'relu9'"):
        grad_cam(towers, pictures(towers), stage="relu9")


def test_evidence_is_of_the_best_label_and_for_one_picture(small):
    image = pictures(small, 6)[4]
    found = evidence(small, image)
    (answers,) = small.predict(image, top=1)
    assert (found.label, found.probability) == (answers[0][0], pytest.approx(answers[0][1]))
    cam = grad_cam(small, image[None])[0]
    np.testing.assert_allclose(found.map, cam / cam.max() if cam.max() > 0 else cam, rtol=1e-5)
    assert found.map.dtype == np.float32
    np.testing.assert_array_equal(found.pixels, image.permute(1, 2, 0).numpy())


def test_a_class_is_named_by_its_name_or_one_of_its_words(small):
    words = [("n1", "crane, bird"), ("n2", "Crane"), ("n3", "tench, Tinca tinca")]
    classifier = replace(small, classes=tuple(ClassName(*each) for each in words))
    assert [named_class(classifier, text) for text in ("n2", "bird", "tinca Tinca", "crane, bird")] == [1, 0, 2, 0]
    with pytest.raises(InputError, match="several classes are called 'crane'; name one: n1, n2"):
        named_class(classifier, "crane")
    with pytest.raises(InputError, match=r"no class 'trench' .did you mean 'tench'"):
        named_class(classifier, "trench")


def test_the_figure_names_label_probability_and_stage(small):
    images = pictures(small, 3)
    figure = saliency(small, images, names=["a/one.png", "two.png", "three$x$.png"])
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 9
    best = small.predict(images, top=1)
    assert titles[1] == f"gradient of “{best[0][0][0]}” ({best[0][0][1]:.0%})"
    assert titles[::3] == ["one.png", "two.png", "three$x$.png"]
    assert titles[2] == "Grad-CAM at relu2"
    drawing.rendered(figure)
