"""Codes that differ in the fewest bits, against loops over the bits."""

import numpy as np
import pytest

from alexnet.errors import InputError
from alexnet.features import hamming as module
from alexnet.features.hamming import hamming


def bits_of(packed):
    return [[int(bit) for byte in row for bit in f"{byte:08b}"] for row in packed.tolist()]


@pytest.mark.parametrize("width", [1, 3, 4, 8, 16, 32])
@pytest.mark.parametrize("words", [1, 1 << 22])
def test_hamming_by_loops(monkeypatch, width, words):
    monkeypatch.setattr(module, "_WORDS", words)
    random = np.random.default_rng(0)
    queries, stored = (random.integers(0, 256, (n, width), np.uint8) for n in (5, 70))
    found = hamming(queries, stored, 9)
    for number, query in enumerate(bits_of(queries)):
        apart = sorted(
            (sum(a != b for a, b in zip(query, other, strict=True)), i) for i, other in enumerate(bits_of(stored))
        )
        assert found.indices[number].tolist() == [i for _, i in apart[:9]]
        assert found.distances[number].tolist() == [d for d, _ in apart[:9]]


def test_hamming_without_numpys_own_count(monkeypatch):
    queries, stored = (np.random.default_rng(0).integers(0, 256, (n, 8), np.uint8) for n in (5, 70))
    expected = hamming(queries, stored, 9)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    found = hamming(queries, stored, 9)
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.distances.tolist() == expected.distances.tolist()


def test_hamming_of_few_none_and_odd_ones():
    one = np.zeros((1, 4), np.uint8)
    assert hamming(one, np.zeros((3, 4), np.uint8), 6).indices.tolist() == [[0, 1, 2]]
    assert hamming(one, one[:0], 6).indices.shape == (1, 0)
    assert hamming(one[:0], one, 6).indices.shape == (0, 1)
    assert hamming(one, np.full((2, 4), 255, np.uint8)).distances.tolist() == [[32, 32]]
    with pytest.raises(InputError, match="need one length"):
        hamming(one, np.zeros((3, 8), np.uint8))
    with pytest.raises(InputError, match="count is 0"):
        hamming(one, one, 0)
