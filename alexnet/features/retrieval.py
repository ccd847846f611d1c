"""Ways to search compared: how many of the nearest are of the query's class, and the time a query takes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.features import pictures
from alexnet.features.coder import Coder, Settings, fit, projections
from alexnet.features.folder import Features
from alexnet.features.hamming import hamming
from alexnet.features.nearest import Exact, Neighbours
from alexnet.features.stimuli import recorded

BITS = (32, 64, 128, 256)
SIDE = 32
"""To which pictures are reduced for pixels, as for the auto-encoders of 2011; smaller views stay as they are."""
_TIMED = 20  # queries, one at a time

Search = Callable[[np.ndarray], Neighbours]
"""The nearest stored vectors to queries real `[Q,d]`."""


@dataclass(frozen=True, eq=False)
class Way:
    """One way to search, measured on Q queries."""

    name: str
    same_class: np.ndarray
    """float64 `[Q]`: the share of the k nearest that are of the query's class."""
    seconds: float
    """A query's, asked alone: the median. Codes: with the coding of the query's vector."""
    bytes: int
    """Kept for each image."""

    @property
    def precision(self) -> float:
        """The mean over the queries: precision at k."""
        return float(self.same_class.mean())

    @property
    def standard_error(self) -> float:
        """Of the precision, over queries."""
        return float(self.same_class.std() / len(self.same_class) ** 0.5)

    def to_json(self) -> dict[str, Any]:
        """A row of the table."""
        return {
            "search": self.name,
            "precision": self.precision,
            "standard_error": self.standard_error,
            "milliseconds": 1000 * self.seconds,
            "bytes": self.bytes,
        }


