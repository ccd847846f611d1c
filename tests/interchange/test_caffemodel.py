"""Caffe's file in its three formats, against bytes written by hand; hostile ones refused."""

import caffe_bytes
import numpy as np
import pytest
from caffe_bytes import chunk, number

from alexnet.errors import InputError
from alexnet.interchange import caffemodel

pytest.importorskip("google.protobuf")


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("pool_first", [False, True])
def test_three_formats_hold_the_same(tmp_path, version, pool_first):
    blobs = caffe_bytes.small()
    file = tmp_path / "a.caffemodel"
    file.write_bytes(caffe_bytes.network(blobs, version, pool_first))
    found = caffemodel.read(file)
    assert set(found.tensors) == {f"{name}.{part}" for name in blobs for part in ("weight", "bias")}
    for name, pair in blobs.items():
        for part, expected in zip(("weight", "bias"), pair, strict=True):
            held = found.tensors[f"{name}.{part}"]
            assert held.shape == expected.shape
            np.testing.assert_array_equal(held.read(), expected)
    order = "relu pool norm" if pool_first else "relu norm pool"
    norm = {"norm_n": 5, "norm_alpha": 1e-4, "norm_beta": 0.75, "norm_k": 1.0}
    assert found.facts == {**norm, "order1": order, "order2": order}


def test_doubles_and_parts_of_a_packed_field(tmp_path):
    weight = np.arange(6, dtype="<f8").reshape(2, 3)
    halves = weight.astype("<f4").tobytes()
    bias = number(1, 1) + number(2, 1) + number(3, 1) + number(4, 6) + chunk(5, halves[:8]) + chunk(5, halves[8:])
    double = chunk(7, chunk(1, bytes([2, 3]))) + chunk(8, weight.tobytes())
    file = tmp_path / "a.caffemodel"
    file.write_bytes(chunk(100, chunk(1, "fc8") + chunk(7, double) + chunk(7, bias)))
    tensors = caffemodel.read(file).tensors
    np.testing.assert_array_equal(tensors["fc8.weight"].read(), weight)
    np.testing.assert_array_equal(tensors["fc8.bias"].read(), weight.ravel())


def one(*blobs):
    return chunk(100, chunk(1, "conv1") + chunk(2, "Convolution") + b"".join(chunk(7, b) for b in blobs))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no layer with weights"),
        (b"no protobuf at all", "is no .caffemodel file, or a damaged one"),
        (caffe_bytes.network(caffe_bytes.small())[:-9], r"damaged one \(truncated\)"),
        (chunk(100, b"")[:-1] + b"\xff" * 12, "damaged one"),
        (chunk(2, b"") * 20000, "more than 16,384 fields"),
        (chunk(100, chunk(7, b"") * 9000) * 2, "more than 16,384 fields"),
        (number(100, 3), "field 100 of NetParameter is no message"),
        (
            one(chunk(7, chunk(1, bytes([2, 3]))) + chunk(5, bytes(20))),
            r"'conv1.weight' says \[2, 3\] and holds 20 bytes",
        ),
        (one(number(1, 1 << 62) + number(2, 4) + number(3, 1) + number(4, 1)), "and holds 0 bytes"),
        (one(caffe_bytes.blob(np.ones(2), False)) * 2, "holds two layers 'conv1'"),
        (
            chunk(100, chunk(2, "LRN") + chunk(118, number(4, 1))) + one(caffe_bytes.blob(np.ones(2), False)),
            "within a map",
        ),
    ],
)
def test_wrong_and_hostile_files_are_one_sentence(tmp_path, data, message):
    file = tmp_path / "a.caffemodel"
    file.write_bytes(data)
    with pytest.raises(InputError, match=message):
        caffemodel.read(file)


def test_groups_of_the_wire_are_refused(tmp_path):
    file = tmp_path / "a.caffemodel"
    file.write_bytes(bytes([3]) * 1000)
    with pytest.raises(InputError, match="wire type 3"):
        caffemodel.read(file)
