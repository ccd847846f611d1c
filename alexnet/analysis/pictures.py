"""The pictures that a figure is about: a split of a prepared set, or files, whose folders may tell their classes."""

import sys
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
_TOLD = 5  # files that are left out
UNKNOWN = -1
"""The label of a picture whose class nobody knows."""
Read = tuple[np.ndarray, Tensor]
"""Positions, int64 `[n]`, and the images there, uint8 `[n,3,S,S]`."""


@dataclass(frozen=True)
class Pictures:
    """Images as a classifier sees them before a view is cut, read when they are asked for."""

    names: Sequence[str]
    """Their files, N of them."""
    labels: np.ndarray
    """int64 `[N]`, the true classes by their place in the classifier's, or UNKNOWN."""
    groups: np.ndarray
    """int64 `[N]`: what a few are chosen from evenly, their classes or their folders."""
    source: str
    """Where they are from, in words."""
    read: Callable[[np.ndarray], Read]
    """Of the images at n positions (int64) those that can be read; the others are told of on standard error."""

    def __len__(self) -> int:
        return len(self.names)

    def first(self, order: Sequence[int], count: int) -> tuple[list[int], Tensor]:
        """The first `count` positions in this order whose images can be read, then sorted, and the images there.

        Raises:
            InputError: there is none.
        """
        found: dict[int, Tensor] = {}
        for position in order:
            for i, image in zip(*self.read(np.array([position], np.int64)), strict=True):
                found[int(i)] = image
            if len(found) == count:
                break
        if not found:
            raise InputError(f"{self.source}: not one could be read as a picture.")
        positions = sorted(found)
        return positions, torch.stack([found[position] for position in positions])

    def batches(self, positions: Sequence[int] | None = None) -> Iterator[Read]:
        """Of all, or of those at `positions`, what can be read, in order, some at a time."""
        every = np.arange(len(self)) if positions is None else np.asarray(positions, np.int64)
        for start in range(0, len(every), _BATCH):
            kept, images = self.read(every[start : start + _BATCH])
            if len(kept):
                yield kept, images


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
    return Pictures(shards.paths, labels, labels, source, lambda places: (places, torch.from_numpy(shards.at(places))))


def of_files(classifier: Classifier, given: Sequence[str | Path]) -> Pictures:
    """Pictures as files; a folder stands for all visible files below it, in the order of their paths.

    Where a folder on the way, the given one included, has the name of a class, that is the label of what lies below
    it. Files of folders that are no pictures are left out and told of when they are read.

    Raises:
        InputError: there is none. (Of files that are given themselves, one that cannot be read, when it is read.)
    """
    places = {entry.name: place for place, entry in enumerate(classifier.classes)}
    files: list[str] = []
    labels: list[int] = []
    named: set[str] = set()
    for entry in given:
        folder = Path(entry).is_dir()
        found = list(files_below(Path(entry))) if folder else [Path(entry)]
        files += map(str, found if folder else [entry])
        named |= set() if folder else {str(entry)}
        labels += [_label(file.relative_to(entry).parent if folder else Path(), Path(entry), places) for file in found]
    if not files:
        raise InputError(f"{', '.join(map(str, given))} holds no visible files; name photographs.")
    source = _named(given) + (f" ({counted(len(files), 'file')})" if len(files) > 1 else "")
    truth = np.array(labels, np.int64)
    return Pictures(files, truth, _groups(files, truth), source, _reader(classifier, files, named))


def _label(below: Path, given: Path, places: dict[str, int]) -> int:
    """The class that the nearest folder is named for: those `below` the given one, it, or of a file its own."""
    around = given.absolute().name if given.is_dir() else given.absolute().parent.name
    return next((places[name] for name in (*reversed(below.parts), around) if name in places), UNKNOWN)


def _groups(files: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """int64 `[N]`: the same number for pictures of one known class, or else of one folder."""
    keys = [label if label != UNKNOWN else str(Path(f).parent) for f, label in zip(files, labels.tolist(), strict=True)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def _named(given: Sequence[str | Path]) -> str:
    more = f" and {len(given) - 3} more" if len(given) > 3 else ""
    return ", ".join(map(str, given[:3])) + more


def _reader(classifier: Classifier, files: Sequence[str], named: set[str]) -> Callable[[np.ndarray], Read]:
    """What reads files, and tells once of each that is no picture; one of those `named` is an error."""
    refused: set[int] = set()

    def read(positions: np.ndarray) -> Read:
        kept: list[int] = []
        images: list[Tensor] = []
        for position in positions.tolist():
            try:
                images.append(classifier.pixels([files[position]]))
                kept.append(position)
            except InputError as error:
                if files[position] in named:
                    raise
                if position not in refused and len(refused) <= _TOLD:
                    print(f"Left out: {error if len(refused) < _TOLD else 'more files'}", file=sys.stderr)
                refused.add(position)
        found = torch.cat(images) if images else classifier.pixels([])
        return np.array(kept, np.int64), found

    return read
