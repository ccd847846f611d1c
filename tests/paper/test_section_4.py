"""Section 4: against overfitting, with the colours of ImageNet that the authors' library kept."""

import pytest
import torch

from alexnet.data.views import Statistics, Views, random_view, ten_views
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Network

AXES = torch.tensor([[0.418, -0.713, -0.564], [-0.817, -0.024, -0.576], [0.397, 0.701, -0.592]], dtype=torch.float64)
"""Columns: the principal axes of ImageNet's colours, the third the longest (cuda-convnet2)."""

KEPT = (19.721, 37.094, 121.780)
"""Deviations along them on 0..255 (cuda-convnet2)."""

POPULAR = tuple(255 * variance**0.5 for variance in (0.0045, 0.0188, 0.2175))
"""Those of the reimplementations that state variances on 0..1."""

PAPER = AlexNetConfig()


def imagenet(deviations, side=1):
    variances = torch.tensor(deviations, dtype=torch.float64).square()
    return Statistics(torch.zeros(3, side, side), AXES @ torch.diag(variances) @ AXES.T)


def shifts(colour, deviations, count=20_000):
    """The colours added to `count` images, float64 `[count, 3]`, along the three axes."""
    images = torch.zeros(count, 3, 1, 1, dtype=torch.uint8)
    views = Views(crop=1, colour=colour)
    shown = random_view(images, torch.arange(count), views, imagenet(deviations), seed=0, epoch=0)
    return shown.view(count, 3).double() @ AXES


def test_4_1_a_patch_is_one_of_33_x_33_x_2():
    """The paper's 2048 counts 32 offsets either way; a 224 patch has 33 in 256, so its code drew from 2178."""
    assert (256 - Views().crop) ** 2 * 2 == 2048
    side, crop, count = 34, 2, 40_000  # 33 offsets either way, as 224 has in 256
    place = torch.arange(side * side).view(side, side)
    image = torch.stack([place // 256, place % 256, torch.zeros_like(place)]).to(torch.uint8)
    views = Views(crop=crop, colour="none")
    images = image.expand(count, -1, -1, -1)
    shown = random_view(images, torch.arange(count), views, imagenet((0, 0, 0), side), seed=0, epoch=0)
    assert len(shown.flatten(1).unique(dim=0)) == 33 * 33 * 2


def test_4_1_the_ten_patches_are_four_corners_the_centre_and_their_mirrors():
    image = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = ten_views(image, Views(), imagenet(KEPT, 256))[0]
    patches = [image[0, :, y : y + 224, x : x + 224] for y, x in ((0, 0), (0, 32), (32, 0), (32, 32), (16, 16))]
    for number, patch in enumerate(patches):
        assert torch.equal(found[number], patch.float())
        assert torch.equal(found[number + 5], patch.float().flip(2))


@pytest.mark.parametrize(("deviations", "level"), [(POPULAR, 5.5), (KEPT, 5.8)])
def test_4_1_colour_noise_by_the_text_is_a_tenth_of_the_eigenvalues(deviations, level):
    """Of the 0..1 scale: taken literally on 0..255 it would be some 1400 levels."""
    found = shifts("paper", deviations).std(0)
    expected = [0.1 * (deviation / 255) ** 2 * 255 for deviation in deviations]
    assert found.tolist() == pytest.approx(expected, rel=0.03)
    assert float(found[2]) == pytest.approx(level, rel=0.03)


def test_4_1_colour_noise_by_the_code_is_a_tenth_of_the_deviations_over_1_1():
    found = shifts("code", KEPT).std(0)
    assert found.tolist() == pytest.approx([0.1 * deviation / 1.1 for deviation in KEPT], rel=0.03)


def test_4_1_the_three_draws_are_independent():
    correlation = torch.corrcoef(shifts("paper", KEPT).T) - torch.eye(3)
    assert float(correlation.abs().max()) < 0.04


def test_4_1_one_colour_is_drawn_for_an_image_each_time_it_is_used():
    images = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    shown = [
        random_view(images, torch.arange(2), Views(crop=16), imagenet(KEPT, 20), seed=0, epoch=epoch)[:, 0]
        for epoch in (0, 1)
    ]
    for view in shown:
        assert torch.equal(view, view[..., :1, :1].expand_as(view))
    colours = torch.cat(shown)[..., 0, 0]
    assert len(colours.unique(dim=0)) == 4


def dense(training):
    """(what enters, what leaves) each dropout of the dense layers, for 64 images; an eighth of the units."""
    network = Network(AlexNetConfig(width=1 / 8)).train(training)
    network.initialise(0)
    stages = network.stages(torch.ones(64, 3, 224, 224), only=["relu6", "drop6", "relu7", "drop7"])
    return [(stages["relu6"], stages["drop6"]), (stages["relu7"], stages["drop7"])]


def test_4_2_half_of_the_hidden_units_are_dropped_in_training_and_left_as_large():
    assert [row.name for row in PAPER.table() if row.name.startswith("drop")] == ["drop6", "drop7"]
    for before, after in dense(training=True):
        kept = after != 0
        assert torch.equal(after[kept], before[kept])
        assert float(kept[before != 0].float().mean()) == pytest.approx(0.5, abs=0.02)
        assert not torch.equal(kept[0], kept[1])


def test_4_2_at_test_all_are_used_and_halved():
    for before, after in dense(training=False):
        assert torch.equal(after, before * 0.5)


def test_4_2_a_dropped_unit_takes_no_part_in_the_gradient():
    network = Network(AlexNetConfig(width=1 / 8)).train()
    network.initialise(0)
    keys = torch.tensor([7])
    kept = {}
    hook = network.drop7.register_forward_hook(lambda _, inputs, output: kept.update(units=output[0] != 0))
    network(torch.ones(1, 3, 224, 224), keys).sum().backward()
    hook.remove()
    assert 0 < int(kept["units"].sum()) < 512
    assert torch.equal(network.fc7.weight.grad.abs().sum(1) != 0, kept["units"])
    assert torch.equal(network.fc8.weight.grad.abs().sum(0) != 0, kept["units"])
