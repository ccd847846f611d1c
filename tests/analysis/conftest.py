"""Small untrained classifiers, and a prepared set of drawn pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.data.prepare import prepare
from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network

CLASSES = ("dark", "green", "light")


def made(config, views, size):
    """A classifier whose weights are drawn so that its answers differ from picture to picture."""
    network = Network(config)
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, value in network.whole().items():
        fan = max(1, value[0].numel()) if value.ndim > 1 else 1
        state[name] = torch.randn(value.shape, generator=generator) * (1.4 / fan**0.5 if value.ndim > 1 else 0.1)
    network.load_whole(state)
    mean = torch.rand(3, size, size, generator=generator) * 40 + 100
    statistics = Statistics(mean, torch.eye(3, dtype=torch.float64) * 900)
    classes = tuple(ClassName(name, name) for name in CLASSES)
    return Classifier(network.eval(), views, statistics, classes, squaring=Squaring(size))


@pytest.fixture(scope="session")
def small():
    """Cifar10's 11 % net, an eighth as wide, on pictures of 32 x 32."""
    return made(Cifar10Config(classes=3, width=0.125), Views(crop=24, divisor=(50.0, 60.0, 70.0)), 32)


@pytest.fixture(scope="session")
def towers():
    """The paper's network, a sixteenth as wide, on pictures of 72 x 72."""
    return made(AlexNetConfig(classes=3, width=1 / 16, input=67), Views(crop=67, divisor=60.0), 72)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A set of 48 drawn pictures in three classes, 32 x 32: 24 to train with, 24 to validate."""
    root = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    for number in range(48):
        name = CLASSES[number % 3]
        pixels = rng.integers(0, 90, (40, 40, 3))
        pixels += {"dark": 0, "green": np.array([0, 120, 0]), "light": 150}[name]
        place = root / "pictures" / name / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    return prepare(root / "pictures", root / "prepared", size=32, holdout=0.5, encoding="raw")
