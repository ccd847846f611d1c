"""Section 3: the architecture, against its formulas written as loops and its figure 2 written as two towers."""

import math

import pytest
import torch
import torch.nn.functional as F

from alexnet.model import layers
from alexnet.model.alexnet import AlexNet, AlexNetConfig
from alexnet.model.network import Network, facts
from alexnet.model.rows import Pool, ResponseNorm

ROWS = {row.name: row for row in AlexNetConfig().table()}


def drawn(*shape, scale=100.0):
    """Maps as large as real ones, so that 1e-4 times their squares is felt beside k = 2."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * scale


def normalised(maps):
    """Section 3.3's equation for the maps of one tower, float64, with k = 2, n = 5, alpha = 1e-4, beta = 0.75."""
    a, result = maps.double(), torch.zeros(maps.shape, dtype=torch.float64)
    count, k, n, alpha, beta = maps.shape[1], 2, 5, 1e-4, 0.75
    for i in range(count):
        total = 0
        for j in range(max(0, i - n // 2), min(count - 1, i + n // 2) + 1):
            total = total + a[:, j] ** 2
        result[:, i] = a[:, i] / (k + alpha * total) ** beta
    return result


@pytest.mark.parametrize("name", ["norm1", "norm2"])
def test_3_3_response_normalisation_inside_each_tower(name):
    row = ROWS[name]
    assert isinstance(row, ResponseNorm)
    maps = drawn(2, 24, 3, 4)
    expected = torch.cat([normalised(tower) for tower in maps.chunk(2, dim=1)], dim=1)
    found = layers.module(row, (24, 3, 4))(maps)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found.double(), normalised(maps), rtol=1e-3)


def test_3_3_normalisation_follows_the_rectifier_of_the_first_and_second_layer_only():
    names = list(ROWS)
    assert [name for name in names if name.startswith("norm")] == ["norm1", "norm2"]
    for number in "12":
        at = names.index(f"conv{number}")
        assert names[at : at + 4] == [f"conv{number}", f"relu{number}", f"norm{number}", f"pool{number}"]


@pytest.mark.parametrize("side", [55, 27, 13])
def test_3_4_pooling_overlaps(side):
    """Windows of z = 3 at every s = 2."""
    assert [name for name, row in ROWS.items() if isinstance(row, Pool)] == ["pool1", "pool2", "pool5"]
    maps = drawn(1, 2, side, side)
    found = layers.module(ROWS["pool1"], (2, side, side))(maps)
    count = (side - 3) // 2 + 1
    assert found.shape[2:] == (count, count)
    for y in range(count):
        for x in range(count):
            assert torch.equal(found[..., y, x], maps[..., 2 * y : 2 * y + 3, 2 * x : 2 * x + 3].amax((2, 3)))


def figure_2(images, weights):
    """The two towers of figure 2 as two lists; they meet before the third layer and in the dense ones."""

    def held(name):
        return list(zip(weights[f"{name}.weight"].chunk(2), weights[f"{name}.bias"].chunk(2), strict=True))

    def conv(maps, name, **how):
        return [F.relu(F.conv2d(m, *own, **how)) for m, own in zip(maps, held(name), strict=True)]

    def both(maps):
        return [torch.cat(maps, dim=1)] * 2

    def pooled(maps):
        return [F.max_pool2d(m, 3, 2) for m in maps]

    def dense(maps, name):
        return [0.5 * F.relu(F.linear(m, *own)) for m, own in zip(both(maps), held(name), strict=True)]

    maps = conv([F.pad(images, (0, 3, 0, 3))] * 2, "conv1", stride=4)
    maps = conv(pooled([normalised(m).float() for m in maps]), "conv2", padding=2)
    maps = conv(both(pooled([normalised(m).float() for m in maps])), "conv3", padding=1)
    maps = conv(conv(maps, "conv4", padding=1), "conv5", padding=1)
    units = dense(dense([m.flatten(1) for m in pooled(maps)], "fc6"), "fc7")
    return F.linear(torch.cat(units, dim=1), weights["fc8.weight"], weights["fc8.bias"])


def test_3_5_the_network_is_figure_2():
    network = AlexNet().eval()
    weights = network.whole()
    for name, tensor in weights.items():
        if tensor.ndim > 1:  # the paper's 0.01 would let the picture fade on its way up
            tensor *= (2 / tensor[0].numel()) ** 0.5 / 0.01
        else:
            tensor.normal_(generator=torch.Generator().manual_seed(len(name)))
    network.load_whole(weights)
    images = drawn(2, 3, 224, 224, scale=60)
    with torch.no_grad():
        found, expected = network(images), figure_2(images, weights)
    assert float((found - expected).abs().max() / expected.std()) < 1e-4
    assert float((expected[0] - expected[1]).abs().max() / expected.std()) > 0.1


def test_3_5_kernels_and_units_are_those_of_the_text():
    whole = Network(AlexNetConfig()).whole()
    assert {name.removesuffix(".weight"): tuple(t.shape) for name, t in whole.items() if t.ndim > 1} == {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }
    assert sum(tensor.numel() for tensor in whole.values()) == 60_965_224


def test_3_5_neurons_of_figure_2():
    """The text's 253,440 for the first layer is 55 × 48 × 96; its maps hold 55 × 55 × 96."""
    neurons = {fact.name: math.prod(fact.shape) for fact in facts(AlexNetConfig()) if fact.parameters}
    assert list(neurons.values()) == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
    assert 3 * AlexNetConfig().input ** 2 == 150_528
    assert round(sum(neurons.values()), -4) == 660_000, "the abstract's 650,000"
