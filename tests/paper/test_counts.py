"""The counts of the paper's text and figure 2, from the same table that is executed."""

import pytest

from alexnet.model.alexnet import AlexNet, AlexNetConfig
from alexnet.model.network import facts

PAPER = {fact.name: fact for fact in facts(AlexNetConfig())}


def parameters(config: AlexNetConfig) -> int:
    return sum(fact.parameters for fact in facts(config))


def test_parameters_and_multiply_adds() -> None:
    assert parameters(AlexNetConfig()) == 60_965_224
    assert sum(fact.parameters for name, fact in PAPER.items() if name.startswith("conv")) == 2_334_080
    assert sum(fact.multiply_adds for fact in PAPER.values()) == 724_406_816


def test_the_modules_hold_what_the_table_counts() -> None:
    assert sum(p.numel() for p in AlexNet().parameters()) == 60_965_224


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("conv1", 34_944), ("conv2", 307_456), ("conv3", 885_120), ("conv4", 663_936), ("conv5", 442_624)),
        *(("fc6", 37_752_832), ("fc7", 16_781_312), ("fc8", 4_097_000)),
    ],
)
def test_parameters_by_row(name: str, count: int) -> None:
    assert PAPER[name].parameters == count


def test_shapes_are_those_of_figure_2() -> None:
    shapes = {
        **{"conv1": (96, 55, 55), "pool1": (96, 27, 27), "conv2": (256, 27, 27), "pool2": (256, 13, 13)},
        **{"conv3": (384, 13, 13), "conv4": (384, 13, 13), "conv5": (256, 13, 13), "pool5": (256, 6, 6)},
        **{"fc6": (4096,), "fc7": (4096,), "fc8": (1000,)},
    }
    assert {name: PAPER[name].shape for name in shapes} == shapes
    assert PAPER["conv1"].tower_shape == (48, 55, 55)
    assert PAPER["fc7"].tower_shape == (2048,)


def test_neurons_are_650_000() -> None:
    weighted = [fact for fact in PAPER.values() if fact.parameters]
    neurons = 0
    for fact in weighted:
        count = 1
        for side in fact.shape:
            count *= side
        neurons += count
    assert neurons == 659_272


def test_variants() -> None:
    assert parameters(AlexNetConfig(towers=1)) == 62_378_344
    assert parameters(AlexNetConfig(towers=1, kernels=(48, 128, 192, 192, 256))) == 59_798_312
    assert parameters(AlexNetConfig(towers=1, kernels=(64, 192, 384, 256, 256))) == 61_100_840
    conv6 = {fact.name: fact.parameters for fact in facts(AlexNetConfig(conv6=True))}
    assert conv6["conv6"] == 590_080
    fall = {fact.name: fact for fact in facts(AlexNetConfig(classes=21_843, conv6=True, bottleneck=1024))}
    assert fall["bottleneck"].shape == (1024,)
    assert fall["fc8"].parameters == 21_843 * 1025


def test_pooling_that_does_not_overlap_has_the_authors_sizes() -> None:
    found = {fact.name: fact.shape[-1] for fact in facts(AlexNetConfig(overlap=False))}
    names = ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    assert [found[name] for name in names] == [55, 28, 26, 13, 11, 6]
    assert parameters(AlexNetConfig(overlap=False)) == 60_965_224


@pytest.mark.parametrize("edges", ["original", "symmetric", "none"])
def test_every_edge_gives_55(edges: str) -> None:
    config = AlexNetConfig(edges=edges, input=227 if edges == "none" else 224)
    assert facts(config)[0].shape == (96, 55, 55)


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3", "conv4", "conv5"])
def test_without_a_convolution_what_follows_fits(name: str) -> None:
    found = {fact.name: fact.shape for fact in facts(AlexNetConfig(without=(name,)))}
    assert name not in found
    assert found["pool5"][1:] == (6, 6)


def test_towers_that_never_communicate() -> None:
    config = AlexNetConfig(kernels=(96, 320, 384, 384, 256), units=(8192, 8192), communication=False)
    found = {fact.name: fact for fact in facts(config)}
    assert found["conv2"].tower_shape == (160, 27, 27)
    assert found["fc6"].tower_shape == (4096,)
    assert found["conv3"].parameters == 384 * 160 * 9 + 384
    assert found["fc6"].parameters == 8192 * 4608 + 8192
