"""The pictures that a figure is about: a split of a prepared set, or photographs without labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet.data.folders import files_below
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError, counted
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.evaluate import joined

_BATCH = 64


@dataclass(frozen=True)
class Pictures:
    """Images as a classifier sees them before a view is cut, read when they are asked for."""

    names: Sequence[str]
    """Their files, N of them."""
    labels: np.ndarray | None
    """int64 `[N]`, the true classes by their place in the classifier's; None where nobody knows them."""
    source: str
    """Where they are from, in words."""
    read: Callable[[np.ndarray], Tensor]
    """uint8 `[n,3,S,S]` of the images at n positions (int64)."""

    def __len__(self) -> int:
        return len(self.names)

    def at(self, positions: Sequence[int]) -> Tensor:
        """uint8 `[n,3,S,S]` of a few images."""
        return self.read(np.asarray(positions, np.int64))

    def batches(self, positions: Sequence[int] | None = None) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(positions, images) of all, or of those at `positions`, in order, some at a time."""
        every = np.arange(len(self)) if positions is None else np.asarray(positions, np.int64)
        for start in range(0, len(every), _BATCH):
            yield every[start : start + _BATCH], self.read(every[start : start + _BATCH])


def of_split(classifier: Classifier, prepared: PreparedSet, split: str) -> Pictures:
    """The images of a prepared set's split, their labels joined to the classifier's classes by name.

    Raises:
        InputError: there is no such split, its images have another size, or the classifier lacks its classes.
    """
    shards = prepared.split(split)
    if shards.size != classifier.size:
        raise InputError(
            f"{prepared.path} has images of {shards.size}×{shards.size}, the classifier sees "
            f"{classifier.size}×{classifier.size}; name another set by --data, or photographs."
        )
    labels = joined(classifier, prepared.classes).numpy()[shards.labels]
    source = f"{split} split of {prepared.path} ({counted(len(shards), 'image')})"
    return Pictures(shards.paths, labels, source, lambda positions: torch.from_numpy(shards.at(positions)))


def of_files(classifier: Classifier, given: Sequence[str | Path]) -> Pictures:
    """Photographs as files; a folder stands for all visible files below it, in the order of their paths.

    Raises:
        InputError: there is none. (One that cannot be read is told of when it is read.)
    """
    files: list[str] = []
    for entry in given:
        files += map(str, files_below(Path(entry)) if Path(entry).is_dir() else [entry])
    if not files:
        raise InputError(f"{', '.join(map(str, given))} holds no visible files; name photographs.")
    source = counted(len(files), "photograph") + (f" of {given[0]}" if len(given) == 1 and len(files) > 1 else "")
    return Pictures(files, None, source, lambda positions: classifier.pixels([files[i] for i in positions.tolist()]))
