"""The vectors nearest to a vector (figure 4, right): exact, in bounded memory, by blocks of matrix products.

Products tell which few vectors can be among the nearest: each computed distance is known to within a bound that holds
for any order of summation. What those of float32 leave open goes to float64; and differences in float64 decide.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError

_VALUES = 1 << 22  # of one block: 16 MiB in float32; larger ones are given back to the system and cleared each time
_ROWS = 4096  # of one block at most: the distances of two blocks are as many values
_SAMPLE = 64  # stored vectors whose mean is the centre
_SPARE = 20  # candidates beyond those asked for
_TOGETHER = 1 << 15  # computed distances are looked through by so many: a lone query's blocks have few


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For each of Q queries its k nearest stored vectors, the nearest first."""

    indices: np.ndarray
    """int64 `[Q,k]`, places in the stored vectors; of equal distances the lower place comes first."""
    distances: np.ndarray
    """float64 `[Q,k]`, Euclidean."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """The stored vectors that may be nearest to each of Q queries."""

    places: np.ndarray
    """int64 `[Q,m]`."""
    possible: np.ndarray
    """bool `[Q,m]`: whether the bound leaves open that it is among the nearest."""
    complete: np.ndarray
    """bool `[Q]`: whether no other vector can be."""


def nearest(queries: np.ndarray, stored: np.ndarray, count: int = 6) -> Neighbours:
    """What `Exact` finds, asked once."""
    return Exact(stored).nearest(queries, count)


class Exact:
    """All stored vectors, compared with every query; how long they are is measured in the first search and kept.

    It may be searched from many threads.

    Args:
        stored: real `[N,d]`, an array or a memory map, which nothing changes meanwhile; read in blocks.
    """

    def __init__(self, stored: np.ndarray) -> None:
        self.stored = stored
        self._known: tuple[np.ndarray | None, Tensor] | None = None  # the centre, and the squared lengths from it

    def nearest(self, queries: np.ndarray, count: int) -> Neighbours:
        """The `count` stored vectors (all, if there are fewer) at the least Euclidean distance from each query.

        Exactly those, whatever the blocks: products rank candidates, whose distances are then computed anew as
        differences in float64; where rounding could have cut off a neighbour, every distance is. A query that is
        among the stored vectors finds itself.

        Args:
            queries: real `[Q,d]`, an array or a memory map.

        Raises:
            InputError: the vectors do not have the same length, or a value is not finite.
        """
        stored = self.stored
        if queries.ndim != 2 or stored.ndim != 2 or queries.shape[1] != stored.shape[1]:
            raise InputError(f"queries {list(queries.shape)} and stored vectors {list(stored.shape)} need one length.")
        if count < 1:
            raise InputError(f"count is {count}; at least one neighbour is asked for.")
        keep = min(count, len(stored))
        indices, distances = np.empty((len(queries), keep), np.int64), np.empty((len(queries), keep))
        rows = min(_ROWS, max(1, _VALUES // max(1, queries.shape[1])))
        for start in range(0, len(queries) if keep else 0, rows):
            block = queries[start : start + rows]
            for number, places in self._possible(block, keep, rows):
                exact = differences(block[number], stored, places)
                if not np.isfinite(exact).all():
                    raise InputError("a vector has a value that is not finite; only finite ones have neighbours.")
                best = np.lexsort((places, exact))[:keep]
                indices[start + number], distances[start + number] = places[best], exact[best]
        return Neighbours(indices, distances)

    def _possible(self, queries: np.ndarray, count: int, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """Each query's number with the places (int64, ascending) among which its nearest are."""
        left = np.arange(len(queries))
        for precision in (torch.float32, torch.float64):
            if len(left) and count + _SPARE < len(self.stored):
                found = self._candidates(queries[left], count, rows, precision)
                for number in np.flatnonzero(found.complete):
                    places = np.sort(found.places[number, found.possible[number]])
                    yield int(left[number]), _closer(queries[left[number]], self.stored, places, count)
                left = left[~found.complete]
        for number in left:
            yield int(number), np.arange(len(self.stored))

    def _candidates(self, queries: np.ndarray, count: int, rows: int, precision: torch.dtype) -> _Candidates:
        """What one pass over the stored vectors tells."""
        stored, bound = self.stored, _bound(queries.shape[1], precision)
        best = _Best(len(queries), count + _SPARE)
        known = self._known if precision == torch.float32 else None
        shift = known[0] if known else _centre(stored[: min(rows, _SAMPLE)])
        own = _shifted(queries, shift, precision)
        squares, asked, every = _squared_lengths(own), own * -2, []
        for start in range(0, len(stored), rows):
            block = _shifted(stored[start : start + rows], shift, precision)
            lengths = known[1][start : start + rows] if known else _squared_lengths(block)
            if not known and not torch.isfinite(lengths).all():
                return _Candidates(best.places, best.places >= 0, np.zeros(len(queries), bool))
            every.append(lengths)
            # The least that |x|² - 2qx can be, up to a number that is the query's own.
            least = asked @ block.T
            least.add_((1 - bound) * lengths)
            best.take(least.numpy())
        found = torch.cat(every)
        if precision == torch.float32:
            self._known = shift, found
        best.look_through()
        tiny = 64 * queries.shape[1] * torch.finfo(precision).tiny  # products too small for the precision are lost
        most = best.least + 2 * bound * (found.numpy()[best.places] + squares.numpy()[:, None]) + tiny
        kth = np.partition(most, count - 1, axis=1)[:, count - 1 : count]
        complete = (best.least.max(1) > kth[:, 0]) & torch.isfinite(squares).numpy()
        return _Candidates(best.places, best.least <= kth, complete)


