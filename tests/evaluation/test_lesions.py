"""Lesions: the same as weights and biases set to zero by hand; what cannot be is told."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.lesions import changes, cut_off, lesion
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network

# Biases of 1 make what follows a lesion differ from zero, so that one that is zeroed but once would be seen.
SMALL = AlexNetConfig(classes=7, input=67, width=1 / 8, initialisation=Initialisation("he", bias=1.0))
WEIGHTED = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")


def made(config: AlexNetConfig | Cifar10Config = SMALL) -> Network:
    network = Network(config)
    network.initialise(3)
    return network.eval()


def without(network: Network, rows: dict[str, slice | list[int]]) -> Network:
    """The network with weights and biases of these outputs zero."""
    state = network.whole()
    for name, outputs in rows.items():
        state[f"{name}.weight"][outputs] = 0
        state[f"{name}.bias"][outputs] = 0
    other = Network(network.config)
    other.load_whole(state)
    return other.eval()


def images(side: int = 67) -> Tensor:
    return torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(0)) * 50


def upper(name: str) -> slice:
    shape = made().whole()[f"{name}.bias"].shape
    return slice(shape[0] // 2, shape[0])


@pytest.mark.parametrize(
    ("edits", "rows"),
    [
        (["conv3=zero"], {"conv3": slice(None)}),
        (["conv3:0,5=zero"], {"conv3": [0, 5]}),
        ([" conv3 : 2-4, 0 , 9 - 9 = zero "], {"conv3": [0, 2, 3, 4, 9]}),
        (["conv1:1=zero", "fc6:3,2=zero", "conv1:7=zero"], {"conv1": [1, 7], "fc6": [2, 3]}),
        (["tower2=zero"], {name: upper(name) for name in WEIGHTED}),
        (["tower1=zero", "fc7:511=zero"], {n: [*range(upper(n).start), *([511] * (n == "fc7"))] for n in WEIGHTED}),
    ],
)
@torch.no_grad()
def test_a_lesion_is_weights_and_biases_of_zero(edits, rows):
    network, x = made(), images()
    whole = network(x)
    expected = without(network, rows).stages(x)
    edited = network.stages(x, edit=changes(edits, network))
    lesion(network, edits)
    hooked = network.stages(x)
    for name, value in expected.items():
        assert torch.equal(edited[name], value), name
        assert torch.equal(hooked[name], value), name
    assert torch.equal(network(x), expected["fc8"])
    assert not torch.equal(network(x), whole)


@torch.no_grad()
def test_a_tower_stays_dead_at_every_row_it_holds():
    network = made()
    stages = network.stages(images(), edit=changes(["tower2=zero"], network))
    for name, value in stages.items():
        first, second = value.chunk(2, 1)
        if name != "fc8":
            assert second.abs().max() == 0, name
        assert first.abs().max() > 0, name


@torch.no_grad()
def test_a_stage_without_weights_is_lesioned_as_well():
    network, x = made(), images()
    whole = network.stages(x)
    found = network.stages(x, edit=changes(["pool1:4=zero"], network))
    assert torch.equal(found["norm1"], whole["norm1"])
    assert found["pool1"][:, 4].abs().max() == 0
    others = [i for i in range(12) if i != 4]
    assert torch.equal(found["pool1"][:, others], whole["pool1"][:, others])


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ("conv9=zero", r"no stage 'conv9' \(did you mean .*; there are conv1, relu1"),
        ("conv3:47,48,99=zero", "'conv3:47,48,99=zero': conv3 has units 0 to 47, and no 48"),
        ("conv3", "'conv3' is none; there are conv3=zero, conv3:0,5=zero, conv3:0-5=zero and tower2=zero"),
        ("conv3:40-999999999999=zero", "conv3 has units 0 to 47, and no 48"),
        ("conv3:5-3=zero", "is none"),
        ("conv3:3,=zero", "is none"),
        ("conv3:1 2=zero", "is none"),
        ("conv 3=zero", "is none"),
        ("conv3:=zero", "is none"),
        ("conv3:-1=zero", "is none"),
        ("conv3=half", "is none"),
        ("tower3=zero", "tower1=zero or tower2=zero"),
        ("tower0=zero", "tower1=zero or tower2=zero"),
        ("tower2:0=zero", "zeroed whole"),
    ],
)
def test_what_cannot_be_lesioned_is_told(edit, match):
    with pytest.raises(InputError, match=match):
        changes([edit], made())


def test_one_tower_cannot_be_taken_away():
    with pytest.raises(InputError, match="'tower2=zero': this network has one tower"):
        changes(["tower2=zero"], made(dataclasses.replace(SMALL, towers=1)))


@pytest.mark.parametrize(
    ("edits", "stage"),
    [
        (["conv3=zero"], "conv3"),
        (["fc6=zero", "conv1:0-11=zero"], "conv1"),
        (["tower1=zero", "tower2=zero"], "conv1"),
        (["tower1=zero", "fc6:256-511=zero"], "fc6"),
        (["tower1=zero", "fc6:256-510=zero"], None),
        (["conv3:0-46=zero"], None),
        ([], None),
    ],
)
@torch.no_grad()
def test_a_warning_where_no_unit_of_a_stage_is_left(edits, stage):
    network = made()
    said, answers = cut_off(edits, network), network.stages(images(), edit=changes(edits, network))["fc8"]
    alike = bool((answers == answers[:1]).all())
    assert alike == (stage is not None)
    assert (said is None) if stage is None else said.startswith(f"{stage} is silenced whole, so that it and every")


def test_a_warning_advises_a_tower_only_where_there_are_two():
    assert "a tower (tower2=zero) or listed units (conv3:0,5=zero)" in cut_off(["conv3=zero"], made())
    assert "tower" not in cut_off(["conv3=zero"], made(dataclasses.replace(SMALL, towers=1)))


def test_two_devices_are_refused_and_no_edit_is_none():
    network = made(AlexNetConfig(classes=7, width=1 / 16)).place(["cpu", "cpu"])
    lesion(network, [])
    with pytest.raises(InputError, match="on two devices cannot be lesioned"):
        lesion(network, ["conv3=zero"])


def test_every_view_of_an_answer_is_lesioned():
    network = made(Cifar10Config(classes=2, width=0.125))
    statistics = Statistics(torch.full((3, 32, 32), 100.0), torch.eye(3, dtype=torch.float64))
    names = (ClassName("a", "a"), ClassName("b", "b"))
    classifier = Classifier(network, Views(crop=24), statistics, names, squaring=Squaring(32))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    last = network.rows[-1].name
    lesion(network, [f"{last}:0=zero"])
    # The first logit being zero, the logarithms differ by the second.
    logs = classifier.log_probabilities(torch.from_numpy(pictures))
    logits = network.stages(torch.from_numpy(pictures[:, :, 4:28, 4:28]).float() - 100, last)[last]
    assert logits[:, 0].abs().max() == 0
    torch.testing.assert_close(logs[:, 1] - logs[:, 0], logits[:, 1].detach(), rtol=1e-4, atol=1e-4)
