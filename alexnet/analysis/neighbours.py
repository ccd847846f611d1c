"""The vectors nearest to a vector (figure 4, right): exact, in bounded memory, by blocks of matrix products."""

from dataclasses import dataclass

import numpy as np

from alexnet.errors import InputError

_VALUES = 1 << 24  # of one block in float64: 128 MiB
_ROWS = 4096  # of one block at most: the distances of two blocks are as many values
_SPARE = 10  # candidates kept beyond those asked for


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For each of Q queries its k nearest stored vectors, the nearest first."""

    indices: np.ndarray
    """int64 `[Q,k]`, places in the stored vectors; of equal distances the lower place comes first."""
    distances: np.ndarray
    """float64 `[Q,k]`, Euclidean."""


def nearest(queries: np.ndarray, stored: np.ndarray, count: int = 6) -> Neighbours:
    """The `count` stored vectors (all, if there are fewer) at the least Euclidean distance from each query.

    Exactly those, whatever the blocks: products of centred float64 vectors rank candidates, whose distances are then
    computed anew as differences; where rounding could have cut off a neighbour, every distance is. A query that is
    among the stored vectors finds itself.

    Args:
        queries: real `[Q,d]`, an array or a memory map.
        stored: real `[N,d]`, likewise; read in blocks.

    Raises:
        InputError: the vectors do not have the same length, or a value is not finite.
    """
    if queries.ndim != 2 or stored.ndim != 2 or queries.shape[1] != stored.shape[1]:
        raise InputError(f"queries {list(queries.shape)} and stored vectors {list(stored.shape)} need one length.")
    if count < 1:
        raise InputError(f"count is {count}; at least one neighbour is asked for.")
    keep = min(count, len(stored))
    if not len(queries) or not keep:
        return Neighbours(np.empty((len(queries), keep), np.int64), np.empty((len(queries), keep)))
    rows = min(_ROWS, max(1, _VALUES // max(1, queries.shape[1])))
    centre = np.asarray(stored[:rows], np.float64).mean(0)
    parts = [_block(queries[i : i + rows], stored, centre, keep, rows) for i in range(0, len(queries), rows)]
    return Neighbours(np.concatenate([p.indices for p in parts]), np.concatenate([p.distances for p in parts]))


def _block(queries: np.ndarray, stored: np.ndarray, centre: np.ndarray, count: int, rows: int) -> Neighbours:
    """The neighbours of one block of queries."""
    places, squares, doubt = _candidates(np.asarray(queries, np.float64) - centre, stored, centre, count, rows)
    indices = np.empty((len(queries), count), np.int64)
    distances = np.empty((len(queries), count))
    for number, query in enumerate(queries):
        chosen = places[number]
        # Two products closer than their rounding could be the other way round: then nothing may have been cut off.
        if len(chosen) < len(stored) and squares[number, -1] <= squares[number, count - 1] + doubt[number]:
            chosen = np.arange(len(stored))
        exact = differences(query, stored, chosen)
        best = np.lexsort((chosen, exact))[:count]
        indices[number], distances[number] = chosen[best], exact[best]
    return Neighbours(indices, distances)


def _candidates(
    queries: np.ndarray, stored: np.ndarray, centre: np.ndarray, count: int, rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For centred queries: places `[Q,m]` and squared distances `[Q,m]`, ascending, and their doubt `[Q]`."""
    own = np.einsum("qd,qd->q", queries, queries)
    places, squares = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0))
    longest = 0.0
    for start in range(0, len(stored), rows):
        block = np.asarray(stored[start : start + rows], np.float64) - centre
        lengths = np.einsum("nd,nd->n", block, block)
        if not (np.isfinite(own).all() and np.isfinite(lengths).all()):
            raise InputError("a vector has a value that is not finite; only finite ones have neighbours.")
        longest = max(longest, float(lengths.max()))
        squares = np.concatenate([squares, own[:, None] - 2 * (queries @ block.T) + lengths], 1)
        new = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
        places = np.concatenate([places, new], 1)
        if squares.shape[1] > count + _SPARE:
            best = np.argpartition(squares, count + _SPARE - 1, axis=1)[:, : count + _SPARE]
            places, squares = np.take_along_axis(places, best, 1), np.take_along_axis(squares, best, 1)
    order = np.argsort(squares, axis=1)
    # |computed - true| of a sum of d products is at most (d + 4) eps of the sum of their sizes, here (|q| + |x|)^2.
    error = (queries.shape[1] + 4) * np.finfo(np.float64).eps * (np.sqrt(own) + np.sqrt(longest)) ** 2
    return np.take_along_axis(places, order, 1), np.take_along_axis(squares, order, 1), 4 * error


def differences(query: np.ndarray, stored: np.ndarray, places: np.ndarray) -> np.ndarray:
    """float64 `[M]`: the Euclidean distances of `query` (`[d]`) from the stored vectors at `places` (int64 `[M]`)."""
    rows = max(1, _VALUES // max(1, len(query)))
    own = np.asarray(query, np.float64)
    parts = [
        np.sqrt(np.square(np.asarray(stored[places[i : i + rows]], np.float64) - own).sum(1))
        for i in range(0, len(places), rows)
    ]
    return np.concatenate(parts) if parts else np.empty(0)
