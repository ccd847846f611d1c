"""Locality-constrained codes against the closed form a descriptor at a time, and pooling against loops."""

import numpy as np
import pytest
import torch

from alexnet.baselines import sparse_coding

N, D, W, NEIGHBOURS = 40, 6, 15, 4
LAYOUT = ((1, 1), (2, 2), (3, 2))


def data(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(N, D, generator=draw), torch.rand(N, 2, generator=draw), torch.rand(W, D, generator=draw)


def code(x: np.ndarray, words: np.ndarray) -> np.ndarray:
    """[W]: the weights by the method of Lagrange: the objective's gradient and the constraint as one system."""
    found = np.zeros(len(words))
    nearest = np.argsort(((words - x) ** 2).sum(1))[:NEIGHBOURS]
    apart = words[nearest] - x
    ridge = 1e-4 * (apart**2).sum() + 1e-8
    system = np.ones((NEIGHBOURS + 1, NEIGHBOURS + 1))
    system[:-1, :-1] = apart @ apart.T + ridge * np.eye(NEIGHBOURS)
    system[-1, -1] = 0
    found[nearest] = np.linalg.solve(system, np.append(np.zeros(NEIGHBOURS), 1))[:-1]
    return found


def codes() -> np.ndarray:
    descriptors, _, words = (values.double().numpy() for values in data())
    return np.stack([code(x, words) for x in descriptors])


def test_codes_solve_the_constrained_problem():
    descriptors, _, words = data()
    weights, nearest = sparse_coding.codes(descriptors, words, NEIGHBOURS)
    found = torch.zeros(N, W).scatter_(1, nearest, weights)
    np.testing.assert_allclose(found, codes(), atol=2e-3)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_a_word_is_coded_by_itself():
    _, _, words = data()
    weights, nearest = sparse_coding.codes(words, words, NEIGHBOURS)
    assert torch.equal(nearest[:, 0], torch.arange(W))
    assert weights[:, 0].min() > 0.98


def test_pooling_takes_the_largest_weight_in_each_region():
    descriptors, places, words = data()
    found = sparse_coding.pooled(descriptors, places, words, NEIGHBOURS, LAYOUT)
    expected, all_codes = [], codes()
    for rows, columns in LAYOUT:
        for i in range(rows):
            for j in range(columns):
                best = np.zeros(W)
                for values, (down, right) in zip(all_codes, places.tolist(), strict=True):
                    if int(down * rows) == i and int(right * columns) == j:
                        best = np.maximum(best, values)
                expected.append(best)
    joined = np.concatenate(expected)
    np.testing.assert_allclose(found, joined / np.linalg.norm(joined), atol=2e-3)
    assert found.norm().item() == pytest.approx(1, abs=1e-5)


def test_no_descriptors_no_code():
    descriptors, places, words = data()
    assert sparse_coding.pooled(descriptors[:0], places[:0], words, NEIGHBOURS, LAYOUT).abs().max() == 0


def test_the_dictionary_is_the_centres_of_what_it_saw():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    sample = (centres[rng.integers(0, 4, 2000)] + 0.1 * rng.normal(size=(2000, 2))).astype(np.float32)
    found = sparse_coding.fit_dictionary(sample, 4, seed=0)["words"].numpy()
    assert sorted(np.round(found).astype(int).tolist()) == sorted(centres.tolist())
    np.testing.assert_allclose(found, np.round(found), atol=0.05)
