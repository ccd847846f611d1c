"""Fisher vectors against the formulas of Sánchez et al. (IJCV 2013) written as loops, and scikit-image's."""

import math

import numpy as np
import pytest
import torch

from alexnet.baselines import fisher
from alexnet.baselines.pyramid import count, pieces

K, D, N = 3, 4, 50
LAYOUT = ((1, 1), (2, 2), (3, 1))


def mixture(seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "weights": torch.tensor([0.5, 0.3, 0.2]),
        "means": torch.randn(K, D, generator=draw),
        "variances": torch.rand(K, D, generator=draw) + 0.3,
    }


def points(seed: int = 1, n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, D, generator=draw), torch.rand(n, 2, generator=draw)


def density(x: np.ndarray, k: int, m: dict[str, np.ndarray]) -> float:
    value = m["weights"][k]
    for d in range(D):
        variance = m["variances"][k, d]
        value *= math.exp(-((x[d] - m["means"][k, d]) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return value


def region(x: np.ndarray, m: dict[str, np.ndarray]) -> np.ndarray:
    """One region's improved Fisher vector by loops, equations 16 to 18."""
    found = np.zeros((2, K, D))
    for point in x:
        likely = [density(point, k, m) for k in range(K)]
        for k in range(K):
            share = likely[k] / sum(likely)
            for d in range(D):
                z = (point[d] - m["means"][k, d]) / math.sqrt(m["variances"][k, d])
                found[0, k, d] += share * z / math.sqrt(m["weights"][k])
                found[1, k, d] += share * (z * z - 1) / math.sqrt(2 * m["weights"][k])
    found = np.sign(found) * np.sqrt(np.abs(found / max(1, len(x))))
    return found.ravel() / (np.linalg.norm(found) or 1)


def test_posteriors_are_bayes_rule():
    m, (x, _) = mixture(), points()
    plain = {name: value.double().numpy() for name, value in m.items()}
    expected = np.array([[density(point, k, plain) for k in range(K)] for point in x.double().numpy()])
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(fisher.posteriors(x, m), expected, rtol=2e-5, atol=1e-7)


def test_no_posterior_is_next_to_nothing():
    m, (x, _) = mixture(), points()
    found = fisher.posteriors(20 * x, m)
    assert (found == 0).any()
    assert (found[found > 0] > 1e-14).all()
    torch.testing.assert_close(found.sum(1), torch.ones(N))


def test_a_fisher_vector_is_the_formula_in_each_region():
    m, (x, places) = mixture(), points()
    plain = {name: value.double().numpy() for name, value in m.items()}
    found = fisher.fisher_vector(x, places, m, LAYOUT).view(count(LAYOUT), -1)
    expected = []
    for rows, columns in LAYOUT:
        for i in range(rows):
            for j in range(columns):
                mine = [
                    point
                    for point, (down, right) in zip(x.double().numpy(), places.tolist(), strict=True)
                    if int(down * rows) == i and int(right * columns) == j
                ]
                expected.append(region(np.array(mine), plain))
    np.testing.assert_allclose(found, np.stack(expected) / math.sqrt(len(expected)), atol=2e-5)


def test_it_is_scikit_images_but_for_the_weights_part_and_a_sign():
    skimage, mixtures = pytest.importorskip("skimage.feature"), pytest.importorskip("sklearn.mixture")
    m, (x, places) = mixture(), points()

    plain = {name: value.double().numpy() for name, value in m.items()}
    theirs_mixture = mixtures.GaussianMixture(K, covariance_type="diag")
    theirs_mixture.weights_, theirs_mixture.means_ = plain["weights"], plain["means"]
    theirs_mixture.covariances_, theirs_mixture.precisions_cholesky_ = plain["variances"], plain["variances"] ** -0.5
    theirs = skimage.fisher_vector(x.double().numpy(), theirs_mixture, improved=True)[K:].reshape(2, K, D)
    theirs[1] *= -1
    ours = fisher.fisher_vector(x, places, m, ((1, 1),)).view(2, K, D).numpy()
    np.testing.assert_allclose(ours, theirs / np.linalg.norm(theirs), atol=1e-4)


def test_an_empty_region_is_zero_and_the_whole_has_length_1():
    m, (x, places) = mixture(), points()
    found = fisher.fisher_vector(x, places * 0.45, m, ((1, 1), (2, 2))).view(5, -1)
    assert found.norm().item() == pytest.approx(1, abs=1e-5)
    assert found[2:].abs().max() == 0
    torch.testing.assert_close(found[0], found[1])
    assert fisher.fisher_vector(x[:0], places[:0], m, LAYOUT).abs().max() == 0


def test_the_order_of_descriptors_does_not_matter():
    m, (x, places) = mixture(), points()
    turned = torch.arange(N).flip(0)
    one, other = (fisher.fisher_vector(x[o], places[o], m, LAYOUT) for o in (torch.arange(N), turned))
    torch.testing.assert_close(one, other)


def test_the_projection_is_the_eigenvectors_of_the_covariance():
    pytest.importorskip("sklearn")
    sample = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32) * np.array([5, 1, 3, 2, 4], np.float32)
    found = fisher.fit_projection(sample, 3)
    values, vectors = np.linalg.eigh(np.cov(sample.T.astype(np.float64)))
    overlap = np.abs(found["components"].numpy() @ vectors[:, np.argsort(-values)[:3]])
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-4)
    projected = fisher.project(torch.from_numpy(sample), found)
    np.testing.assert_allclose(projected.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(projected.var(0), np.sort(values)[::-1][:3], rtol=1e-4)
    assert fisher.fit_projection(sample, 64)["components"].shape == (5, 5)


def test_the_mixture_finds_the_gaussians_that_made_the_sample():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    means, deviations = np.array([[0, 0], [9, 0], [0, 9]]), np.array([[1, 0.5], [2, 1], [0.5, 2]])
    which = rng.choice(3, 6000, p=[0.5, 0.3, 0.2])
    sample = (means[which] + deviations[which] * rng.normal(size=(6000, 2))).astype(np.float32)
    found = fisher.fit_mixture(sample, 3, 50, seed=0)
    order = [int(np.abs(found["means"].numpy() - mean).sum(1).argmin()) for mean in means]
    np.testing.assert_allclose(found["weights"][order], [0.5, 0.3, 0.2], atol=0.02)
    np.testing.assert_allclose(found["means"][order], means, atol=0.15)
    np.testing.assert_allclose(found["variances"][order], deviations**2, rtol=0.15)
    again = fisher.fit_mixture(sample, 3, 50, seed=0)
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_pieces_cut_a_picture_at_every_border():
    places = torch.rand(500, 2, generator=torch.Generator().manual_seed(0))
    cut = pieces(places, LAYOUT)
    assert sum(cut.counts) == 500
    assert cut.regions.shape == (8, len(cut.counts))
    sizes = cut.regions.long() @ torch.tensor(cut.counts)
    expected = [
        int((((places[:, 0] * r).long() == i) & ((places[:, 1] * c).long() == j)).sum())
        for r, c in LAYOUT
        for i in range(r)
        for j in range(c)
    ]
    assert sizes.tolist() == expected
