"""Nearest vectors against distances written as loops: the same places and the same numbers, whatever the blocks."""

import math
import tracemalloc

import numpy as np
import pytest
import torch

from alexnet.errors import InputError
from alexnet.features import nearest as module
from alexnet.features.nearest import differences, nearest


def by_loops(queries, stored, count):
    """Places and distances, ties by place."""
    places, distances = [], []
    for query in queries.tolist():
        found = sorted((math.dist(query, other), place) for place, other in enumerate(stored.tolist()))[:count]
        distances.append([distance for distance, _ in found])
        places.append([place for _, place in found])
    return places, distances


def drawn(rows, columns=7, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(dtype)


@pytest.mark.parametrize("values", [7, 35, 1 << 24])
@pytest.mark.parametrize("offset", [0, 1000])
def test_agrees_with_loops_whatever_the_blocks(monkeypatch, values, offset):
    monkeypatch.setattr(module, "_VALUES", values)
    queries, stored = drawn(9, seed=1) + offset, drawn(50) + offset
    found = nearest(queries, stored, 6)
    places, distances = by_loops(queries, stored, 6)
    assert found.indices.tolist() == places
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
    assert found.distances.dtype == np.float64


def test_memory_is_that_of_blocks_also_for_short_vectors(monkeypatch):
    """All distances at once would be 8 MB, and several arrays are of their shape."""
    monkeypatch.setattr(module, "_ROWS", 32)
    queries, stored = drawn(320, 2, seed=1), drawn(3200, 2)
    tracemalloc.start()
    try:
        found = nearest(queries, stored, 3)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert found.indices[:9].tolist() == by_loops(queries[:9], stored, 3)[0]


@pytest.mark.parametrize("values", [14, 1 << 24])
def test_ties_are_broken_by_place_also_where_they_are_more_than_the_candidates(monkeypatch, values):
    monkeypatch.setattr(module, "_VALUES", values)
    stored = np.repeat(drawn(2), 40, axis=0)[np.random.default_rng(3).permutation(80)]
    for seed in range(5):
        query = drawn(1, seed=seed)
        assert nearest(query, stored, 6).indices.tolist() == by_loops(query, stored, 6)[0]


def test_rounding_far_from_the_centre_cuts_no_neighbour_off():
    """Two crowds a million apart: products cannot tell the members of one, differences can."""
    crowd = drawn(60, dtype=np.float64) * 1e-4
    stored = np.concatenate([crowd + 1e6, crowd - 1e6])
    queries = stored[[3, 70]] + 1e-5
    assert nearest(queries, stored, 4).indices.tolist() == by_loops(queries, stored, 4)[0]


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e15, 1e30, 1e150])
def test_magnitudes_that_float32_cannot_square(scale):
    queries, stored = drawn(4, seed=1, dtype=np.float64) * scale, drawn(60, dtype=np.float64) * scale
    for kind in (np.float64, np.float32) if scale < 1e38 else (np.float64,):
        found = nearest(queries.astype(kind), stored.astype(kind), 3)
        assert found.indices.tolist() == by_loops(queries.astype(kind), stored.astype(kind), 3)[0]


def test_nearly_equal_distances_that_products_in_float32_confuse():
    """Around one query 400 vectors of distances that differ by a millionth, those of float64 being right."""
    random = np.random.default_rng(4)
    steps = random.normal(size=(400, 64))
    radii = 1 + 1e-6 * random.permutation(400)
    stored = (3 + steps / np.linalg.norm(steps, axis=1, keepdims=True) * radii[:, None]).astype(np.float32)
    query = np.full((1, 64), 3, np.float32)
    exact = np.sqrt(np.square(stored.astype(np.float64) - query).sum(1))
    expected = np.argsort(exact, kind="stable")[:6]
    squares = np.square(stored).sum(1) - 2 * stored @ query[0]
    assert np.argsort(squares, kind="stable")[:6].tolist() != expected.tolist()
    assert nearest(query, stored, 6).indices[0].tolist() == expected.tolist()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0, 3])
