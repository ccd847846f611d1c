"""A .caffemodel written byte by byte, by the field numbers of caffe.proto and no protobuf library."""

import struct

import numpy as np


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def real(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


def chunk(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def blob(array, old):
    """A BlobProto; the old one has four sides, filled up with ones in front."""
    if old:
        sides = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(number(field, side) for field, side in enumerate(sides, start=1))
    else:
        shape = chunk(7, chunk(1, b"".join(varint(side) for side in array.shape)))
    return shape + chunk(5, array.astype("<f4").tobytes()) + chunk(6, bytes(8))


def layer(version, name, kind, blobs, lrn=b""):
    """A layer of NetParameter in the format of 2013 (0), 2014 (1) or today (2)."""
    if version == 2:
        inner = chunk(1, name) + chunk(2, kind) + b"".join(chunk(7, blob(b, False)) for b in blobs)
        return chunk(100, inner + chunk(3, "below") + (chunk(118, lrn) if lrn else b""))
    if version == 1:
        numbers = {"Convolution": 4, "LRN": 15, "Pooling": 17, "InnerProduct": 14, "ReLU": 18}
        inner = chunk(2, "below") + chunk(4, name) + number(5, numbers[kind])
        inner += b"".join(chunk(6, blob(b, True)) for b in blobs)
        return chunk(2, inner + (chunk(18, lrn) if lrn else b""))
    kinds = {"Convolution": "conv", "LRN": "lrn", "Pooling": "pool", "InnerProduct": "innerproduct", "ReLU": "relu"}
    inner = chunk(1, name) + chunk(2, kinds[kind]) + lrn + b"".join(chunk(50, blob(b, True)) for b in blobs)
    return chunk(2, chunk(1, inner) + chunk(2, "below"))


def lrn(version, size=5, alpha=1e-4, beta=0.75):
    """The norm's numbers, k left at its default of 1."""
    fields = (13, 14, 15) if version == 0 else (1, 2, 3)
    return number(fields[0], size) + real(fields[1], alpha) + real(fields[2], beta)


def network(blobs, version=2, pool_first=False, between=None, norm=None):
    """The bytes of a .caffemodel with these `{"conv1": (weight, bias), ...}`.

    `between` are the layers after conv1's rectifier and after conv2's, `norm` the norms' numbers.
    """
    between = between or [["Pooling", "LRN"] if pool_first else ["LRN", "Pooling"]] * 2
    out = chunk(1, "AlexNet")
    for name, pair in blobs.items():
        out += layer(version, name, "InnerProduct" if name.startswith("fc") else "Convolution", pair)
        if name in ("conv1", "conv2"):
            out += layer(version, f"relu{name[-1]}", "ReLU", [])
            for kind in between[int(name[-1]) - 1]:
                own = lrn(version, **(norm or {})) if kind == "LRN" else b""
                out += layer(version, f"{kind.lower()}{name[-1]}", kind, [], own)
    return out


def small(draw=None, classes=3, towers=2):
    """Blobs of an AlexNet of an eighth of a quarter of the width, in Caffe's shapes."""
    draw = draw or np.random.default_rng(0)
    shapes = {
        "conv1": (12, 3, 11, 11),
        "conv2": (16, 12 // towers, 5, 5),
        "conv3": (20, 16, 3, 3),
        "conv4": (20, 20 // towers, 3, 3),
        "conv5": (8, 20 // towers, 3, 3),
        "fc6": (24, 8 * 36),
        "fc7": (24, 24),
        "fc8": (classes, 24),
    }
    found = {}
    for name, shape in shapes.items():
        weight = draw.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        found[name] = weight, draw.standard_normal(shape[0], np.float32)
    return found