def differences(query: np.ndarray, stored: np.ndarray, places: np.ndarray) -> np.ndarray:
    """float64 `[M]`: the Euclidean distances of `query` (`[d]`) from the stored vectors at `places` (int64 `[M]`)."""
    rows = max(1, _VALUES // max(1, len(query)))
    own = np.asarray(query, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [
            np.sqrt(np.square(np.asarray(stored[places[i : i + rows]], np.float64) - own).sum(1))
            for i in range(0, len(places), rows)
        ]
    return np.concatenate(parts) if parts else np.empty(0)


def _bound(length: int, precision: torch.dtype) -> float:
    """b, such that a squared distance |q|² + |x|² - 2qx is computed to within b(|q|² + |x|²).

    A sum of d products is off by at most d u of the sum of their sizes, in any order, u being half the machine's
    epsilon; here are two such sums, and 16 u more than cover centring and adding up.
    """
    return float((length + 16) * torch.finfo(precision).eps)


class _Best:
    """The m least of all that was taken, for each query, in no order; known once all is looked through."""

    def __init__(self, queries: int, keep: int) -> None:
        self._keep = keep
        self._taken: list[np.ndarray] = []
        self._first = 0
        self.least: np.ndarray = np.empty((queries, 0), np.float32)
        self.places: np.ndarray = np.empty((queries, 0), np.int64)

    def take(self, least: np.ndarray) -> None:
        """Nothing; the next places' `least` (`[Q,n]`) are looked through now or, where they are few, with others."""
        self._taken.append(least)
        if sum(each.size for each in self._taken) >= _TOGETHER:
            self.look_through()

    def look_through(self) -> None:
        """Nothing; all that was taken is."""
        if not self._taken:
            return
        least = np.concatenate(self._taken, 1) if len(self._taken) > 1 else self._taken[0]
        start, self._first, self._taken = self._first, self._first + least.shape[1], []
        if self.least.shape[1] < self._keep:
            columns = np.argpartition(least, min(self._keep, least.shape[1]) - 1, axis=1)[:, : self._keep]
            least = np.take_along_axis(least, columns, 1)
        else:
            least, columns = _hits(least, self.least.max(1, keepdims=True))
        self.least = np.concatenate([self.least, least], 1)
        self.places = np.concatenate([self.places, start + columns], 1)
        if self.least.shape[1] > self._keep:
            order = np.argpartition(self.least, self._keep - 1, axis=1)[:, : self._keep]
            self.least, self.places = (np.take_along_axis(each, order, 1) for each in (self.least, self.places))


def _hits(values: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values `[Q,w]` below each row's limit and their columns `[Q,w]`, rows filled up with infinity."""
    rows, columns = np.nonzero(values < limits)
    counts = np.bincount(rows, minlength=len(values))
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.full((len(values), counts.max(initial=0)), np.inf, values.dtype)
    where = np.zeros(found.shape, np.int64)
    found[rows, within], where[rows, within] = values[rows, columns], columns
    return found, where


def _closer(query: np.ndarray, stored: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """Those of `places` that can be among the `count` nearest by differences in float32, good to d + 4 roundings."""
    if (
        len(places) <= 4 * count
        or not np.can_cast(stored.dtype, np.float32)
        or not np.can_cast(query.dtype, np.float32)
    ):
        return places
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.asarray(stored[places], np.float32) - np.asarray(query, np.float32)
        squares = np.einsum("nd,nd->n", apart, apart)
    slack = 1 + 2 * (len(query) + 4) * np.finfo(np.float32).eps
    limit = np.partition(squares, count - 1)[count - 1] * slack + len(query) * np.finfo(np.float32).tiny
    kept: np.ndarray = places[~(squares > limit)]
    return kept


def _centre(block: np.ndarray) -> np.ndarray | None:
    """float64 `[d]`: the mean of `block`, or None where the vectors lie about as far from it as from zero."""
    values = np.asarray(block, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = values.mean(0).astype(np.float32).astype(np.float64)  # the same number wherever it is taken off
        near = np.vdot(mean, mean) < 0.9 * np.vdot(values, values) / len(values)
    return None if near else mean


def _shifted(block: np.ndarray, shift: np.ndarray | None, precision: torch.dtype) -> Tensor:
    """`block` less `shift` in the precision of its products."""
    exact = precision == torch.float32 and np.can_cast(block.dtype, np.float32)
    values = np.asarray(block, np.float32 if exact else np.float64)
    with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
        # torch warns of memory maps that may not be written to; nothing here does.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(values if shift is None else values - shift.astype(values.dtype))
    return tensor.to(precision)


def _squared_lengths(vectors: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return lengths.square_()