@dataclass(frozen=True, eq=False)
class Vectors:
    """What is searched, and for what."""

    stored: np.ndarray
    """real `[N,d]`"""
    queries: np.ndarray
    """real `[Q,d]`"""


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of what is searched, and of what is asked for, in one numbering."""

    stored: np.ndarray
    """int64 `[N]`"""
    queries: np.ndarray
    """int64 `[Q]`"""


def retrieval(
    features: str | Path,
    queries: str | Path,
    *,
    stage: str | None = None,
    bits: Sequence[int] = BITS,
    k: int = 6,
    pixels: bool = True,
    settings: Settings | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> list[Way]:
    """Precision at `k` and time a query: of pixels, vectors, codes of each length, and random projections.

    Codes are fitted to the features alone, by an auto-encoder of the vectors and one of the pixels.

    Args:
        features: a folder that `embed` wrote, of images in folders by class, or of a prepared set: searched.
        queries: another, of other images of the same classes: asked for.
        stage: the stage of both, where there are several.
        pixels: whether pixels are searched and coded too, for which the images are read again.
        settings: of the auto-encoders; their `bits` say nothing.
        say: told of each way before it begins.

    Raises:
        InputError: a length of codes or `k` makes no sense; features cannot be read, have no classes, or other
            ones, or the sources are not there.
    """
    for length in bits:
        Settings(bits=length)  # raises
    if k < 1:
        raise InputError(f"k is {k}; at least one neighbour is asked for.")
    stored, asked = Features.open(features), Features.open(queries)
    if stored.path.resolve() == asked.path.resolve():
        raise InputError(f"{stored.path} is searched and asked for: each image would find itself; embed other images.")
    classes = _classes(stored, asked)
    vectors = Vectors(_held(stored.vectors(stage)), _held(asked.vectors(stage)))
    name = stage or stored.stages[0]
    found = []
    if pixels:
        seen = Vectors(_reduced(stored), _reduced(asked))
        side = round((seen.stored.shape[1] / 3) ** 0.5)
        found += [exact(f"pixels {side}×{side}", seen, classes, k, say)]
        found += coded("pixels", seen, classes, bits, k, settings, say)
    found += [exact(name, vectors, classes, k, say)]
    found += coded(name, vectors, classes, bits, k, settings, say)
    return [*found, *projected(name, vectors, classes, bits, k, say)]


def exact(
    name: str, vectors: Vectors, classes: Classes, count: int, say: Callable[[str], object] = lambda _: None
) -> Way:
    """All vectors compared by Euclidean distance."""
    say(f"{name}, all compared")
    kept, search = vectors.stored[:1].nbytes, Exact(vectors.stored)
    return measured(name, vectors.queries, lambda some: search.nearest(some, count), classes, kept)


def coded(
    name: str,
    vectors: Vectors,
    classes: Classes,
    bits: Sequence[int],
    count: int,
    settings: Settings | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> list[Way]:
    """Codes of each length, by auto-encoders fitted to the stored vectors."""
    ways = []
    for length in bits:
        say(f"{name}, codes of {length} bits")
        coder, _ = fit(vectors.stored, replace(settings or Settings(), bits=length))
        ways.append(_by_codes(f"{name}, {length} bits", coder, vectors, classes, count))
    return ways


def projected(
    name: str,
    vectors: Vectors,
    classes: Classes,
    bits: Sequence[int],
    count: int,
    say: Callable[[str], object] = lambda _: None,
) -> list[Way]:
    """The floor: signs of random projections of the same lengths."""
    ways = []
    for length in bits:
        say(f"{name}, {length} random projections")
        coder = projections(vectors.stored, length)
        ways.append(_by_codes(f"{name}, {length} random projections", coder, vectors, classes, count))
    return ways


def measured(name: str, queries: np.ndarray, search: Search, classes: Classes, kept: int) -> Way:
    """The precision of `search` over all queries, and its time for some, one after the other."""
    same = (classes.stored[search(queries).indices] == classes.queries[:, None]).mean(1)
    times = []
    for query in queries[:_TIMED]:
        begun = time.perf_counter()
        search(query[None])
        times.append(time.perf_counter() - begun)
    return Way(name, same, float(np.median(times)), kept)


def reduced(images: Tensor, crop: int) -> np.ndarray:
    """float32 `[n, 3*s*s]`, 0..255: the central crop×crop of uint8 `[n,3,S,S]`, averaged to s×s, s 32 or the crop."""
    edge, side = (images.shape[-1] - crop) // 2, min(SIDE, crop)
    seen = images[..., edge : edge + crop, edge : edge + crop].float()
    small: np.ndarray = torch.nn.functional.adaptive_avg_pool2d(seen, side).flatten(1).numpy()
    return small


def _by_codes(name: str, coder: Coder, vectors: Vectors, classes: Classes, count: int) -> Way:
    packed = coder.encode(vectors.stored)

    def search(queries: np.ndarray) -> Neighbours:
        return hamming(coder.encode(queries), packed, count)

    return measured(name, vectors.queries, search, classes, packed.shape[1])


def _classes(stored: Features, asked: Features) -> Classes:
    names = sorted({*stored.labels} - {""})
    numbers = {name: number for number, name in enumerate(names)}
    for one in (stored, asked):
        unknown = [name for name in one.labels if name not in numbers]
        if unknown:
            what = f"of a class {unknown[0]!r} that {stored.path} lacks" if unknown[0] else "without a class"
            raise InputError(f"{one.path} has images {what}; precision is of images in folders by class.")
    return Classes(*(np.array([numbers[name] for name in one.labels], np.int64) for one in (stored, asked)))


def _held(vectors: np.ndarray) -> np.ndarray:
    """The vectors in memory, where time is not that of the disk."""
    return np.array(vectors)


def _reduced(features: Features) -> np.ndarray:
    """float32 `[N, 3*32*32]`: the images of features, read again, their middle reduced."""
    shown = recorded(features.described["preprocessing"])
    read = pictures.reader(features.described, features.paths, shown)
    images = (torch.tensor(read(row)).permute(2, 0, 1)[None] for row in range(len(features)))
    return np.concatenate([reduced(image, shown.crop) for image in images])
