"""Receptive fields against a brute force: pixels are disturbed one by one, and the outputs that change are noted."""

import pytest
import torch

from alexnet import recipes
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network, facts
from alexnet.model.rows import Field

NARROW = {
    "paper": AlexNetConfig(classes=3, width=0.03, input=99),
    "code": AlexNetConfig(classes=3, width=0.03, input=95, order1="norm pool relu", same_map_norm=True),
    "torchvision": AlexNetConfig(classes=3, width=0.03, input=95, towers=1, edges="symmetric"),
    "no overlap": AlexNetConfig(classes=3, width=0.03, input=95, overlap=False),
    "11pct": Cifar10Config(width=0.1),
    "18pct": Cifar10Config(net="18pct", width=0.1),
}


def reaching(network, side):
    """bool `[side, places]` by stage: whether disturbing row y of the pixels changes row p of the stage's maps."""
    generator = torch.Generator().manual_seed(0)
    # Means of their inputs, all positive and small: no rectifier closes, no norm turns a larger value into a smaller.
    weights = {n: torch.rand(v.shape, generator=generator) / v[0].numel() for n, v in network.whole().items()}
    network.double().load_whole(weights)
    network.eval()
    column = side // 2
    batch = torch.rand(1, 3, side, side, generator=generator).double().repeat(side + 1, 1, 1, 1)
    for y in range(side):
        # So large a step that what holds the pixel becomes the maximum of every window.
        batch[y, :, y, column - 5 : column + 6] += 10
    with torch.no_grad():
        stages = network.stages(batch)
    return {name: (values[:side] != values[side:]).amax((1, 3)) for name, values in stages.items() if values.ndim == 4}


@pytest.mark.parametrize("config", NARROW.values(), ids=NARROW)
def test_units_see_the_pixels_of_their_field_and_no_others(config):
    network = Network(config)
    seen = reaching(network, config.input)
    fields = {fact.name: fact.field for fact in facts(config)}
    whole = 0
    for name, changed in seen.items():
        field = fields[name]
        for place in range(changed.shape[1]):
            first, last = field.window(place, config.input)
            outside = changed[:, place].clone()
            outside[first:last] = False
            assert not outside.any(), f"{name} at {place} sees beyond {first}..{last}"
            if field.start + place * field.stride >= 0 and first + field.size <= config.input:
                whole += 1
                assert changed[first:last, place].all(), f"{name} at {place} does not see all of {first}..{last}"
    assert whole > 20


def test_the_fields_of_the_paper():
    fields = {fact.name: fact.field for fact in facts(recipes.named("paper-2012").model)}
    assert fields["conv1"] == Field(11, 4, 0)
    assert fields["conv5"] == Field(163, 16, -64)
    assert (fields["pool5"].size, fields["pool5"].stride) == (195, 32)
    assert fields["fc6"].stride == 0
    assert fields["fc6"].window(0, 224) == (0, 224)
    assert fields["conv5"].window(0, 224) == (0, 99)
    assert fields["conv5"].window(12, 224) == (128, 224)
