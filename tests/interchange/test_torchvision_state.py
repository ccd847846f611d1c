"""torchvision's alexnet, rebuilt here from torch's own layers under its own names, against ours."""

from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch import nn

from alexnet import recipes
from alexnet.errors import InputError
from alexnet.interchange import torchvision_state
from alexnet.interchange.torchvision_state import TORCHVISION
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network


def conv(before, after, size, **how):
    return [nn.Conv2d(before, after, size, **how), nn.ReLU(inplace=True)]


def torchvision_alexnet(width=1.0, classes=1000):
    """Layers in torchvision's order, so that they carry its numbers; the adaptive pooling to 6×6 has nothing to do."""
    a, b, c, d, e, f = (round(n * width) for n in (64, 192, 384, 256, 256, 4096))
    pool = nn.MaxPool2d(3, 2)
    features = [*conv(3, a, 11, stride=4, padding=2), pool, *conv(a, b, 5, padding=2), pool, *conv(b, c, 3, padding=1)]
    features += [*conv(c, d, 3, padding=1), *conv(d, e, 3, padding=1), pool]
    hidden = [nn.Dropout(), nn.Linear(e * 36, f), nn.ReLU(), nn.Dropout(), nn.Linear(f, f), nn.ReLU()]
    parts = OrderedDict(
        features=nn.Sequential(*features),
        avgpool=nn.AdaptiveAvgPool2d((6, 6)),
        flatten=nn.Flatten(),
        classifier=nn.Sequential(*hidden, nn.Linear(f, classes)),
    )
    return nn.Sequential(parts).eval()


def images(count=2):
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def distance(found, expected):
    return float((found - expected).abs().max() / expected.std())


@pytest.fixture(scope="module")
def theirs():
    """With weights large enough that the logits depend on the picture more than on the biases."""
    torch.manual_seed(0)
    network = torchvision_alexnet()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
    return network


def test_logits_are_torchvisions(theirs):
    names = [f"features.{n}" for n in (0, 3, 6, 8, 10)] + [f"classifier.{n}" for n in (1, 4, 6)]
    assert list(theirs.state_dict()) == [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    ours = Network(TORCHVISION).eval()
    torchvision_state.load(ours, theirs.state_dict())
    with torch.no_grad():
        expected = theirs(images())
        assert distance(ours(images()), expected) < 1e-4
        other = Network(replace(TORCHVISION, edges="original")).eval()
        torchvision_state.load(other, theirs.state_dict())
        assert distance(other(images()), expected) > 1e-2


def test_its_dropout_is_before_fc6_and_fc7_and_doubles_in_training(theirs):
    ours = Network(TORCHVISION).train()
    torchvision_state.load(ours, theirs.state_dict())
    stages = ours.stages(images())
    for before, after in (("pool5", "drop5"), ("relu6", "drop6")):
        active = stages[before] > 0
        assert (stages[after][active] / stages[before][active]).unique().tolist() == [0, 2]
    assert "drop7" not in stages


def test_the_recipe_one_tower_is_the_network_it_fits():
    assert recipes.one_tower().model == TORCHVISION
    assert sum(p.numel() for p in Network(TORCHVISION).parameters()) == 61_100_840


def test_both_ways():
    config = replace(TORCHVISION, width=1 / 8, classes=7)
    ours, theirs = Network(config), torchvision_alexnet(1 / 8, 7)
    ours.initialise(3)
    state = torchvision_state.state(ours)
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict(state)
    with torch.no_grad():
        assert distance(ours.eval()(images()), theirs(images())) < 1e-4
    again = Network(config)
    torchvision_state.load(again, theirs.state_dict())
    assert all(torch.equal(tensor, state[name]) for name, tensor in torchvision_state.state(again).items())
    state["features.0.weight"].zero_()
    assert ours.whole()["conv1.weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier.6.bias": None}, r"lacks classifier\.6\.bias; expected: features\.0\.weight"),
        ({"module.fc": torch.zeros(1)}, r"has also module\.fc; expected: features\.0\.weight"),
        ({"classifier.6.bias": torch.ones(1000)}, r"classifier\.6\.bias is \[1000\] where \[7\] was expected"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change, message):
    ours = Network(replace(TORCHVISION, width=1 / 8, classes=7))
    ours.initialise(0)
    before = torchvision_state.state(ours)
    state = {name: torch.ones_like(tensor) for name, tensor in before.items()} | change
    with pytest.raises(InputError, match=message):
        torchvision_state.load(ours, {name: tensor for name, tensor in state.items() if tensor is not None})
    assert all(torch.equal(tensor, before[name]) for name, tensor in torchvision_state.state(ours).items())


def test_what_does_nothing_once_it_is_trained_may_differ():
    for change in (
        {"dropout": 0.0, "dropout_scaling": "test"},
        {"dropout_before": False},
        {"order1": "norm pool relu"},
    ):
        assert len(torchvision_state.state(Network(replace(TORCHVISION, width=1 / 32, **change)))) == 16


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (AlexNetConfig(width=1 / 32), r"two towers.*train the recipe `one-tower`, or export \.onnx"),
        (AlexNetConfig(width=1 / 32, towers=1, conv6=True), "has also conv6"),
        (Cifar10Config(), "lacks conv3.*has also local3"),
        (replace(TORCHVISION, width=1 / 32, norm=True), "from torchvision's alexnet in norm1, norm2, which"),
        (replace(TORCHVISION, width=1 / 32, edges="original"), "alexnet in conv1, which"),
        (replace(TORCHVISION, width=1 / 32, activation="tanh"), "alexnet in tanh1, .*, tanh7, which"),
        (replace(TORCHVISION, width=1 / 32, dropout_scaling="test"), "alexnet in drop5, drop6, which"),
        (replace(TORCHVISION, width=1 / 32, input=256), "alexnet in images of 256 pixels, which"),
    ],
)
def test_other_networks_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        torchvision_state.state(Network(config))
