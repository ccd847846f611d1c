"""Units' patches on a network whose answer is known, and against a brute force."""

import numpy as np
import pytest
import torch

from alexnet import drawing
from alexnet.analysis import pictures
from alexnet.analysis.pictures import UNKNOWN, Pictures
from alexnet.analysis.units import block, deepest, exciting, told, units
from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network


def of(images):
    none = np.full(len(images), UNKNOWN)
    return Pictures(
        [str(i) for i in range(len(images))], none, none, "drawn", lambda p: (p, images[torch.from_numpy(p)])
    )


@pytest.fixture
def bright():
    """A classifier whose conv1 has one kernel, the sum of 5 x 5 pixels of the red channel, on views of 24 of 32."""
    network = Network(Cifar10Config(classes=2, width=1 / 64))
    state = {name: torch.zeros_like(value) for name, value in network.whole().items()}
    state["conv1.weight"][0, 0] = 1
    network.load_whole(state)
    classes = (ClassName("a", "a"), ClassName("b", "b"))
    statistics = Statistics(torch.zeros(3, 32, 32), torch.eye(3, dtype=torch.float64))
    return Classifier(
        network.eval(), Views(crop=24, divisor=1.0, mean=(0.0, 0.0, 0.0)), statistics, classes, squaring=Squaring(32)
    )


def test_patches_lie_where_the_unit_is_excited_most(bright):
    images = torch.zeros(12, 3, 32, 32, dtype=torch.uint8)
    places = [(4 + 5, 4 + 8), (4 + 0, 4 + 0), (27, 27), (16, 10)]
    for number, (y, x) in enumerate(places):
        images[number + 3, 0, max(4, y - 2) : y + 3, max(4, x - 2) : x + 3] = 200 - 10 * number
    images[0, 0, :4] = 255  # outside the view: not seen
    images[1, 1] = 255  # green: not seen
    found = exciting(bright, of(images), "conv1", count=4)
    # Of the nine pixels of a corner that are inside, and of 25 elsewhere.
    expected = {3: 200 * 25, 4: 190 * 9, 5: 180 * 9, 6: 170 * 25}
    order = sorted(expected, key=lambda image: -expected[image])
    assert found.images[0].tolist() == order
    np.testing.assert_allclose(found.values[0], [expected[image] for image in order])
    windows = dict(zip(order, found.windows[0].tolist(), strict=True))
    assert windows[3] == [7, 12, 10, 15]
    assert windows[4] == [4, 7, 4, 7]
    assert windows[5] == [23, 28, 23, 28]  # the first place that holds all that is in the view
    corners = dict(zip(order, found.corners[0].tolist(), strict=True))
    assert (corners[3], corners[4], corners[5], found.side) == ([0, 0], [2, 2], [0, 0], 5)
    pixels = {number: image.permute(1, 2, 0).numpy() for number, image in enumerate(images)}
    picture = block(found, 0, pixels)
    assert picture.shape == (11, 17, 3)
    np.testing.assert_allclose(picture[:5, :5, 0], 200 / 255)
    corner = order.index(4)
    top, left = corner // 3 * 6, corner % 3 * 6
    np.testing.assert_allclose(picture[top + 2 : top + 5, left + 2 : left + 5, 0], 190 / 255)
    np.testing.assert_allclose(picture[top : top + 2, left : left + 5], 0.92)


def test_of_equal_responses_the_earlier_image_and_the_upper_left_place_count(bright):
    images = torch.full((7, 3, 32, 32), 9, dtype=torch.uint8)
    found = exciting(bright, of(images), "conv1", count=3)
    assert found.images[0].tolist() == [0, 1, 2]
    assert found.windows[0].tolist() == [[4, 9, 4, 9]] * 3


@pytest.mark.parametrize("stage", ["conv1", "pool2", "local4", "fc10"])
def test_the_best_of_many_batches_are_those_of_all_at_once(small, prepared, stage):
    seen = pictures.of_split(small, prepared, "val")
    told_of = []
    found = exciting(small, seen, stage, 5, told_of.append)
    every = small.stages(seen.read(np.arange(len(seen)))[1], stage)[stage]
    values = (every.flatten(2).amax(2) if every.ndim == 4 else every).T
    assert sum(told_of) == found.looked_at == len(seen)
    for unit in range(len(values)):
        order = sorted(range(len(seen)), key=lambda i, unit=unit: (-float(values[unit, i]), i))[:5]
        np.testing.assert_allclose(found.values[unit], values[unit, order], rtol=1e-4, atol=1e-5)
    means = values.topk(5).values.mean(1)
    assert found.strongest(1) == [int(means.argmax())]


def test_batches_are_merged(small, monkeypatch):
    images = torch.randint(256, (23, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = exciting(small, of(images), "conv2")
    monkeypatch.setattr(pictures, "_BATCH", 4)
    parts = exciting(small, of(images), "conv2")
    np.testing.assert_array_equal(whole.images, parts.images)
    np.testing.assert_array_equal(whole.windows, parts.windows)


def test_a_unit_of_the_whole_view_has_the_whole_view(towers):
    images = torch.randint(256, (3, 3, 72, 72), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = exciting(towers, of(images), "fc7")
    assert found.values.shape[1] == 3
    assert (found.windows == [2, 69, 2, 69]).all()
    assert found.side == 67


def test_the_figure_names_units_and_towers(towers):
    images = torch.randint(256, (12, 3, 72, 72), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = exciting(towers, of(images))
    assert found.stage == deepest(towers.network) == "conv5"
    figure = units(of(images), found, towers.network, count=4)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"unit {unit}, tower {1 + unit // 8}" for unit in found.strongest(4)]
    assert told(found, towers.network) == "conv5: the 9 image patches that excite each unit most (67×67 pixels)"
    drawing.rendered(figure)


def test_no_images_are_told_of(small):
    with pytest.raises(InputError, match="there is no image"):
        exciting(small, of(torch.zeros(0, 3, 32, 32, dtype=torch.uint8)))
