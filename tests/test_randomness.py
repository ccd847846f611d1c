"""Draws: against SplitMix64 written in numpy, uniform, independent, and the same at any split."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alexnet import randomness

N = 200_000
INDICES = torch.arange(N)
KEYS = randomness.keys(1, "test", 0, INDICES)


def mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 on uint64, as its authors print it."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def splitmix(seed: int, count: int) -> np.ndarray:
    """uint64 `[count]`, the generator SplitMix64 from its state `seed`."""
    with np.errstate(over="ignore"):
        return mix(np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def test_the_reference_is_splitmix64():
    # The first outputs for seed 1234567, as published with the generator (Rosetta Code, Java's SplittableRandom).
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix(1234567, 5).tolist() == expected


def test_hash_is_splitmix64_in_int64():
    key = torch.tensor([1234567, -1, 0, 2**63 - 1, -(2**63)])
    for draw in (1, 2, 3, 1000):
        expected = [splitmix(int(k) % 2**64, draw)[-1] for k in key]
        assert randomness._hash(key, draw).numpy().view(np.uint64).tolist() == expected


def test_integers_are_the_top_bits_scaled():
    top = (randomness._hash(KEYS, 3).numpy().view(np.uint64) >> np.uint64(32)).astype(object)
    expected = [int(t) * 33 >> 32 for t in top[:1000]]
    assert randomness.integers(KEYS[:1000], 3, 33).tolist() == expected


@pytest.mark.parametrize("count", [1, 2, 3, 33, 1000])
def test_integers_are_uniform(count):
    drawn = randomness.integers(KEYS, 0, count)
    assert drawn.min() == 0
    assert drawn.max() == count - 1
    if count > 1:
        assert stats.chisquare(np.bincount(drawn, minlength=count)).pvalue > 1e-3


def test_draws_of_a_key_are_independent():
    a, b = randomness.integers(KEYS, 0, 33), randomness.integers(KEYS, 1, 33)
    table = np.bincount(a * 33 + b, minlength=33 * 33).reshape(33, 33)
    assert stats.chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("other", [(2, "test", 0), (1, "tests", 0), (1, "test", 1), (-1, "test", 0)])
def test_keys_depend_on_seed_purpose_and_epoch(other):
    keys = randomness.keys(*other, INDICES)
    assert not (keys == KEYS).any()
    bits = (keys ^ KEYS).numpy().view(np.uint64)
    flipped = np.unpackbits(bits.view(np.uint8)).mean()
    assert abs(flipped - 0.5) < 0.001


def test_neighbouring_images_epochs_and_seeds_share_no_key():
    keys = torch.cat([randomness.keys(s, "test", e, torch.arange(500)) for s in range(10) for e in range(40)])
    assert len(keys.unique()) == len(keys)


def test_two_epochs_of_one_image_are_uncorrelated():
    a = randomness.integers(randomness.keys(1, "view", 0, INDICES), 0, 33).double()
    b = randomness.integers(randomness.keys(1, "view", 1, INDICES), 0, 33).double()
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01


@given(cuts=st.lists(st.integers(0, 1000), max_size=6), epoch=st.integers(0, 10_000), seed=st.integers(-5, 2**40))
def test_any_split_draws_the_same(cuts, epoch, seed):
    indices = torch.arange(1000) * 7 + 3
    bounds = [0, *sorted(cuts), 1000]
    parts = [indices[a:b] for a, b in itertools.pairwise(bounds)]

    def draws(some):
        keys = randomness.keys(seed, "view", epoch, some)
        units = torch.arange(5)
        kept = randomness.kept(keys, "drop6", units, 0.5)
        return randomness.integers(keys, 2, 33), randomness.normals(keys, 3, 3), kept

    for whole, *pieces in zip(draws(indices), *map(draws, parts), strict=True):
        assert torch.equal(whole, torch.cat(pieces))


def test_keys_are_fixed_for_ever():
    # Runs resume, and results are compared, across versions: these numbers may never change.
    assert randomness.keys(0, "view", 0, torch.tensor([0, 1, 1_281_166])).tolist() == [
        1300360987164840450,
        1124599718042278210,
        -1295663876042354740,
    ]
    assert randomness.integers(randomness.keys(0, "view", 3, torch.arange(6)), 1, 33).tolist() == [11, 31, 0, 4, 11, 29]
    assert randomness.permutation(0, "order", 1, 8).tolist() == [1, 6, 2, 5, 0, 7, 4, 3]


def test_normals_are_normal():
    drawn = randomness.normals(KEYS, 5, 3)
    assert drawn.shape == (N, 3)
    assert drawn.dtype == torch.float32
    assert drawn.isfinite().all()
    for column in drawn.T:
        assert stats.kstest(column.numpy(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn.T.numpy()) - np.eye(3)).max() < 0.01
    assert np.abs(np.corrcoef((drawn.T**2).numpy()) - np.eye(3)).max() < 0.01


def test_kept_has_its_probability_for_each_unit():
    units = torch.arange(64)
    for probability in (0.0, 0.25, 0.5, 1.0):
        kept = randomness.kept(KEYS[:20_000], "drop6", units, probability)
        assert kept.shape == (20_000, 64)
        assert kept.dtype == torch.bool
        spread = 5 * (probability * (1 - probability) / 20_000) ** 0.5
        assert (kept.double().mean(0) - probability).abs().max() <= spread


def test_kept_units_and_rows_are_independent():
    kept = randomness.kept(KEYS[:50_000], "drop6", torch.arange(8), 0.5).numpy()
    other = randomness.kept(KEYS[:50_000], "drop7", torch.arange(8), 0.5).numpy()
    correlation = np.corrcoef(np.concatenate([kept, other], axis=1).T)
    assert np.abs(correlation - np.eye(16)).max() < 0.025


def test_half_of_a_rows_units_draws_that_half_of_the_mask():
    whole = randomness.kept(KEYS[:100], "drop6", torch.arange(4096), 0.5)
    halves = [randomness.kept(KEYS[:100], "drop6", torch.arange(a, a + 2048), 0.5) for a in (0, 2048)]
    assert torch.equal(whole, torch.cat(halves, dim=1))


def test_generators_of_two_purposes_or_seeds_differ_and_repeat():
    def first(seed, purpose):
        return torch.rand(4, generator=randomness.generator(seed, purpose)).tolist()

    assert first(0, "conv1") == first(0, "conv1")
    assert len({tuple(first(seed, row)) for seed in range(5) for row in ("conv1", "conv2", "fc6")}) == 15


def test_permutation_holds_each_number_once_and_depends_on_all():
    orders = [randomness.permutation(s, p, e, 1000) for s, p, e in ((0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1))]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(1000))
    assert len({order.tobytes() for order in orders}) == 4
    assert np.array_equal(randomness.permutation(0, "a", 0, 1000), orders[0])
    assert randomness.permutation(0, "a", 0, 0).size == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_what_the_cpu_draws():
    keys = randomness.keys(1, "test", 0, INDICES.cuda())
    assert torch.equal(keys.cpu(), KEYS)
    assert torch.equal(randomness.integers(keys, 2, 33).cpu(), randomness.integers(KEYS, 2, 33))
    units = torch.arange(16)
    cuda = randomness.kept(keys[:1000], "drop6", units.cuda(), 0.5).cpu()
    assert torch.equal(cuda, randomness.kept(KEYS[:1000], "drop6", units, 0.5))
    torch.testing.assert_close(randomness.normals(keys, 1, 3).cpu(), randomness.normals(KEYS, 1, 3))


@pytest.mark.parametrize("draw", [0, 1, 2, 3, 1000, 10**12])
def test_any_draw_of_a_key_is_its_own(draw):
    key = randomness.keys(0, "test", 0, torch.arange(2000))
    values = randomness.integers(key, draw, 10)
    assert values.bincount(minlength=10).min() > 120
    assert (values == randomness.integers(key, draw + 1, 10)).float().mean() < 0.2
