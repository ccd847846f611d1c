"""Tensors as files hold them, by name and shape, before any is read: so a wrong or hostile file costs no memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from alexnet.errors import InputError
from alexnet.model.rows import Shape

LIMIT = 1 << 31
"""Bytes that a file, or what it unpacks to, may have: eight times the paper's network."""


@dataclass(frozen=True)
class Held:
    """A tensor in a file: its shape, and how to read it as an array of floating numbers of that shape."""

    shape: Shape
    read: Callable[[], np.ndarray]

    def turned(self, *axes: int) -> "Held":
        """The same with its axes in another order."""
        shape = tuple(self.shape[axis] for axis in axes)
        return replace(self, shape=shape, read=lambda: self.read().transpose(axes))

    def shaped(self, shape: Shape) -> "Held":
        """The same numbers in another shape."""
        return replace(self, shape=shape, read=lambda: self.read().reshape(shape))


@dataclass(frozen=True)
class Weights:
    """What a file of weights holds."""

    tensors: Mapping[str, Held]
    described: str = ""
    """The description of a classifier, JSON, where the file was exported from one."""
    reversed_channels: bool = False
    """Of an export: whether the kernels that read the images take blue, green, red. Other files do not say."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Fields of AlexNetConfig that the file itself states (a .caffemodel's norms and their places)."""


def require_floating(dtype: np.dtype[Any], name: str, where: object) -> None:
    """Nothing for a floating type of numbers.

    Raises:
        InputError: it is another, named.
    """
    if dtype.kind != "f":
        raise InputError(f"{where}: {name!r} holds {dtype} where floating numbers were expected.")
