"""How alike two sets of responses to the same images are: dissimilarity matrices, rank correlations, linear CKA.

Kriegeskorte, Mur and Bandettini, "Representational similarity analysis" (2008); Kornblith, Norouzi, Lee and Hinton,
"Similarity of neural network representations revisited" (2019), equation 4 with linear kernels; debiased by the
unbiased estimator of Song, Smola, Gretton, Bedo and Borgwardt, "Feature selection via dependence maximization" (2012).
"""

from dataclasses import dataclass

import numpy as np

from alexnet.errors import InputError

_VALUES = 1 << 23  # of one block of responses, in float64: 64 MiB
_CHANCE = 1e-6  # of a Gram matrix's square: what is left of less is rounding
_LEAST = 3  # images: of two there is one distance, which has no rank


@dataclass(frozen=True, eq=False)
class Compared:
    """What M sets of responses are compared by; of N images it takes 6 N² bytes a set."""

    distances: np.ndarray
    """float32 `[N(N-1)/2]`: ranks of the dissimilarities above the diagonal, less their mean, of length 1."""
    gram: np.ndarray | None
    """float32 `[N,N]`: inner products of centred responses, of length 1; None where only dissimilarities are known."""


def dissimilarities(responses: np.ndarray) -> np.ndarray:
    """float64 `[N,N]`, 0..2: one less the correlation of each two images' responses, over all units.

    Args:
        responses: real `[N, ...]`, an array or a memory map; read in blocks.

    Raises:
        InputError: there are fewer than three images, a value is not finite, or an image excites every unit alike.
    """
    return _dissimilarities(*_products(responses)[:2])


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """The linear centred kernel alignment, 0..1, of two sets of responses `[N, ...]` to the same N images.

    It does not change with rotations, a common scale or offsets of units. With more units than images it is high
    for any two, random ones too: `debiased_cka` is not.

    Raises:
        InputError: the numbers of images differ, or as for `dissimilarities`; or all images are answered alike.
    """
    _require_equal(len(one), len(other))
    return float(np.vdot(_gram(*_products(one)), _gram(*_products(other))))


def debiased_cka(one: np.ndarray, other: np.ndarray) -> float:
    """The linear CKA, up to 1, without its bias by few images: about 0 for two sets of independent responses.

    nan where it is not known: of fewer than four images, or where images of a set are no more alike than by chance.

    Raises:
        InputError: as for `cka`.
    """
    _require_equal(len(one), len(other))
    return _debiased(_gram(*_products(one)), _gram(*_products(other)))


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation, -1..1, of two dissimilarity matrices `[N,N]`: of the values above their diagonals.

    Equal values have the mean of their ranks.

    Raises:
        InputError: the matrices have different sizes or fewer than three images, or all values of one are equal.
    """
    _require_equal(len(one), len(other))
    return float(np.vdot(_ranked(one), _ranked(other)))


def compared(responses: np.ndarray) -> tuple[Compared, np.ndarray]:
    """What responses `[N, ...]` are compared by, and their dissimilarities, as `dissimilarities` gives them."""
    products, lengths, means, units = _products(responses)
    matrix = _dissimilarities(products, lengths)
    return Compared(
        _ranked(matrix).astype(np.float32), _gram(products, lengths, means, units).astype(np.float32)
    ), matrix


def compared_distances(matrix: np.ndarray) -> Compared:
    """What a dissimilarity matrix `[N,N]`, measured elsewhere, is compared by."""
    return Compared(_ranked(matrix).astype(np.float32), None)


def between(sets: list[Compared]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float64 `[M,M]` each: rank correlations, linear CKA, and that debiased; nan where a set has no responses."""
    ranks = np.eye(len(sets))
    alignment, debiased = (np.full((len(sets), len(sets)), np.nan) for _ in range(2))
    for i, one in enumerate(sets):
        for j, other in enumerate(sets[: i + 1]):
            ranks[i, j] = ranks[j, i] = 1.0 if i == j else _inner(one.distances, other.distances)
            if one.gram is not None and other.gram is not None:
                alignment[i, j] = alignment[j, i] = 1.0 if i == j else _inner(one.gram, other.gram)
                debiased[i, j] = debiased[j, i] = _debiased(one.gram, other.gram)
    return ranks, alignment, debiased


def memory(images: int, sets: int) -> int:
    """The bytes that comparing so many sets of responses to so many images takes at most."""
    return images**2 * (6 * sets + 48) + 4 * 8 * _VALUES


def most_images(free: int, sets: int) -> int:
    """How many images' responses can be compared within `free` bytes, for so many sets."""
    return int((max(0, free - 4 * 8 * _VALUES) / (6 * sets + 48)) ** 0.5)


