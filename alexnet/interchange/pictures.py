"""The pictures on which a moved classifier is tried."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet.data.folders import files_below
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError, counted
from alexnet.evaluation.classifier import Classifier

MOST = 256


@dataclass(frozen=True, eq=False)
class Pictures:
    """Stored pictures and what is known of them."""

    images: Tensor
    """uint8 `[N,3,S,S]`, S the classifier's size."""
    told: str
    """What they are, for people."""
    labels: Tensor | None = None
    """int64 `[N]` in the classifier's order of classes, where they are known."""


def of(source: Path, classifier: Classifier, most: int = MOST) -> Pictures:
    """At most so many pictures, evenly spread over a prepared set's validation split or the files of a folder.

    Raises:
        InputError: there are none that can be read, or they are stored at another size than the classifier's.
    """
    if (source / "dataset.json").is_file():
        return _of_set(PreparedSet.open(source), classifier, most)
    found = list(files_below(source)) if source.is_dir() else [source]
    read, refused = [], 0
    for number in _spread(len(found), most):
        try:
            read.append(classifier.pixels(found[number]))
        except InputError:
            refused += 1
    if not read:
        raise InputError(f"{source} holds no picture that can be read; give --data a prepared set or photographs.")
    but = f" ({refused} more could not be read)" if refused else ""
    return Pictures(torch.cat(read), f"{counted(len(read), 'picture')} of {source}{but}")


def drawn(classifier: Classifier, count: int = 16) -> Pictures:
    """Smooth coloured noise: no photographs, but of their range."""
    coarse = np.random.default_rng(0).normal(120, 60, (count, 3, 8, 8)).astype(np.float32)
    size = (classifier.size, classifier.size)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size, mode="bilinear")
    return Pictures(smooth.clamp(0, 255).byte(), f"{count} drawn pictures, no photographs (--data gives some)")


def _of_set(prepared: PreparedSet, classifier: Classifier, most: int) -> Pictures:
    if prepared.size != classifier.size:
        raise InputError(
            f"{prepared.path} holds pictures of {prepared.size}×{prepared.size}, the classifier takes "
            f"{classifier.size}×{classifier.size}: give --data another set, or a folder of photographs."
        )
    split = next(name for name in ("val", "test", "train") if prepared.counts.get(name))
    shards = prepared.split(split)
    indices = np.array(_spread(len(shards), most), np.int64)
    places = {entry.name: number for number, entry in enumerate(classifier.classes)}
    known = [places.get(entry.name, -1) for entry in prepared.classes]
    labels = torch.tensor(known)[torch.from_numpy(shards.labels[indices])]
    told = f"{counted(len(indices), 'picture')} of the {split} split of {prepared.path}"
    return Pictures(torch.from_numpy(shards.at(indices)), told, labels if min(known) >= 0 else None)


def _spread(count: int, most: int) -> list[int]:
    return sorted({int(place) for place in np.linspace(0, count - 1, min(count, most))}) if count else []
