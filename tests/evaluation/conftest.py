"""Small classifiers and images, made without training."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network

SIZE = 32


class Pictures:
    """Random images in memory, read as Shards are."""

    size, encoding = SIZE, "raw"

    def __init__(self, count: int, classes: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.pixels = random.integers(0, 256, (count, 3, SIZE, SIZE), np.uint8)
        self.labels = random.integers(0, classes, count)
        self.paths: Sequence[str] = [f"{label}/{i}, \udcff.png" for i, label in enumerate(self.labels)]

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        out[:] = self.pixels[indices]


def classifier(names: Sequence[str] = tuple("abcdefg"), seed: int = 0) -> Classifier:
    """A narrow 11 % net with large random weights, so that its answers differ."""
    network = Network(Cifar10Config(classes=len(names), width=0.125))
    generator = torch.Generator().manual_seed(seed)
    network.load_whole({n: torch.randn(v.shape, generator=generator) * 0.2 for n, v in network.whole().items()})
    statistics = Statistics(torch.rand(3, SIZE, SIZE, generator=generator) * 255, torch.eye(3, dtype=torch.float64))
    classes = tuple(ClassName(name, f"{name}, or such") for name in names)
    return Classifier(network, Views(crop=24, divisor=60.0), statistics, classes, squaring=Squaring(SIZE))


def loader(pictures: Pictures, batch: int = 16) -> Loader:
    return Loader(pictures, Loading(batch=batch), torch.device("cpu"), threads=1)  # type: ignore[arg-type]


@pytest.fixture
def make_pictures():
    return Pictures


@pytest.fixture
def make_classifier():
    return classifier


@pytest.fixture
def make_loader():
    return loader