def _products(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Inner products float64 `[N,N]` of responses less each image's mean; their roots; those means; the units."""
    images = len(responses)
    if responses.ndim < 2 or images < _LEAST:
        raise InputError(f"responses {list(responses.shape)}: a row for each of at least {_LEAST} images is needed.")
    flat = responses.reshape(images, -1)
    units, step = flat.shape[1], max(1, _VALUES // images)
    starts = range(0, units, step)
    with np.errstate(invalid="ignore", over="ignore"):
        means = sum((flat[:, i : i + step].sum(1, dtype=np.float64) for i in starts), np.zeros(images)) / max(1, units)
    if not np.isfinite(means).all():
        raise InputError(f"image {int(np.argmin(np.isfinite(means)))} has a response that is not finite.")
    products = np.zeros((images, images))
    for i in starts:
        block = flat[:, i : i + step] - means[:, None]
        products += block @ block.T
    lengths = np.sqrt(products.diagonal())
    # What is left of equal numbers once their mean is taken off is rounding.
    alike = lengths <= 1e-12 * np.abs(means) * np.sqrt(units)
    if alike.any():
        raise InputError(
            f"image {int(np.argmax(alike))} has the same response in every unit, which correlates with nothing; leave "
            "this stage, or the image, out."
        )
    return products, lengths, means, units


def _dissimilarities(products: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    matrix: np.ndarray = 1 - products / lengths[:, None] / lengths
    np.clip((matrix + matrix.T) / 2, 0.0, 2.0, out=matrix)
    np.fill_diagonal(matrix, 0)
    return matrix


def _gram(products: np.ndarray, lengths: np.ndarray, means: np.ndarray, units: int) -> np.ndarray:
    """Inner products float64 `[N,N]` of responses less each unit's mean over the images, scaled to length 1."""
    # With every image's mean put back, of which the mean over images goes at once: no large numbers are subtracted.
    own = means - means.mean()
    centred = products - products.mean(0) - products.mean(1)[:, None] + products.mean() + units * np.outer(own, own)
    length = np.sqrt(np.vdot(centred, centred))
    if length <= 1e-12 * np.vdot(lengths, lengths):
        raise InputError("every image has the same responses: there is nothing to compare.")
    scaled: np.ndarray = centred / length
    return scaled


def _debiased(one: np.ndarray, other: np.ndarray) -> float:
    """Of centred Gram matrices `[N,N]` of length 1, whose rows sum to 0, so that only diagonals are needed besides."""
    images = len(one)
    if images < 4:
        return float("nan")
    diagonals = [matrix.diagonal().astype(np.float64) for matrix in (one, other)]

    def unbiased(product: float, a: np.ndarray, b: np.ndarray) -> float:
        both = float(a.sum() * b.sum()) / ((images - 1) * (images - 2))
        return product - float(a @ b) * images / (images - 2) + both

    own = [unbiased(1.0, diagonal, diagonal) for diagonal in diagonals]
    if min(own) <= _CHANCE:
        return float("nan")
    return float(unbiased(_inner(one, other), *diagonals) / np.sqrt(own[0] * own[1]))


def _ranked(matrix: np.ndarray) -> np.ndarray:
    """float64 `[N(N-1)/2]`: the ranks of the values above the diagonal, centred, of length 1."""
    if matrix.ndim != 2 or len(matrix) != matrix.shape[1] or len(matrix) < _LEAST:
        raise InputError(f"a dissimilarity matrix {list(matrix.shape)}: [N,N] of at least {_LEAST} images is needed.")
    values = matrix[np.triu_indices(len(matrix), 1)].astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("a dissimilarity is not finite.")
    centred = ranks(values)
    centred -= centred.mean()
    length = np.sqrt(np.vdot(centred, centred))
    if length == 0:
        raise InputError("all dissimilarities are equal: there is no order to compare.")
    scaled: np.ndarray = centred / length
    return scaled


def ranks(values: np.ndarray) -> np.ndarray:
    """float64 `[n]`: the rank of each value, from 1; equal ones have the mean of theirs."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(first, len(values)))
    found = np.empty(len(values))
    found[order] = np.repeat(first + (counts + 1) / 2, counts)
    return found


def _inner(one: np.ndarray, other: np.ndarray) -> float:
    """The inner product of float32 arrays of length 1, summed in float64 row by row."""
    rows = max(1, one.size // _VALUES)
    pairs = zip(np.array_split(one.ravel(), rows), np.array_split(other.ravel(), rows), strict=True)
    return float(sum(np.dot(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs))


def _require_equal(one: int, other: int) -> None:
    if one != other:
        raise InputError(f"responses to {one} and to {other} images: the same images are needed, in the same order.")
