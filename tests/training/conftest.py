"""Small pictures that a network can tell apart, prepared once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data.prepare import prepare


def draw(folder: Path, images: int, classes: int = 3) -> Path:
    """A folder of classes: stripes of a class's own direction and colour over noise.

    No value is cut off at 0 or 255: on a flat patch the maxima of pooling tie, and rounding alone decides between them.
    """
    random = np.random.default_rng(0)
    noise = random.normal(0, 15, (512, 512, 3))
    y, x = np.mgrid[0:256, 0:256]
    for label in range(classes):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        angle = np.pi * label / classes
        for i in range(images // classes):
            wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 6 + random.uniform(0, 6))[..., None]
            tint = np.eye(3)[label % 3] * 20
            top, left = random.integers(0, 256, 2)
            pixels = 128 + 40 * wave + tint + noise[top : top + 256, left : left + 256]
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{i:03d}.png", compress_level=1)
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """81 training and 27 validation pictures of three classes, raw."""
    folder = tmp_path_factory.mktemp("pictures")
    prepare(draw(folder / "source", 108), folder / "prepared", encoding="raw", holdout=0.25)
    return folder / "prepared"


@pytest.fixture(scope="session")
def without_val(tmp_path_factory) -> Path:
    """12 training pictures and no other split."""
    folder = tmp_path_factory.mktemp("pictures")
    prepare(draw(folder / "source", 12), folder / "prepared", encoding="raw")
    return folder / "prepared"


@pytest.fixture(scope="session")
def larger(tmp_path_factory) -> Path:
    """243 training and 81 validation pictures of three classes, raw."""
    folder = tmp_path_factory.mktemp("pictures")
    prepare(draw(folder / "source", 324), folder / "prepared", encoding="raw", holdout=0.25)
    return folder / "prepared"
