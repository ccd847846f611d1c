"""The nearest pictures: the folder of features that a server was given, and its pictures."""

import io
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet import files
from alexnet.errors import InputError
from alexnet.evaluation import classifier_file
from alexnet.features import index, pictures
from alexnet.features.folder import Features
from alexnet.features.nearest import Exact
from alexnet.features.pictures import Read
from alexnet.features.stimuli import Showing, recorded

MOST = 24
"""Neighbours of one picture at most."""
_READING = threading.Lock()


@dataclass(frozen=True)
class Neighbour:
    """A row of the features, near to a picture."""

    row: int
    path: str
    """Relative to the source of the features."""
    label: str
    """Its class; "" where there is none."""
    distance: float
    """Euclidean, between the stage's responses."""


@dataclass(frozen=True, eq=False)
class Nearby:
    """Features of the very classifier that is served."""

    features: Features
    stage: str
    showing: Showing
    read: Read | None
    """The picture of a row; None where the source is no longer there."""
    search: Exact | index.Index
    """Of the stage's responses, which are a memory map."""

    @classmethod
    def open(
        cls,
        features: str | Path,
        run: str | Path,
        *,
        source: str | Path | None = None,
        best: bool = False,
    ) -> "Nearby":
        """The features in a folder that `alexnet embed` wrote.

        Args:
            source: where the pictures of the features are now, if they have moved; where they are found neither
                there nor at their old place, neighbours have names and no pictures.

        Raises:
            InputError: there are none, they are of another classifier or of a changed one, or hold several stages.
        """
        opened = Features.open(features)
        described = opened.described
        changed = described["untrained"] is not None or described["edit"]
        if changed or described["preprocessing"]["greyscale_as_is"]:
            raise InputError(f"{features} are of a classifier changed on the way (edit, untrained or greyscale).")
        if files.checksum(classifier_file.find(run, best)) != described["classifier"]["sha256"]:
            raise InputError(f"{features} are not of {run}: `alexnet embed {run} SOURCE FEATURES` makes some that are.")
        stored = opened.vectors()  # raises where there are several stages
        showing = recorded(described["preprocessing"])
        try:
            read = pictures.reader(described, opened.paths, showing, source)
        except InputError:
            if source is not None:
                raise
            read = None
        stage = opened.stages[0]
        many = index.wanted(len(stored))
        search = index.Index.open(opened.path / f"{stage}.faiss", stored) if many else Exact(stored)
        return cls(opened, stage, showing, read, search)

    def pixels(self, data: bytes, limit: int) -> np.ndarray:
        """uint8 `[S,S,3]` of an image file's bytes, as the features' pictures were shown; raises Refused."""
        return self.showing.of_file(data, limit)

    def nearest(self, queries: np.ndarray) -> list[tuple[Neighbour, ...]]:
        """The `MOST` nearest to each of the stage's responses float32 `[Q,d]`, the nearest first."""
        found = self.search.nearest(queries, MOST)
        return [
            tuple(
                Neighbour(row, self.features.paths[row], self.features.labels[row], distance)
                for row, distance in zip(rows, distances, strict=True)
            )
            for rows, distances in zip(found.indices.tolist(), found.distances.tolist(), strict=True)
        ]

    def picture(self, row: int) -> bytes | None:
        """A JPEG of a row's picture as the network was shown it; nothing where there is none."""
        if self.read is None or not 0 <= row < len(self.features):
            return None
        try:
            with _READING:
                pixels = self.read(row)
        except InputError:
            return None
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=92)
        return file.getvalue()
