"""Draws that are a function of (seed, purpose, epoch, image index), the same on every device.

A *key* is an int64 hash of those four; a *draw* hashes the key once more with a number of its own. Nothing here has
a state, so an image sees the same crop, mirror, noise and dropout mask at any batch split, worker count, world
size or placement, and resuming needs nothing saved. Integers agree exactly between kinds of device, normals to
rounding. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

import math
import zlib

import numpy as np
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def keys(seed: int, purpose: str, epoch: int, indices: Tensor) -> Tensor:
    """int64 `[N]`, one key an image, on the device of `indices` (int64 `[N]`, positions in the stored order)."""
    base = _mix_integer(_mix_integer(seed) ^ _mix_integer(_number(purpose)) + epoch * _GOLDEN)
    return _mix(_mix(indices * _signed(_GOLDEN)) ^ _signed(base))


def integers(key: Tensor, draw: int, count: int) -> Tensor:
    """int64, the shape of `key`, uniform in 0 .. count-1; `draw` tells one draw of a key from another."""
    return ((_hash(key, draw) >> 32) & 0xFFFFFFFF) * count >> 32


def normals(key: Tensor, draw: int, count: int) -> Tensor:
    """float32 `[N, count]`, independent N(0, 1), from keys `[N]`, by Box and Muller's formula."""
    columns = torch.arange(count, device=key.device)
    bits = _hash(key[:, None], draw * 65_536 + 1 + columns)
    radius = ((((bits >> 40) & 0xFFFFFF) + 0.5) / float(1 << 24)).log().mul(-2).sqrt()
    return radius * (((bits & 0xFFFFFF) / float(1 << 24)) * (2 * math.pi)).cos()


def kept(key: Tensor, row: str, units: Tensor, probability: float) -> Tensor:
    """bool `[N, K]`: whether unit `units[k]` (int64 `[K]`, its number in the whole row) stays for image `n`.

    Each is true with `probability`. The bit is hash(key, row, unit), so a tower that holds half of a row's units
    draws exactly that half of the whole row's mask.
    """
    bits = _hash(key[:, None] ^ _signed(_mix_integer(_number(row))), units)
    return ((bits >> 40) & 0xFFFFFF) < round(probability * (1 << 24))


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for `purpose` (the initial weights of one row, say), independent of every other purpose."""
    return torch.Generator().manual_seed(_mix_integer(_mix_integer(seed) ^ _number(purpose)) >> 1)


def permutation(seed: int, purpose: str, epoch: int, count: int) -> np.ndarray:
    """int64 `[count]`, a permutation of 0 .. count-1 decided by the three numbers before it."""
    return np.random.Generator(np.random.Philox([seed & _MASK, _number(purpose), epoch])).permutation(count)


def _hash(key: Tensor, number: int | Tensor) -> Tensor:
    # An int's product is reduced here, for a Python integer does not wrap as an int64 does.
    step = _signed(number * _GOLDEN) if isinstance(number, int) else number * _signed(_GOLDEN)
    return _mix(key + step)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ (x >> 30 & (1 << 34) - 1)) * _signed(_FIRST)
    x = (x ^ (x >> 27 & (1 << 37) - 1)) * _signed(_SECOND)
    return x ^ (x >> 31 & (1 << 33) - 1)


def _mix_integer(x: int) -> int:
    x = ((x & _MASK) ^ (x & _MASK) >> 30) * _FIRST & _MASK
    x = (x ^ x >> 27) * _SECOND & _MASK
    return x ^ x >> 31


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _number(purpose: str) -> int:
    return zlib.crc32(purpose.encode())


def _signed(x: int) -> int:
    """The int64 with the same 64 bits."""
    x &= _MASK
    return x - (1 << 64) if x >> 63 else x
