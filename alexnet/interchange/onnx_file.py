"""The weights and the description in an ONNX file that `alexnet export` wrote; other graphs are not read."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import InputError
from alexnet.interchange import protobuf
from alexnet.interchange.protobuf import Schema
from alexnet.interchange.weights import Held, Weights

_SCHEMA: Schema = {
    "TensorProto": {
        "dims": (1, "many", "int64"),
        "data_type": (2, "one", "int32"),
        "name": (8, "one", "string"),
        "raw_data": (9, "one", "bytes"),
    },
    "GraphProto": {"initializer": (5, "many", "TensorProto")},
    "StringStringEntryProto": {"key": (1, "one", "string"), "value": (2, "one", "string")},
    "ModelProto": {"graph": (7, "one", "GraphProto"), "metadata_props": (14, "many", "StringStringEntryProto")},
}
_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}  # TensorProto.DataType


def read(path: Path) -> Weights:
    """The tensors of a network by name, the statistics' "mean" and "covariance", and the description of the classifier.

    Raises:
        InputError: it is damaged, or `alexnet export` did not write it.
    """
    model = protobuf.read(path, _SCHEMA, "ModelProto")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        described = {name: json.loads(value) for name, value in metadata.items()}
        covariance = np.array(described.pop("covariance"), np.float64).reshape(3, 3)
        channels = described.pop("mean", None)
        flat = None if channels is None else np.array(channels, np.float32).reshape(3, 1, 1)
        size = int(described["size"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise InputError(
            f"{path} has no description of a classifier; of ONNX files only those of `alexnet export` are read."
        ) from None
    tensors = {t.name: _held(path, t) for t in model.graph.initializer if t.name == "mean" or _is_weight(t.name)}
    tensors["covariance"] = Held((3, 3), lambda: covariance)
    if flat is not None:
        tensors["mean"] = Held((3, size, size), lambda: np.broadcast_to(flat, (3, size, size)))
    elif "mean" in tensors:
        if tensors["mean"].shape != (1, 3, size, size):
            raise InputError(f"{path}: 'mean' is {list(tensors['mean'].shape)}; {[1, 3, size, size]} was expected.")
        tensors["mean"] = tensors["mean"].shaped((3, size, size))
    return Weights(tensors, json.dumps(described))


def _is_weight(name: str) -> bool:
    return name.endswith((".weight", ".bias"))


def _held(path: Path, tensor: Any) -> Held:
    kind, sides = _TYPES.get(tensor.data_type), tuple(tensor.dims)
    if kind is None or min(sides, default=1) < 0 or math.prod(sides) * int(kind[2]) != len(tensor.raw_data):
        raise InputError(f"{path}: {tensor.name!r} does not hold the numbers of its shape; take another copy.")
    return Held(sides, partial(_array, tensor.raw_data, kind, sides))


def _array(data: bytes, kind: str, sides: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(data, kind).reshape(sides)
