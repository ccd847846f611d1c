"""Averaged SGD against single steps written as a loop, and against scikit-learn's optimum."""

import numpy as np
import pytest
import torch

from alexnet import randomness
from alexnet.baselines import linear
from alexnet.baselines.linear import Descent

N, D, K = 150, 12, 3


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping classes of vectors of length 1, in float16."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, N)
    vectors = rng.normal(size=(N, D)) + 1.5 * np.eye(K, D)[labels]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16), labels


def single_steps(vectors: np.ndarray, labels: np.ndarray, rows: np.ndarray, descent: Descent, seed: int) -> np.ndarray:
    """[K, D + 1]: the same by the definition, a vector at a time in float64."""
    weights, total, averaged, step = np.zeros((K, D + 1)), np.zeros((K, D + 1)), 0, 0
    for epoch in range(descent.epochs):
        for i in rows[randomness.permutation(seed, "baseline descent", epoch, len(rows))]:
            x = np.append(vectors[i].astype(np.float64), 0.1)
            rate = descent.rate * (1 + descent.rate * descent.decay * step) ** -0.75
            for k in range(K):
                sign = 1 if labels[i] == k else -1
                missed = sign * (weights[k] @ x) < 1
                weights[k] *= 1 - rate * descent.decay
                weights[k] += rate * sign * x * missed
            if epoch > 0:
                total += weights
                averaged += 1
            step += 1
    return total / averaged * np.append(np.ones(D), 0.1)


@pytest.mark.parametrize("descent", [Descent(0.01, 0.5, 3), Descent(1e-4, 2.0, 4)])
def test_blocks_are_single_steps(descent):
    vectors, labels = data()
    rows = np.arange(0, N, 1)[7:]
    found = linear.fit(vectors, labels, rows, K, descent, seed=5)
    expected = single_steps(vectors, labels, rows, descent, 5)
    np.testing.assert_allclose(torch.cat([found.weights, found.biases[:, None]], 1), expected, rtol=1e-3, atol=1e-4)


def test_it_comes_near_the_optimum_that_scikit_learn_finds():
    svm = pytest.importorskip("sklearn.svm")
    vectors, labels = data()
    decay = 1e-2
    found = linear.fit(vectors, labels, np.arange(N), K, Descent(decay, 1.0, 200), seed=0)
    ones = np.hstack([vectors.astype(np.float64), np.full((N, 1), 0.1)])

    def objective(weights: np.ndarray, k: int) -> float:
        signs = np.where(labels == k, 1, -1)
        return decay / 2 * weights @ weights + np.maximum(0, 1 - signs * (ones @ weights)).mean()

    for k in range(K):
        best = svm.LinearSVC(
            C=1 / (decay * N), loss="hinge", fit_intercept=False, max_iter=1_000_000, tol=1e-6, random_state=0
        ).fit(ones, labels == k)
        ours = torch.cat([found.weights[k], 10 * found.biases[k : k + 1]]).numpy().astype(np.float64)
        assert objective(ours, k) <= objective(best.coef_[0], k) * 1.01 + 1e-6


def test_it_learns_and_scores():
    vectors, labels = data()
    found = linear.fit(vectors, labels, np.arange(N), K, Descent(), seed=0)
    scores = linear.scores(torch.from_numpy(vectors), found)
    assert scores.shape == (N, K)
    assert (scores.argmax(1).numpy() == labels).mean() > 0.7
    first = vectors[0].astype(np.float64) @ found.weights[1].double().numpy() + found.biases[1].item()
    assert scores[0, 1].item() == pytest.approx(first, rel=1e-4)


def test_rows_left_out_do_not_matter():
    vectors, labels = data()
    rows = np.arange(0, N, 2)
    other = vectors.copy()
    other[1::2] = 0.5
    one, two = (linear.fit(v, labels, rows, K, Descent(epochs=2), seed=0) for v in (vectors, other))
    assert torch.equal(one.weights, two.weights)


def test_the_temperature_has_the_least_loss():
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (500,), generator=draw)
    scores = torch.nn.functional.one_hot(labels, 4) * 0.7 + 0.5 * torch.randn(500, 4, generator=draw)
    found = linear.temperature(scores, labels)
    losses = {
        t: torch.nn.functional.cross_entropy(scores / t, labels).item() for t in (0.9 * found, found, 1.1 * found)
    }
    assert min(losses, key=losses.__getitem__) == found
    # Three that are right leave doubt: (3 + 1) / (3 + 2) is what they count as.
    sure = linear.temperature(torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 0]))
    assert (torch.tensor([1.0, 0.0]) / sure).softmax(0)[0].item() == pytest.approx(4 / 5, abs=1e-3)
    # Scores that are the logarithms of true chances need none; ten times them, ten.
    chances = torch.rand(20_000, 4, generator=draw).softmax(1)
    drawn = torch.multinomial(chances, 1, generator=draw)[:, 0]
    assert linear.temperature(10 * chances.log(), drawn) == pytest.approx(10, rel=0.15)
