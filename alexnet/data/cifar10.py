"""CIFAR-10's binary version to a listing: records of a label and 3,072 pixels, already decoded, red plane first."""

from pathlib import Path

import numpy as np

from alexnet.data.shards import ClassName
from alexnet.data.source import Item, Source
from alexnet.errors import InputError

FILES = {**{f"data_batch_{i}.bin": "train" for i in range(1, 6)}, "test_batch.bin": "test"}

_WHERE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


def present(root: Path) -> bool:
    """Whether `root` is a download of CIFAR-10, of either version."""
    return any((root / name).is_file() for name in ("data_batch_1.bin", "data_batch_1", "test_batch"))


def listing(root: Path) -> Source:
    """The 50,000 training and 10,000 test pictures, as `train` and `test`, in the order of the files.

    Raises:
        InputError: it is the python version, or a batch is missing or damaged.
    """
    if not (root / "data_batch_1.bin").is_file():
        raise InputError(
            f"{root} is CIFAR-10's python version, which is pickles, and those can run code: "
            f"download the binary version from {_WHERE} and unpack it."
        )
    items = []
    for name, split in FILES.items():
        labels = _labels(root / name)
        items += [
            Item(f"{name}/{i:05d}", label, split, name, i * (1 + _PIXELS) + 1, _PIXELS)
            for i, label in enumerate(labels.tolist())
        ]
    classes = tuple(ClassName(name, name) for name in _classes(root))
    return Source("cifar10", root, classes, items, size=_SIDE, decoded=True)


def _labels(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path} is missing; the whole of CIFAR-10 is at {_WHERE}.")
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % (1 + _PIXELS):
        raise InputError(f"{path} is cut short or no batch of CIFAR-10; download it again from {_WHERE}.")
    labels = data[:: 1 + _PIXELS]
    if labels.max() >= len(_NAMES):
        raise InputError(f"{path} holds the label {labels.max()}, but CIFAR-10 has ten classes; is it CIFAR-100?")
    return labels


def _classes(root: Path) -> tuple[str, ...]:
    path = root / "batches.meta.txt"
    if not path.is_file():
        return _NAMES
    names = tuple(path.read_text(encoding="utf-8").split())
    if len(names) != len(_NAMES):
        raise InputError(f"{path} holds {len(names)} names; ten were expected.")
    return names
