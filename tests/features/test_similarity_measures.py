"""Dissimilarities, rank correlations and CKA against the formulas written as loops, and against other packages."""

import math
import tracemalloc

import numpy as np
import pytest

from alexnet.errors import InputError
from alexnet.features import similarity_measures
from alexnet.features.similarity_measures import (
    between,
    cka,
    compared,
    compared_distances,
    debiased_cka,
    dissimilarities,
    rank_correlation,
    ranks,
)


def drawn(images=7, units=(3, 2, 2), seed=0):
    return np.random.default_rng(seed).normal(size=(images, *units)).astype(np.float32)


def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return top / math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))


def above(matrix):
    return [matrix[i][j] for i in range(len(matrix)) for j in range(i + 1, len(matrix))]


def ranks_by_loops(values):
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]


def cka_by_loops(one, other):
    """Kornblith et al., equation 3 with linear kernels: |Y'X|² / (|X'X| |Y'Y|), columns centred."""
    x, y = (a.reshape(len(a), -1).astype(float) for a in (one, other))
    x, y = x - x.mean(0), y - y.mean(0)
    norm = lambda a, b: math.sqrt(sum(sum(p * q for p, q in zip(u, v, strict=True)) ** 2 for u in a.T for v in b.T))  # noqa: E731
    return norm(y, x) ** 2 / (norm(x, x) * norm(y, y))


@pytest.mark.parametrize("values", [1, 30, 1 << 23])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_dissimilarities_by_loops_whatever_the_blocks(monkeypatch, values, offset):
    monkeypatch.setattr(similarity_measures, "_VALUES", values)
    responses = drawn().astype(np.float64) + offset
    rows = responses.reshape(7, -1).tolist()
    expected = [[1 - correlation(a, b) for b in rows] for a in rows]
    np.testing.assert_allclose(dissimilarities(responses), expected, atol=1e-9)
    assert dissimilarities(responses).diagonal().tolist() == [0] * 7


def test_rank_correlation_by_loops_and_scipy():
    stats = pytest.importorskip("scipy.stats")
    one, other = dissimilarities(drawn()), dissimilarities(drawn(seed=1))
    other = np.round(other, 1)  # ties
    expected = correlation(ranks_by_loops(above(one)), ranks_by_loops(above(other)))
    assert rank_correlation(one, other) == pytest.approx(expected, abs=1e-12)
    assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(above(one), above(other)).statistic, abs=1e-12)


def test_ranks_by_loops():
    values = np.random.default_rng(0).integers(0, 6, 40).astype(float)
    assert ranks(values).tolist() == ranks_by_loops(values.tolist())


def test_cka_by_loops():
    one, other = drawn(), drawn(units=(5,), seed=1) + drawn()[:, :1, 0, 0] + 1000
    assert cka(one, other) == pytest.approx(cka_by_loops(one, other), abs=1e-9)


def unbiased_by_loops(one, other):
    """Song et al.'s estimator: sums over images of Gram matrices without their diagonals."""
    n = len(one)
    grams = []
    for each in (one, other):
        flat = each.reshape(n, -1).astype(float)
        grams.append([[0.0 if i == j else float(flat[i] @ flat[j]) for j in range(n)] for i in range(n)])
    k, m = grams
    trace = sum(k[i][j] * m[j][i] for i in range(n) for j in range(n))
    sums = sum(map(sum, k)) * sum(map(sum, m)) / ((n - 1) * (n - 2))
    rows = sum(k[i][j] * m[j][h] for i in range(n) for j in range(n) for h in range(n)) * 2 / (n - 2)
    return (trace + sums - rows) / (n * (n - 3))


def test_debiased_cka_by_loops():
    one, other = drawn(), drawn(units=(5,), seed=1) + drawn()[:, :1, 0, 0] + 3
    of = unbiased_by_loops
    expected = of(one, other) / math.sqrt(of(one, one) * of(other, other))
    assert debiased_cka(one, other) == pytest.approx(expected, abs=1e-7)
    assert math.isnan(debiased_cka(drawn(3), drawn(3, seed=1)))


def test_independent_responses_of_many_units_are_alike_by_cka_and_not_debiased():
    pairs = [(drawn(20, (500,), seed), drawn(20, (500,), seed + 50)) for seed in range(20)]
    found = [(cka(one, other), debiased_cka(one, other)) for one, other in pairs]
    biased, debiased = (sum(values) / len(values) for values in zip(*found, strict=True))
    assert biased > 0.9
    assert abs(debiased) < 0.1


