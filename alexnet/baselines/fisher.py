"""Improved Fisher vectors (Perronnin, Sánchez and Mensink, ECCV 2010; Sánchez et al., IJCV 2013)."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from alexnet.baselines.pyramid import Layout, pieces

_FLOOR = 1e-4  # added to variances, relative to the data's own
_LEAST = -30.0  # log of the smallest posterior, against a point's largest, that is not taken for 0


def fit_projection(sample: np.ndarray, dimensions: int) -> dict[str, Tensor]:
    """The principal components of descriptors: "mean" float32 `[D]` and "components" float32 `[d, D]`.

    By scikit-learn's PCA, without whitening. `d` is `dimensions`, or D where that is fewer.

    Args:
        sample: float32 `[n, D]`.
    """
    from sklearn.decomposition import PCA

    pca = PCA(min(dimensions, sample.shape[1]), svd_solver="covariance_eigh").fit(sample)
    mean, components = (torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in (pca.mean_, pca.components_))
    return {"mean": mean, "components": components}


def fit_mixture(sample: np.ndarray, components: int, iterations: int, seed: int) -> dict[str, Tensor]:
    """A Gaussian mixture with diagonal covariances: "weights" float32 `[K]`, "means" and "variances" `[K, d]`.

    By scikit-learn's expectation maximisation, begun at the centres of mini-batch k-means.

    Args:
        sample: float32 `[n, d]`.
        components: K.
        iterations: at most so many.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.mixture import GaussianMixture

    begin = MiniBatchKMeans(components, random_state=seed, batch_size=4096, n_init=1, max_iter=20).fit(sample)
    spread = sample.var(0) + np.float32(1e-12)
    shares = np.bincount(begin.labels_, minlength=components).astype(np.float32) + 1
    within = np.stack([_variance(sample, begin.labels_ == k, spread) for k in range(components)])
    mixture = GaussianMixture(
        components,
        covariance_type="diag",
        reg_covar=float(spread.mean()) * _FLOOR,
        max_iter=iterations,
        tol=1e-4,
        random_state=seed,
        weights_init=shares / shares.sum(),
        means_init=begin.cluster_centers_.astype(np.float32),
        precisions_init=1 / within,
    )
    with _quiet():
        mixture.fit(sample)
    named = {"weights": mixture.weights_, "means": mixture.means_, "variances": mixture.covariances_}
    return {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in named.items()}


def project(descriptors: Tensor, projection: dict[str, Tensor]) -> Tensor:
    """float32 `[n, d]` from descriptors `[n, D]`."""
    return (descriptors - projection["mean"]) @ projection["components"].T


def posteriors(points: Tensor, mixture: dict[str, Tensor]) -> Tensor:
    """float32 `[n, K]`: how probably each point (`[n, d]`) came from each component; below 1e-13 it is 0.

    Products of numbers as small as most of these would be denormal, on which processors take many times as long.
    """
    inverse = 1 / mixture["variances"]
    constant = mixture["weights"].log() + 0.5 * (inverse.log() - mixture["means"].square() * inverse).sum(1)
    linear = torch.cat([mixture["means"] * inverse, -0.5 * inverse], 1)
    logs = torch.cat([points, points.square()], 1) @ linear.T + constant
    logs -= logs.amax(1, keepdim=True)
    return torch.threshold_(logs, _LEAST, -math.inf).softmax(1)


def fisher_vector(points: Tensor, places: Tensor, mixture: dict[str, Tensor], layout: Layout) -> Tensor:
    """float32 `[R * 2 * K * d]`, of length 1: the improved Fisher vector of each region of the pyramid, joined.

    A region's are the derivatives with respect to the means, then to the deviations, K × d each, their square roots
    with signs, scaled to length 1; a region without points is all zeros.

    Args:
        points: float32 `[n, d]`, projected descriptors.
        places: float32 `[n, 2]`, where they lie, 0..1.
    """
    cut = pieces(places, layout)
    shares = posteriors(points, mixture)
    both = torch.cat([points, points.square()], 1)
    sums = [torch.cat([q.T @ x, q.sum(0)[:, None]], 1) for q, x in zip(cut.split(shares), cut.split(both), strict=True)]
    summed = torch.einsum("rp,pkc->rkc", cut.regions.float(), torch.stack(sums))
    size = points.shape[1]
    first, second, zeroth = summed[..., :size], summed[..., size:-1], summed[..., -1:]
    means, variances, weights = mixture["means"], mixture["variances"], mixture["weights"][:, None]
    by_mean = (first - zeroth * means) / (weights * variances).sqrt()
    by_deviation = (second - 2 * means * first + (means.square() - variances) * zeroth) / (
        variances * math.sqrt(2) * weights.sqrt()
    )
    vectors = torch.stack([by_mean, by_deviation], 1).flatten(1)
    # The number of points would divide here; the length of 1 takes it away again.
    powered = vectors.sign() * vectors.abs().sqrt()
    return torch.nn.functional.normalize(torch.nn.functional.normalize(powered, dim=1).flatten(), dim=0)


def _variance(points: np.ndarray, mine: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """float32 `[d]`: the variance of the points that are `mine`, kept above a hundredth of all points' `spread`."""
    own = points[mine].var(0) if mine.any() else spread
    floored: np.ndarray = np.maximum(own, spread / 100)
    return floored


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block nobody is warned that the mixture would still change: more iterations would help no one."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
