"""Caffe's two networks, written plainly from their prototxt files, against ours with the same blobs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from alexnet.errors import InputError
from alexnet.interchange import caffe_blobs
from alexnet.interchange.caffe_blobs import BVLC_ALEXNET, CAFFENET
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Network

SHAPES = {
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (4096, 9216),
    "fc7": (4096, 4096),
    "fc8": (1000, 4096),
}


@pytest.fixture(scope="module")
def blobs():
    """Random weights that keep the maps at the size of the pixels, so that the norm matters."""
    draw = np.random.default_rng(0)
    found = {}
    for name, shape in SHAPES.items():
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight = draw.standard_normal(shape, np.float32) * np.float32(deviation)
        found[name] = weight, draw.standard_normal(shape[0], np.float32)
    return found


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(1)) * 60


def caffe_norm(maps):
    """LRNLayer, ACROSS_CHANNELS: (k + alpha / n * the sum over a window of n channels) ** -beta, with k = 1."""
    padded = F.pad(maps.square(), (0, 0, 0, 0, 2, 2))
    window = sum(padded[:, j : j + maps.shape[1]] for j in range(5))
    return maps / (1 + 1e-4 / 5 * window) ** 0.75


def caffe_pool(maps):
    """PoolingLayer rounds the number of windows up."""
    return F.max_pool2d(maps, 3, 2, ceil_mode=True)


def caffe_forward(images, blobs, pool_first):
    """fc8 of deploy.prototxt; `pool_first` for the reference CaffeNet."""
    w = {name: [torch.from_numpy(array) for array in pair] for name, pair in blobs.items()}
    after = (caffe_pool, caffe_norm) if pool_first else (caffe_norm, caffe_pool)
    maps = F.relu(F.conv2d(images, *w["conv1"], stride=4))
    for function in after:
        maps = function(maps)
    maps = F.relu(F.conv2d(maps, *w["conv2"], padding=2, groups=2))
    for function in after:
        maps = function(maps)
    maps = F.relu(F.conv2d(maps, *w["conv3"], padding=1))
    maps = F.relu(F.conv2d(maps, *w["conv4"], padding=1, groups=2))
    maps = caffe_pool(F.relu(F.conv2d(maps, *w["conv5"], padding=1, groups=2)))
    maps = F.relu(F.linear(maps.reshape(len(maps), -1), *w["fc6"]))
    maps = F.relu(F.linear(maps, *w["fc7"]))
    return F.linear(maps, *w["fc8"])


def loaded(config, blobs):
    model = Network(config).eval()
    caffe_blobs.load(model, blobs)
    return model


def distance(found, expected):
    """The largest difference over the deviation of what was expected."""
    return float((found - expected).abs().max() / expected.std())


@pytest.mark.parametrize(("config", "pool_first"), [(BVLC_ALEXNET, False), (CAFFENET, True)])
def test_logits_are_caffes(config, pool_first, blobs, images):
    expected = caffe_forward(images, blobs, pool_first)
    with torch.no_grad():
        assert distance(loaded(config, blobs)(images), expected) < 1e-4


@pytest.mark.parametrize(
    "field",
    [
        {"norm_across": False},
        {"norm_alpha_divided": False},
        {"norm_k": 2.0},
        {"dropout_scaling": "test"},
        {"order1": "norm pool relu"},
        {"order2": "relu pool norm"},
    ],
)
def test_each_field_of_the_config_matters(field, blobs, images):
    expected = caffe_forward(images, blobs, pool_first=False)
    with torch.no_grad():
        assert distance(loaded(replace(BVLC_ALEXNET, **field), blobs)(images), expected) > 1e-2


def test_dropout_doubles_what_it_keeps_in_training(blobs, images):
    stages = loaded(BVLC_ALEXNET, blobs).train().stages(images, only=["relu6", "drop6"])
    active = stages["relu6"] > 0
    ratios = (stages["drop6"][active] / stages["relu6"][active]).unique()
    assert ratios.tolist() == [0, 2]


def test_initialisation_is_the_prototxts():
    rows = {row.name: row for row in BVLC_ALEXNET.table() if row.name in SHAPES}
    assert {name: row.deviation for name, row in rows.items()} == {
        **dict.fromkeys(SHAPES, 0.01),
        "fc6": 0.005,
        "fc7": 0.005,
    }
    biased = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    assert {name: row.bias for name, row in rows.items()} == {name: 0.1 * (name in biased) for name in SHAPES}
    assert {row.bias for row in CAFFENET.table() if row.name in biased} == {1.0}


def test_both_ways_and_towers_apart(blobs):
    model = loaded(AlexNetConfig(), blobs)
    for network in (model, model.place(["cpu", "cpu"])):
        found = caffe_blobs.blobs(network)
        assert list(found) == list(SHAPES)
        for name, pair in blobs.items():
            for array, expected in zip(found[name], pair, strict=True):
                assert array.dtype == np.float32
                np.testing.assert_array_equal(array, expected)


def test_blobs_are_copies_and_any_memory_will_do():
    model = Network(AlexNetConfig(width=1 / 32, classes=3))
    model.initialise(0)
    first = caffe_blobs.blobs(model)
    expected = [array.copy() for pair in first.values() for array in pair]
    weight, bias = first["conv1"]
    reversed_channels = np.ascontiguousarray(weight[:, ::-1])[:, ::-1].astype(np.float64)
    reversed_channels.flags.writeable = False
    weight[:] = 0
    caffe_blobs.load(model, {**first, "conv1": [reversed_channels, bias.astype(">f4")]})
    found = [array for pair in caffe_blobs.blobs(model).values() for array in pair]
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


def small():
    model = Network(AlexNetConfig(width=1 / 32, classes=3))
    model.initialise(0)
    return model, caffe_blobs.blobs(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc8": None}, r"lacks fc8\.weight, fc8\.bias; expected: conv1\.weight"),
        ({"prob": (np.zeros(1), np.zeros(1))}, r"has also prob\.weight, prob\.bias; expected"),
        ({"conv2": (np.zeros((8, 3, 5, 5)), np.zeros(8))}, r"conv2\.weight is \[8, 3, 5, 5\] where \[8, 2, 5, 5\] was"),
        ({"fc8": (np.zeros((3, 128)), np.zeros((1, 1, 1, 3)))}, r"fc8\.bias is \[1, 1, 1, 3\] where \[3\] was"),
        ({"fc8": (np.zeros((3, 128)),)}, r"blobs of fc8 are float64 \[3, 128\]; a weight and a bias"),
        ({"fc8": (np.zeros((3, 128), int), np.zeros(3))}, r"blobs of fc8 are int64 \[3, 128\], float64 \[3\]"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change, message):
    model, found = small()
    before = {name: tensor.clone() for name, tensor in model.whole().items()}
    wrong = {name: (np.ones_like(pair[0]), np.ones_like(pair[1])) for name, pair in found.items()} | change
    with pytest.raises(InputError, match=message):
        caffe_blobs.load(model, {name: pair for name, pair in wrong.items() if pair is not None})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.whole().items())