def test_what_cka_does_not_see():
    one = drawn(9, (4,)).astype(float)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    assert cka(one, one @ rotation * 3 + [1, 2, 3, 4]) == pytest.approx(1)
    assert cka(one, one * [1, 1, 1, 30]) < 0.9


def test_against_rsatoolbox():
    rsatoolbox = pytest.importorskip("rsatoolbox")
    sets = [drawn(12, (20,), seed) for seed in range(2)]
    theirs = [
        rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(each.astype(float)), method="correlation") for each in sets
    ]
    for mine, their in zip(sets, theirs, strict=True):
        np.testing.assert_allclose(dissimilarities(mine), their.get_matrices()[0], atol=1e-6)
    found = rank_correlation(*map(dissimilarities, sets))
    assert found == pytest.approx(float(rsatoolbox.rdm.compare(*theirs, method="spearman")[0, 0]), abs=1e-6)


def test_all_pairs_at_once_are_the_pairs():
    sets = [drawn(8, (6,), seed) for seed in range(3)]
    measured = dissimilarities(drawn(8, seed=9))
    together = [compared(each) for each in sets]
    ranked, aligned, debiased = between([*(each for each, _ in together), compared_distances(measured)])
    matrices = [*(matrix for _, matrix in together), measured]
    for i in range(4):
        for j in range(4):
            assert ranked[i, j] == pytest.approx(rank_correlation(matrices[i], matrices[j]), abs=1e-6)
            if i < 3 and j < 3:
                assert aligned[i, j] == pytest.approx(cka(sets[i], sets[j]), abs=1e-6)
                own = 1 if i == j else debiased_cka(sets[i], sets[j])
                assert debiased[i, j] == pytest.approx(own, abs=1e-5)
    assert np.isnan(aligned[3]).all()
    assert np.isnan(debiased[3]).all()
    assert np.isnan(aligned[:, 3]).all()


def test_memory_keeps_to_what_is_said(monkeypatch):
    monkeypatch.setattr(similarity_measures, "_VALUES", 1 << 10)
    responses = drawn(200, (300,))
    tracemalloc.start()
    try:
        kept = [compared(responses)[0] for _ in range(3)]
        between(kept)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= similarity_measures.memory(200, 3)
    assert (
        similarity_measures.memory(similarity_measures.most_images(10**9, 5), 5)
        <= 10**9
        < similarity_measures.memory(similarity_measures.most_images(10**9, 5) + 1, 5)
    )
    assert similarity_measures.most_images(0, 5) == 0


def test_memory_is_what_the_help_says():
    assert similarity_measures.most_images(10**9, 2) == pytest.approx(3490, abs=5)
    assert similarity_measures.memory(2000, 10) == pytest.approx(0.7e9, rel=0.01)


def test_half_precision_maps(tmp_path):
    np.save(tmp_path / "conv.npy", drawn().astype(np.float16))
    mapped = np.load(tmp_path / "conv.npy", mmap_mode="r")
    np.testing.assert_allclose(dissimilarities(mapped), dissimilarities(np.asarray(mapped, float)), atol=1e-12)


def test_what_cannot_be_compared_is_refused():
    dead = drawn()
    dead[4] = 3.3
    with pytest.raises(InputError, match="image 4 has the same response in every unit"):
        dissimilarities(dead)
    dead[5] = np.nan
    with pytest.raises(InputError, match="image 5 has a response that is not finite"):
        dissimilarities(dead)
    with pytest.raises(InputError, match="at least 3 images"):
        dissimilarities(drawn(2))
    with pytest.raises(InputError, match="at least 3 images"):
        dissimilarities(np.zeros(5))
    with pytest.raises(InputError, match="to 7 and to 6 images"):
        cka(drawn(), drawn(6))
    with pytest.raises(InputError, match="every image has the same responses"):
        cka(np.repeat(drawn(1), 5, 0), drawn(5))
    with pytest.raises(InputError, match="all dissimilarities are equal"):
        rank_correlation(1 - np.eye(4), dissimilarities(drawn(4)))
    with pytest.raises(InputError, match=r"\[4, 3\]"):
        rank_correlation(np.zeros((4, 3)), np.zeros((4, 4)))
    with pytest.raises(InputError, match="not finite"):
        rank_correlation(np.full((4, 4), np.nan), np.zeros((4, 4)))