def test_computed_distances_keep_to_their_bound(precision, offset):
    """What a pass calls possible holds the nearest wherever it calls itself complete."""
    queries, stored = likely(40, seed=1) + offset, likely(500) + offset
    found = module.Exact(stored)._candidates(queries, 3, 128, precision)
    assert found.complete.sum() > 30
    for number, query in enumerate(queries):
        possible = set(found.places[number, found.possible[number]].tolist())
        assert set(by_loops(query[None], stored, 3)[0][0]) <= possible or not found.complete[number]
        assert len(possible) <= 5


def likely(rows, seed=0):
    """float32 `[rows, 200]`, rectified mixtures of few sources, as the responses of a trained network are."""
    mixing = np.random.default_rng(7).normal(size=(6, 200))
    return np.maximum(np.random.default_rng(seed).normal(size=(rows, 6)) @ mixing, 0).astype(np.float32)


def test_what_float32_leaves_open_goes_to_float64():
    """All lie at about one distance, far away: too many to keep as candidates."""
    queries, stored = drawn(32, 500, seed=1) + 3000, drawn(3000, 500) - 3000
    assert not module.Exact(stored)._candidates(queries, 6, 512, torch.float32).complete.any()
    exact = [np.square(stored.astype(np.float64) - query.astype(np.float64)).sum(1) for query in queries]
    assert nearest(queries, stored, 6).indices.tolist() == np.argsort(exact, axis=1)[:, :6].tolist()


@pytest.mark.parametrize("offset", [0, 1000])
def test_one_search_after_another_finds_what_each_finds_alone(offset, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 64)
    stored, exact = drawn(300) + offset, module.Exact(drawn(300) + offset)
    for seed, count in ((1, 3), (2, 300), (3, 6)):
        queries = drawn(seed, seed=seed) + offset
        found, alone = exact.nearest(queries, count), nearest(queries, stored, count)
        assert found.indices.tolist() == alone.indices.tolist() == by_loops(queries, stored, count)[0]
        assert found.distances.tolist() == alone.distances.tolist()


def test_queries_and_stored_of_different_types_have_one_centre():
    queries, stored = drawn(5, seed=1, dtype=np.float64) + 1000.123456789, drawn(60) + np.float32(1000.123456789)
    assert nearest(queries, stored, 4).indices.tolist() == by_loops(queries, stored, 4)[0]


def test_half_precision_and_whole_numbers():
    stored = drawn(60)
    halves, whole = stored.astype(np.float16), (stored * 1000).astype(np.int64)
    for vectors in (halves, whole, whole.astype(np.int16)):
        assert nearest(vectors[:5], vectors, 4).indices.tolist() == by_loops(vectors[:5], vectors, 4)[0]


def test_a_stored_vector_finds_itself_at_no_distance():
    stored = drawn(40)
    found = nearest(stored, stored, 3)
    assert found.indices[:, 0].tolist() == list(range(40))
    assert found.distances[:, 0].tolist() == [0.0] * 40


def test_pixels_and_memory_maps(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 12), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    found = nearest(mapped[:5], mapped, 6)
    assert found.indices.tolist() == by_loops(pixels[:5].astype(int), pixels.astype(int), 6)[0]


def test_fewer_stored_than_asked_for_and_no_queries():
    found = nearest(drawn(2), drawn(3), 6)
    assert found.indices.shape == found.distances.shape == (2, 3)
    assert nearest(drawn(0), drawn(3), 6).indices.shape == (0, 3)
    assert nearest(drawn(2), drawn(0), 6).indices.shape == (2, 0)


def test_differences_at_places(monkeypatch):
    monkeypatch.setattr(module, "_VALUES", 14)
    query, stored, places = drawn(1)[0], drawn(9, seed=2), np.array([8, 0, 3, 3])
    expected = [math.dist(query.tolist(), stored[place].tolist()) for place in places]
    np.testing.assert_allclose(differences(query, stored, places), expected, rtol=1e-12)


def test_what_has_no_neighbours_is_refused():
    with pytest.raises(InputError, match=r"\[2, 7\] and stored vectors \[3, 6\]"):
        nearest(drawn(2), drawn(3, 6))
    with pytest.raises(InputError, match="count is 0"):
        nearest(drawn(2), drawn(3), 0)
    with pytest.raises(InputError, match="not finite"):
        nearest(drawn(2), np.full((3, 7), np.nan))
    with pytest.raises(InputError, match="not finite"):
        nearest(np.full((1, 7), np.inf), drawn(3))
