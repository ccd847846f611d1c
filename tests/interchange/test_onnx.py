"""Every row as ONNX beside PyTorch; LRN against a loop; the whole file: batches, views, temperature, metadata."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from alexnet.data.views import Views
from alexnet.errors import InputError
from alexnet.interchange import onnx_check, onnx_file, onnx_graph
from alexnet.interchange.caffe_blobs import BVLC_ALEXNET, CAFFENET
from alexnet.interchange.pictures import Pictures
from alexnet.interchange.torchvision_state import TORCHVISION
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SMALL = {"width": 1 / 16, "classes": 4}
PAPER = AlexNetConfig(**SMALL)
CODE = replace(
    PAPER, order1="norm pool relu", order5="pool relu", norm_alpha_divided=True, same_map_norm=True, activation="tanh"
)


def images(classifier, count):
    generator = torch.Generator().manual_seed(2)
    side = classifier.size
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("config", "views", "size"),
    [
        (PAPER, Views(), 256),
        (CODE, Views(mean="central", divisor="deviation"), 256),
        (replace(PAPER, communication=False, conv6=True, bottleneck=8, dropout_scaling="inverted"), None, 256),
        (replace(PAPER, overlap=False, norm_n=4, norm_k=1.0), None, 230),
        (replace(BVLC_ALEXNET, **SMALL), Views(crop=227, mean=(122.7, 116.7, 104.0)), 256),
        (replace(CAFFENET, **SMALL), Views(crop=227, mean="channel"), 256),
        (replace(TORCHVISION, **SMALL), Views(mean=(123.7, 116.3, 103.5), divisor=(58.4, 57.1, 57.4)), 256),
        (Cifar10Config("11pct", width=1 / 8), Views(crop=24), 32),
        (Cifar10Config("18pct", width=1 / 8), Views(crop=32, divisor=50.0), 32),
    ],
    ids=["paper", "code", "apart", "even norm", "bvlc", "caffenet", "torchvision", "11pct", "18pct"],
)
def test_every_stage_is_pytorchs_at_any_batch(made, tmp_path, config, views, size):
    classifier = made(config, views, size, temperature=1.7)
    names = [row.name for row in classifier.network.rows]
    file = tmp_path / "a.onnx"
    file.write_bytes(onnx_graph.model(classifier, names).SerializeToString())
    pictures = Pictures(images(classifier, 5), "noise")
    checked = onnx_check.check(file, classifier, pictures, names)
    assert (checked.images, checked.same_top1) == (5, 5)
    assert checked.largest < 2e-5
    assert list(checked.stages) == names
    assert max(checked.stages.values()) < 2e-5
    probabilities = classifier.probabilities(pictures.images)
    assert float(probabilities.std()) > 1e-3, "answers that are all alike prove nothing"


def looped_norm(maps, first, last, n, k, alpha, beta):
    """Section 3.3's formula, map by map, the window within first..last."""
    out = np.empty_like(maps)
    for i in range(len(maps)):
        low, high = (first, last) if i < last else (last, len(maps))
        total = np.zeros(maps.shape[1:])
        for j in range(max(low, i - n // 2), min(high - 1, i + n // 2) + 1):
            total += maps[j].astype(np.float64) ** 2
        out[i] = maps[i] / (k + alpha * total) ** beta
    return out


@pytest.mark.parametrize("across", [False, True])
def test_lrn_is_the_formula_within_towers(made, across):
    classifier = made(replace(PAPER, norm_alpha=3e-3, norm_across=across))
    model = onnx_graph.model(classifier, ["relu1", "norm1"])
    nodes = [node for node in model.graph.node if node.op_type == "LRN"]
    assert len(nodes) == 2
    settings = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in nodes[0].attribute}
    assert settings == pytest.approx({"size": 5, "alpha": 5 * 3e-3, "beta": 0.75, "bias": 2.0})
    relu, norm = session(model).run(["relu1", "norm1"], {"images": images(classifier, 1).numpy()})
    half = relu.shape[1] if across else relu.shape[1] // 2
    expected = looped_norm(relu[0], 0, half, 5, 2.0, 3e-3, 0.75)
    np.testing.assert_allclose(norm[0], expected, rtol=1e-5, atol=1e-6)
    other = looped_norm(relu[0], 0, relu.shape[1] // (1 if not across else 2), 5, 2.0, 3e-3, 0.75)
    assert np.abs(norm[0] - other).max() > 1e-2, "the towers' border must show"


def test_the_file_takes_bytes_and_tells_what_it_is(made):
    classifier = made(PAPER, recipe={"name": "small"}, commit="abc", temperature=0.5)
    model = onnx_graph.model(classifier)
    (taken,) = model.graph.input
    assert taken.name == "images"
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = [side.dim_param or side.dim_value for side in taken.type.tensor_type.shape.dim]
    assert sides == ["N", 3, 256, 256]
    assert [given.name for given in model.graph.output] == ["probabilities"]
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["classes"][1] == {"class": "ClassName", "name": "n00000001", "words": "class 1"}
    assert (told["recipe"], told["commit"], told["temperature"]) == ({"name": "small"}, "abc", 0.5)
    assert told["views"]["crop"] == 224
    assert session(model).run(None, {"images": images(classifier, 3).numpy()})[0].sum(1) == pytest.approx(1)


def test_half_halves_the_file_and_computes_in_float32(made, tmp_path):
    classifier = made(replace(PAPER, width=1 / 4), Views(mean=(120.0, 118.0, 104.0)))
    whole, half = (onnx_graph.model(classifier, half=h).SerializeToString() for h in (False, True))
    assert len(half) < 0.52 * len(whole)
    rounded = made(replace(PAPER, width=1 / 4), Views(mean=(120.0, 118.0, 104.0)))
    rounded.network.load_whole({n: t.half().float() for n, t in rounded.network.whole().items()})
    file = tmp_path / "a.onnx"
    file.write_bytes(half)
    pictures = Pictures(images(classifier, 3), "noise")
    assert onnx_check.check(file, rounded, pictures).largest < 1e-5
    tensors = onnx_file.read(file).tensors
    for name, tensor in rounded.network.whole().items():
        np.testing.assert_array_equal(tensors[name].read().astype(np.float32), tensor.numpy())


def test_a_graph_that_differs_fails_its_check(made, tmp_path):
    classifier = made(PAPER)
    file = tmp_path / "a.onnx"
    file.write_bytes(onnx_graph.model(classifier).SerializeToString())
    other = made(replace(PAPER, norm_across=True))
    with pytest.raises(InputError, match=r"onnxruntime and PyTorch differ on noise: .* nothing was written"):
        onnx_check.check(file, other, Pictures(images(classifier, 4), "noise"))


def test_an_unknown_stage_suggests_the_nearest(made):
    with pytest.raises(InputError, match=r"no stage 'relu77' \(did you mean 'relu7'\?\)"):
        onnx_graph.model(made(PAPER), ["relu77"])


@pytest.mark.parametrize("data", [b"", b"no graph", b"\x08\x08\x3a\x02"], ids=["empty", "text", "truncated"])
def test_other_files_are_refused(tmp_path, data):
    file = tmp_path / "a.onnx"
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged one|only those of `alexnet export` are read"):
        onnx_file.read(file)
