"""The folder's own helpers can be imported; small classifiers of every kind."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier
from alexnet.model.network import Network

sys.path.insert(0, str(Path(__file__).parent))


def _weights(network):
    """Large enough that maps keep the size of pixels, so that norms, edges and views matter."""
    generator = torch.Generator().manual_seed(0)
    state = network.whole()
    for name, tensor in state.items():
        fan = tensor[0].numel() if tensor.ndim > 1 else 4
        state[name] = torch.randn(tensor.shape, generator=generator) * (2 / fan) ** 0.5
    network.load_whole(state)
    return network.eval()


@pytest.fixture
def made():
    """A function from a config and views to a classifier of three classes or more, its statistics drawn."""

    def make(config, views=None, size=256, squaring=None, **more):
        squaring = squaring or Squaring(size)
        generator = torch.Generator().manual_seed(1)
        mean = torch.rand(3, size, size, generator=generator) * 60 + 90
        mixed = torch.randn(3, 3, generator=generator, dtype=torch.float64) * 40
        classes = tuple(ClassName(f"n{i:08}", f"class {i}") for i in range(config.classes))
        return Classifier(
            _weights(Network(config)),
            views or Views(crop=config.input),
            Statistics(mean, mixed @ mixed.T + 900 * torch.eye(3, dtype=torch.float64)),
            classes,
            squaring,
            **more,
        )

    return make


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of six pictures with structure of many sizes, and a file that is none."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (2 + number, 3, 3), np.uint8))
        pixels = np.asarray(coarse.resize((70, 60 + number), Image.Resampling.BICUBIC), np.int64)
        noisy = np.clip(pixels + rng.integers(-20, 20, pixels.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder
