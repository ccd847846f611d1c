"""Some images of a split, and their vectors in the last hidden layer: what searches are measured on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alexnet.data.shards import Shards
from alexnet.evaluation.classifier import Classifier

STAGE = "relu7"
"""The stage that the paper compares pictures by."""
_BATCH = 128


@dataclass(frozen=True, eq=False)
class Pictures:
    """Some images of a split."""

    shards: Shards
    places: np.ndarray
    """int64 `[N]`, stored positions, ascending."""

    @property
    def labels(self) -> np.ndarray:
        """int64 `[N]`."""
        labels: np.ndarray = self.shards.labels[self.places]
        return labels

    def images(self, rows: np.ndarray) -> Tensor:
        """uint8 `[n,3,S,S]`: those at `rows` of `places`."""
        return torch.from_numpy(self.shards.at(self.places[rows]))

    def batches(self) -> Iterator[tuple[slice, Tensor]]:
        """All, in order: where each batch lies, and its images."""
        for start in range(0, len(self.places), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(self.places)))
            yield slice(start, start + len(rows)), self.images(rows)


def sample(shards: Shards, most: int) -> Pictures:
    """All images of a split, or `most` of them, drawn by a fixed seed."""
    count = len(shards)
    places = np.arange(count) if count <= most else np.random.default_rng(2012).permutation(count)[:most]
    return Pictures(shards, np.sort(places))


def last_hidden(classifier: Classifier, pictures: Pictures) -> Tensor:
    """float32 `[N,d]`, on the CPU: each picture's last hidden layer, in the centre view."""
    return torch.cat([classifier.stages(images, STAGE)[STAGE].float().cpu() for _, images in pictures.batches()])
