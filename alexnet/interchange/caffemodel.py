"""Caffe's .caffemodel: the blobs of its layers, and what the layers say of the response norms.

Three formats hold the same: layers of today (field 100 of NetParameter), of 2014 (field 2, V1LayerParameter), and of
2013 (a V0LayerParameter within one of those). Source: BVLC/caffe, src/caffe/proto/caffe.proto.
"""

import math
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np

from alexnet.errors import InputError
from alexnet.interchange import protobuf
from alexnet.interchange.protobuf import Schema
from alexnet.interchange.weights import Held, Weights
from alexnet.model.alexnet import Order

_SCHEMA: Schema = {
    "BlobShape": {"dim": (1, "many", "int64")},
    "BlobProto": {
        "num": (1, "one", "int64"),
        "channels": (2, "one", "int64"),
        "height": (3, "one", "int64"),
        "width": (4, "one", "int64"),
        "data": (5, "many", "bytes"),
        "shape": (7, "one", "BlobShape"),
        "double_data": (8, "many", "bytes"),
    },
    "LRNParameter": {
        "local_size": (1, "one", "uint32"),
        "alpha": (2, "one", "float"),
        "beta": (3, "one", "float"),
        "norm_region": (4, "one", "int32"),
        "k": (5, "one", "float"),
    },
    "LayerParameter": {
        "name": (1, "one", "string"),
        "type": (2, "one", "string"),
        "blobs": (7, "many", "BlobProto"),
        "lrn_param": (118, "one", "LRNParameter"),
    },
    "V0LayerParameter": {
        "name": (1, "one", "string"),
        "type": (2, "one", "string"),
        "local_size": (13, "one", "uint32"),
        "alpha": (14, "one", "float"),
        "beta": (15, "one", "float"),
        "k": (22, "one", "float"),
        "blobs": (50, "many", "BlobProto"),
    },
    "V1LayerParameter": {
        "layer": (1, "one", "V0LayerParameter"),
        "name": (4, "one", "string"),
        "type": (5, "one", "int32"),
        "blobs": (6, "many", "BlobProto"),
        "lrn_param": (18, "one", "LRNParameter"),
    },
    "NetParameter": {
        "name": (1, "one", "string"),
        "layers": (2, "many", "V1LayerParameter"),
        "layer": (100, "many", "LayerParameter"),
    },
}
_KINDS = {15: "lrn", 17: "pooling", 18: "relu"}  # V1LayerParameter.LayerType
_WORDS = {"lrn": "norm", "pooling": "pool", "relu": "relu"}
_SIDES = 8
_DEFAULTS = {"local_size": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0}


def read(path: Path) -> Weights:
    """The blobs of a .caffemodel as "conv1.weight", "conv1.bias" ..., and its norms as fields of AlexNetConfig.

    Raises:
        InputError: it is no such file, damaged, larger than it may be, or sizes in it disagree; or protobuf is missing.
    """
    net = protobuf.read(path, _SCHEMA, "NetParameter")
    layers = [layer.layer if layer.HasField("layer") else layer for layer in net.layers] + list(net.layer)
    tensors: dict[str, Held] = {}
    for layer in layers:
        for number, blob in enumerate(layer.blobs):
            name = f"{layer.name}.{('weight', 'bias')[number] if number < 2 else number}"
            if name in tensors:
                raise InputError(f"{path} holds two layers {layer.name!r}; take another copy.")
            tensors[name] = _held(path, name, blob)
    if not tensors:
        raise InputError(f"{path} holds no layer with weights; give the .caffemodel, not a .solverstate.")
    return Weights(tensors, facts=_norms(path, layers))


def _held(path: Path, name: str, blob: Any) -> Held:
    """A blob, its shape without the leading ones by which the four numbers of old filled up two."""
    old = not blob.HasField("shape")
    sides = (blob.num, blob.channels, blob.height, blob.width) if old else tuple(blob.shape.dim)
    parts, kind = (blob.data, "<f4") if blob.data else (blob.double_data, "<f8")
    size = sum(map(len, parts))
    if len(sides) > _SIDES or any(side < 1 for side in sides) or math.prod(sides) * int(kind[2]) != size:
        raise InputError(f"{path}: {name!r} says {list(sides[:_SIDES])} and holds {size:,} bytes; take another copy.")
    while old and len(sides) > 1 and sides[0] == 1:
        sides = sides[1:]
    return Held(sides, partial(_array, parts, kind, sides))


def _array(parts: Any, kind: str, sides: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), kind).reshape(sides)


def _norms(path: Path, layers: list[Any]) -> dict[str, Any]:
    """Fields of AlexNetConfig that the layers state: the norms' numbers, and what follows conv1 and conv2."""
    kinds = [_kind(layer) for layer in layers]
    found = [_lrn(path, layer) for layer, kind in zip(layers, kinds, strict=True) if kind == "lrn"]
    if not found:
        return {"norm": False} if "pooling" in kinds else {}  # without pooling only the layers with weights are there
    if any(other != found[0] for other in found):
        raise InputError(f"{path}: its response norms differ from each other; AlexNet's are one and the same.")
    names = [layer.name.lower() for layer in layers]
    places = [names.index(name) if name in names else len(names) for name in ("conv1", "conv2", "conv3")]
    words = [_WORDS.get(kind, "") for kind in kinds]
    orders = [" ".join(filter(None, words[start:end])) for start, end in pairwise(places)]
    if "norm" in words[places[2] :] or not set(orders) <= set(get_args(Order)):
        raise InputError(
            f"{path}: its norms lie where AlexNet has none: conv1 is followed by {orders[0] or 'nothing'}, conv2 by "
            f"{orders[1] or 'nothing'}; each can be {' or '.join(get_args(Order))}, and no norm comes later."
        )
    return {**found[0], "order1": orders[0], "order2": orders[1]}


def _lrn(path: Path, layer: Any) -> dict[str, Any]:
    own = layer.lrn_param if hasattr(layer, "lrn_param") else layer
    if getattr(own, "norm_region", 0) != 0:
        raise InputError(f"{path}: {layer.name!r} normalises within a map; AlexNet's norm reaches over maps.")
    # What a message leaves out has Caffe's default. The shortest decimal of a float32: 0.0001, not 0.0000999999975.
    n, *rest = (getattr(own, name) if own.HasField(name) else value for name, value in _DEFAULTS.items())
    alpha, beta, k = (float(str(np.float32(value))) for value in rest)
    return {"norm_n": int(n), "norm_alpha": alpha, "norm_beta": beta, "norm_k": k}


def _kind(layer: Any) -> str:
    """ "lrn", "pooling", "relu" or something else; V0 says "pool"."""
    kind = layer.type if isinstance(layer.type, str) else _KINDS.get(layer.type, "")
    return "pooling" if kind.lower() == "pool" else kind.lower()
