"""Prepared sets that are drawn here, for trying every experiment within minutes and without any data."""

from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.files import write_bytes

_CLASSES = 10


def photographs(folder: Path, train: int = 128, val: int = 40, classes: int = _CLASSES) -> PreparedSet:
    """A prepared set of drawn 256x256 pictures: a class is a colour and the direction of its stripes."""
    if not (folder / "prepared" / "dataset.json").is_file():
        random = np.random.default_rng(2012)
        for split, count in (("train", train), ("val", val)):
            for number in range(count):
                label = number % classes
                place = folder / "source" / split / f"class{label}"
                place.mkdir(parents=True, exist_ok=True)
                picture = _picture(random, label / classes, 256)
                Image.fromarray(picture).save(place / f"{number}.png", compress_level=1)
        prepare(folder / "source", folder / "prepared", encoding="raw")
    return PreparedSet.open(folder / "prepared")


def cifar10(folder: Path, train: int = 500, test: int = 100) -> PreparedSet:
    """A prepared set of drawn 32x32 pictures in CIFAR-10's binary form, a tenth of train held out."""
    source = folder / "cifar-10-batches-bin"
    if not (folder / "prepared" / "dataset.json").is_file():
        random = np.random.default_rng(2012)
        source.mkdir(parents=True, exist_ok=True)
        write_bytes(source / "batches.meta.txt", "".join(f"class{i}\n" for i in range(10)).encode())
        names = [(f"data_batch_{i}.bin", train // 5) for i in range(1, 6)]
        for name, count in [*names, ("test_batch.bin", test)]:
            write_bytes(source / name, b"".join(_record(random, number % 10) for number in range(count)))
        prepare(source, folder / "prepared", holdout=0.1)
    return PreparedSet.open(folder / "prepared")


def _record(random: np.random.Generator, label: int) -> bytes:
    return bytes([label]) + _picture(random, label / 10, 32).transpose(2, 0, 1).tobytes()


def _picture(random: np.random.Generator, phase: float, size: int) -> np.ndarray:
    """uint8 `[size, size, 3]`: noisy stripes whose direction and colour say the class, `phase` of a turn."""
    y, x = np.mgrid[:size, :size] / size
    angle = np.pi * phase
    wave = np.sin(2 * np.pi * (4 * (x * np.cos(angle) + y * np.sin(angle)) + random.random()))
    colour = 0.5 + 0.5 * np.cos(2 * np.pi * (phase + np.arange(3) / 3))
    clean = 128 + 70 * wave[..., None] * colour + random.normal(0, 20, (size, size, 3))
    return np.asarray(clean.clip(0, 255), np.uint8)
