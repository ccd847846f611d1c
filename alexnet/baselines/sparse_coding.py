"""Locality-constrained linear coding with max pooling (Wang et al., CVPR 2010; Lin et al., CVPR 2011)."""

import numpy as np
import torch
from torch import Tensor

from alexnet.baselines.pyramid import Layout, pieces

_RIDGE = 1e-4


def fit_dictionary(sample: np.ndarray, words: int, seed: int) -> dict[str, Tensor]:
    """A dictionary of descriptors: "words" float32 `[W, D]`, the centres of scikit-learn's mini-batch k-means.

    Args:
        sample: float32 `[n, D]`.
    """
    from sklearn.cluster import MiniBatchKMeans

    found = MiniBatchKMeans(words, random_state=seed, batch_size=8192, n_init=1, max_iter=20).fit(sample)
    return {"words": torch.from_numpy(np.ascontiguousarray(found.cluster_centers_, np.float32))}


def codes(descriptors: Tensor, words: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """float32 and int64 `[n, neighbours]`: the weights of each descriptor's nearest words, and which words these are.

    The weights c sum to 1 and minimise |x - Bᵀc|² + r|c|², B the nearest words and r 10⁻⁴ of the trace of
    (B - 1xᵀ)(B - 1xᵀ)ᵀ: the approximated coding of Wang et al., section 4, in closed form.

    Args:
        descriptors: float32 `[n, D]`.
        words: float32 `[W, D]`.
    """
    products = descriptors @ words.T
    lengths = words.square().sum(1)
    nearest = (lengths - 2 * products).topk(neighbours, dim=1, largest=False).indices
    apart = words[nearest] - descriptors[:, None]
    covariance = apart @ apart.transpose(1, 2)
    trace = covariance.diagonal(dim1=1, dim2=2).sum(1)
    # A descriptor that is one of the words itself has a trace near 0.
    ridge = (_RIDGE * trace + 1e-8)[:, None, None] * torch.eye(neighbours)
    weights = torch.cholesky_solve(torch.ones(len(apart), neighbours, 1), torch.linalg.cholesky(covariance + ridge))[
        ..., 0
    ]
    return weights / weights.sum(1, keepdim=True), nearest


def pooled(descriptors: Tensor, places: Tensor, words: Tensor, neighbours: int, layout: Layout) -> Tensor:
    """float32 `[R * W]`, of length 1: the largest weight of each word in each region of the pyramid, 0 at least.

    Args:
        descriptors: float32 `[n, D]`.
        places: float32 `[n, 2]`, where they lie, 0..1.
    """
    cut = pieces(places, layout)
    weights, nearest = codes(descriptors, words, neighbours)
    piece = torch.repeat_interleave(torch.arange(len(cut.counts)), torch.tensor(cut.counts))
    best = torch.zeros(len(cut.counts), len(words))
    target = (piece[:, None] * len(words) + nearest[cut.order]).flatten()
    best.view(-1).scatter_reduce_(0, target, weights[cut.order].flatten(), "amax")
    regions = torch.stack([best[region].amax(0) for region in cut.regions])
    return torch.nn.functional.normalize(regions.flatten(), dim=0)
