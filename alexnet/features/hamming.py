"""The binary codes that differ from a code in the fewest bits."""

import numpy as np

from alexnet.errors import InputError
from alexnet.features.nearest import Neighbours

_WORDS = 1 << 22  # of codes compared at once: 32 MiB


def hamming(queries: np.ndarray, stored: np.ndarray, count: int = 6) -> Neighbours:
    """The `count` stored codes (all, if there are fewer) that differ in the fewest bits; distances are those bits.

    Args:
        queries, stored: uint8 `[Q,b]` and `[N,b]`, packed codes.

    Raises:
        InputError: the codes have different lengths.
    """
    if queries.ndim != 2 or stored.ndim != 2 or queries.shape[1] != stored.shape[1]:
        raise InputError(f"codes {list(queries.shape)} and {list(stored.shape)} bytes need one length.")
    if count < 1:
        raise InputError(f"count is {count}; at least one neighbour is asked for.")
    keep = min(count, len(stored))
    indices, distances = np.empty((len(queries), keep), np.int64), np.empty((len(queries), keep))
    asked, held = _words(queries), _words(stored)
    for number in range(len(queries) if keep else 0):
        apart = _apart(asked[number], held)
        limit = np.partition(apart, keep - 1)[keep - 1]
        near = np.flatnonzero(apart <= limit)  # ascending, so equal distances keep the order of their places
        best = near[np.argsort(apart[near], kind="stable")[:keep]]
        indices[number], distances[number] = best, apart[best]
    return Neighbours(indices, distances)


def _words(codes: np.ndarray) -> np.ndarray:
    """The same bits in words `[N, w]` as long as the codes' length allows."""
    width = next(width for width in (8, 4, 2, 1) if codes.shape[1] % width == 0)
    return np.ascontiguousarray(codes).view(f"u{width}")


def _apart(query: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """uint16 `[N]`: in how many bits each stored code (words `[N,w]`) differs from the query's (`[w]`)."""
    out = np.empty(len(stored), np.uint16)
    step = max(1, _WORDS // max(1, stored.shape[1]))
    for start in range(0, len(stored), step):
        counts = _ones(stored[start : start + step] ^ query)
        out[start : start + step] = counts[:, 0] if counts.shape[1] == 1 else counts.sum(1, dtype=np.uint16)
    return out


_TABLE = np.array([bin(value).count("1") for value in range(256)], np.uint8)


def _ones(words: np.ndarray) -> np.ndarray:
    """uint8 `[N, ...]`: how many bits of each word, or of each of its bytes, are 1."""
    if hasattr(np, "bitwise_count"):  # from numpy 2 on
        found: np.ndarray = np.bitwise_count(words)
        return found
    table: np.ndarray = _TABLE[words.view(np.uint8)]
    return table
