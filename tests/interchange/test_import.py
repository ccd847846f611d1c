"""Weights from elsewhere: torchvision, Caffe, arrays, convolutions alone; what is wrong or hostile leaves nothing."""

import copy
import io
import json
import os
import pickle
import shlex
import subprocess
import sys
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import caffe_bytes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.synsets import ilsvrc2012
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.interchange import published, torchvision_state
from alexnet.interchange.caffe_blobs import BVLC_ALEXNET, CAFFENET
from alexnet.interchange.import_weights import import_weights
from alexnet.interchange.proof import spectrum
from alexnet.interchange.torchvision_state import TORCHVISION
from alexnet.model.network import Network


@pytest.fixture
def names(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("n02084071 dog, domestic dog\ncat\nbird\tbird of any kind\n")
    return file


def torchvision(width=1 / 16, classes=3):
    network = Network(replace(TORCHVISION, width=width, classes=classes))
    network.initialise(5)
    return torchvision_state.state(network)


def state_of(run):
    return Classifier.load(run, "cpu").network.whole()


@pytest.mark.parametrize("kind", ["pth", "old pth", "nested", "parallel", "safetensors"])
def test_torchvisions(tmp_path, names, kind):
    state, file = torchvision(), tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    if kind == "safetensors":
        save_file(state, file)
    elif kind == "nested":
        torch.save({"epoch": 3, "state_dict": state}, file)
    elif kind == "parallel":
        torch.save(OrderedDict((f"module.{name}", tensor) for name, tensor in state.items()), file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=kind == "pth")
    found = import_weights(file, tmp_path / "run", classes=names)
    assert found.network == "torchvision"
    loaded = Classifier.load(tmp_path / "run", "cpu")
    again = torchvision_state.state(loaded.network)
    assert all(torch.equal(again[name], state[name]) for name in state)
    widths = {"kernels": (4, 12, 24, 16, 16), "units": (256, 256), "classes": 3}
    assert loaded.network.config == replace(TORCHVISION, **widths)
    assert loaded.squaring == Squaring(256, "crop", "pillow-bilinear")
    assert loaded.views.crop == 224
    assert any("pictures cropped to 256 by pillow-bilinear, the central 224" in note for note in found.notes)
    assert loaded.views.mean == pytest.approx([255 * m for m in (0.485, 0.456, 0.406)])
    assert loaded.views.divisor == pytest.approx([255 * s for s in (0.229, 0.224, 0.225)])
    assert loaded.classes[0] == ClassName("n02084071", "dog, domestic dog")
    assert [entry.words for entry in loaded.classes] == ["dog, domestic dog", "cat", "bird of any kind"]


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("pool_first", [False, True])
def test_caffes(tmp_path, names, version, pool_first):
    pytest.importorskip("google.protobuf")
    blobs, file = caffe_bytes.small(), tmp_path / "a.caffemodel"
    file.write_bytes(caffe_bytes.network(blobs, version, pool_first))
    found = import_weights(file, tmp_path / "run", classes=names)
    loaded = Classifier.load(tmp_path / "run", "cpu")
    widths = {"kernels": (12, 16, 20, 20, 8), "units": (24, 24), "classes": 3}
    assert loaded.network.config == replace(CAFFENET if pool_first else BVLC_ALEXNET, **widths)
    assert found.network == ("caffenet" if pool_first else "bvlc_alexnet")
    state = loaded.network.whole()
    np.testing.assert_array_equal(state["conv1.weight"].numpy(), blobs["conv1"][0][:, ::-1])
    for name, pair in blobs.items():
        for part, array in zip(("weight", "bias"), pair, strict=True):
            if (name, part) != ("conv1", "weight"):
                np.testing.assert_array_equal(state[f"{name}.{part}"].numpy(), array)
    assert loaded.squaring == Squaring(256, "warp", "opencv-linear")
    assert (loaded.views.crop, loaded.views.divisor) == (227, 1.0)
    assert any("pictures warped to 256 by opencv-linear, the central 227" in note for note in found.notes)
    assert loaded.views.mean == pytest.approx((122.68, 116.67, 104.01), abs=0.01)
    assert any("blue, green, red" in note for note in found.notes)


def test_what_a_caffemodel_says_of_its_norms_is_taken(tmp_path, names):
    pytest.importorskip("google.protobuf")
    blobs, file = caffe_bytes.small(), tmp_path / "a.caffemodel"

    def imported(run, network=None, **changed):
        file.write_bytes(caffe_bytes.network(blobs, **changed))
        found = import_weights(file, tmp_path / run, classes=names, network=network)
        return Classifier.load(tmp_path / run, "cpu").network.config, " ".join(found.notes)

    config, told = imported("without", between=(["Pooling"], ["Pooling"]))
    assert not config.norm
    assert "it says norm False, and that is what was taken" in told
    config, told = imported("mixed", between=(["LRN", "Pooling"], ["Pooling", "LRN"]))
    assert (config.order1, config.order2) == ("relu norm pool", "relu pool norm")
    assert "it says order2 relu pool norm" in told
    config, told = imported("asked", "bvlc_alexnet", norm={"size": 3, "alpha": 0.01, "beta": 0.5})
    assert (config.norm_n, config.norm_alpha, config.norm_beta) == (3, 0.01, 0.5)
    assert "it says norm_n 3, norm_alpha 0.01, norm_beta 0.5" in told
    for between, said in (
        ((["LRN", "Pooling"], ["Pooling"]), "conv1 is followed by relu norm pool, conv2 by relu pool;"),
        ((["LRN"], ["LRN"]), "conv1 is followed by relu norm, conv2 by relu norm;"),
    ):
        with pytest.raises(InputError, match=said):
            imported("elsewhere", between=between)
    file.write_bytes(caffe_bytes.network(blobs) + caffe_bytes.layer(2, "norm5", "LRN", [], caffe_bytes.lrn(2)))
    with pytest.raises(InputError, match="and no norm comes later"):
        import_weights(file, tmp_path / "later", classes=names)


def tensorflows(blobs):
    """The dictionaries that caffe-tensorflow makes: outputs last, fc6's inputs by row, column, map."""
    found = {}
    for name, (weight, bias) in blobs.items():
        if name.startswith("conv"):
            weight = weight.transpose(2, 3, 1, 0)
        elif name == "fc6":
            weight = weight.reshape(len(weight), -1, 6, 6).transpose(2, 3, 1, 0).reshape(-1, len(weight))
        else:
            weight = weight.T
        found |= {f"{name}.0": weight, f"{name}.1": bias}
    return found


def test_arrays_in_caffes_and_in_tensorflows_order_are_the_same_network(tmp_path, names):
    blobs = caffe_bytes.small()
    plain = {f"{n}_{p}": a for n, pair in blobs.items() for p, a in zip(("W", "b"), pair, strict=True)}
    np.savez(tmp_path / "plain.npz", **plain)
    np.savez_compressed(tmp_path / "turned.npz", **tensorflows(blobs))
    first = import_weights(tmp_path / "plain.npz", tmp_path / "plain", classes=names)
    second = import_weights(tmp_path / "turned.npz", tmp_path / "turned", classes=names)
    a, b = state_of(tmp_path / "plain"), state_of(tmp_path / "turned")
    assert all(torch.equal(a[name], b[name]) for name in a)
    np.testing.assert_array_equal(a["fc6.weight"].numpy(), blobs["fc6"][0])
    assert any("taken for bvlc_alexnet" in note for note in first.notes)
    assert any("were turned" in note for note in second.notes)
    asked = import_weights(tmp_path / "plain.npz", tmp_path / "asked", classes=names, network="caffenet")
    assert Classifier.load(asked.run, "cpu").network.config.order1 == "relu pool norm"
    assert not any("taken for" in note for note in asked.notes)


def convolutions(towers=1):
    blobs = caffe_bytes.small(towers=towers)
    return {name: pair for name, pair in blobs.items() if name.startswith("conv")}


def test_convolutions_alone(tmp_path, names):
    arrays = {}
    for number, (weight, bias) in enumerate(convolutions().values()):
        arrays[f"AlexNet_0.Conv_{number}.kernel"] = weight.transpose(2, 3, 1, 0)
        arrays[f"AlexNet_0.Conv_{number}.bias"] = bias
    np.savez(tmp_path / "a.npz", **arrays, **{"NetLinLayer_0.Conv_0.kernel": np.ones((1, 1, 4, 1), np.float32)})
    found = import_weights(tmp_path / "a.npz", tmp_path / "run", classes=names)
    loaded = Classifier.load(tmp_path / "run", "cpu")
    state = loaded.network.whole()
    for name, (weight, bias) in convolutions().items():
        np.testing.assert_array_equal(state[f"{name}.weight"].numpy(), weight)
        np.testing.assert_array_equal(state[f"{name}.bias"].numpy(), bias)
    fresh = Network(loaded.network.config)
    fresh.initialise(0)
    assert torch.equal(state["fc6.weight"], fresh.whole()["fc6.weight"])
    assert loaded.views.divisor != 1.0, "these are torchvision's"
    assert any("drawn fresh" in note for note in found.notes)
    assert any("NetLinLayer_0" in note for note in found.notes)


def test_features_only_takes_nothing_else(tmp_path, names):
    torch.save(torchvision(classes=7), tmp_path / "a.pth")
    import_weights(tmp_path / "a.pth", tmp_path / "run", classes=names, features_only=True)
    state = state_of(tmp_path / "run")
    assert torch.equal(state["conv5.bias"], torchvision()["features.10.bias"])
    assert state["fc8.weight"].shape[0] == 3
    assert not torch.equal(state["fc7.weight"], torchvision()["classifier.4.weight"])


def test_the_thousand_classes_come_with_the_package():
    classes = ilsvrc2012()
    assert len({entry.name for entry in classes}) == 1000
    assert [entry.name for entry in classes] == sorted(entry.name for entry in classes)
    assert (classes[0].words, classes[217].words) == (
        "tench, Tinca tinca",
        "English springer, English springer spaniel",
    )


def test_public_files_are_known_by_their_digests():
    owt = {"sha1": "0" * 40, "sha256": "7be5be79" + "0" * 56}
    assert published.known(owt).top1 == 56.522
    assert published.known({**owt, "sha256": "0" * 64}) is None
    caffe = {"sha1": "9116a64c0fbe4459d18f4bb6b56d647b63920377", "sha256": "0" * 64}
    assert (published.known(caffe).network, published.known(caffe).top5) == ("bvlc_alexnet", 80.2)


def test_kernels_of_noise_are_told_from_smooth_ones():
    draw = np.random.default_rng(7)
    noise = draw.standard_normal((64, 3, 11, 11)).astype(np.float32)
    rows, columns = np.mgrid[:11, :11] / 11
    waves = [np.cos(2 * np.pi * (u * rows + v * columns)) for u, v in draw.uniform(-2, 2, (64, 2))]
    smooth = np.repeat(np.array(waves, np.float32)[:, None], 3, 1) + 0.3 * noise
    assert not spectrum(noise).trained
    assert spectrum(smooth).trained
    # Half of the fastest frequency is a quarter cycle a pixel; of 121 waves 21 are as slow.
    assert spectrum(noise).noise == pytest.approx(21 / 121, abs=0.01)


def test_untrained_weights_get_a_warning(tmp_path, names):
    torch.save(torchvision(), tmp_path / "a.pth")
    found = import_weights(tmp_path / "a.pth", tmp_path / "run", classes=names)
    assert not found.kernels.trained
    assert any("were never trained" in note for note in found.notes)
    assert json.loads((tmp_path / "run" / "import.json").read_text())["kernels"]["trained"] is False


class _Runs:
    def __reduce__(self):
        return os.system, ("touch executed",)


def bomb(path, blocks=1 << 8):
    """A .npz that says four gigabytes and unpacks a few kilobytes to so many times a megabyte."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 30,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("conv1.weight.npy", "w") as file:
        file.write(header.getvalue())
        for _ in range(blocks):
            file.write(bytes(1 << 20))


def crowd(path):
    """A .npz of more arrays than any network has."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5000):
            archive.writestr(f"{number}.npy", b"")


def graph(sides=(), **described):
    """The bytes of an .onnx with this metadata and, of these sides, a tensor of float32 called mean."""
    metadata = {"covariance": np.eye(3).tolist(), "size": 2} | described
    entries = [caffe_bytes.chunk(1, name) + caffe_bytes.chunk(2, json.dumps(v)) for name, v in metadata.items()]
    mean = b"".join(caffe_bytes.number(1, side) for side in sides) + caffe_bytes.number(2, 1)
    mean += caffe_bytes.chunk(8, "mean") + caffe_bytes.chunk(9, bytes(4 * int(np.prod(sides))))
    inside = caffe_bytes.chunk(7, caffe_bytes.chunk(5, mean) if sides else b"")
    return inside + b"".join(caffe_bytes.chunk(14, entry) for entry in entries)


def write(kind, path):
    state = torchvision()
    match kind:
        case "runs code":
            path.write_bytes(pickle.dumps({"features.0.weight": _Runs()}))
        case "runs code, zipped":
            torch.save({"features.0.weight": _Runs()}, path)
        case "truncated":
            torch.save(state, path)
            path.write_bytes(path.read_bytes()[:5000])
        case "compressed":
            torch.save(state, path)
            with zipfile.ZipFile(path) as archive:
                parts = {name: archive.read(name) for name in archive.namelist()}
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in parts.items():
                    archive.writestr(name, data)
        case "overlapping":
            torch.save(state, path)
            with zipfile.ZipFile(path, "a") as archive:
                largest = max(archive.infolist(), key=lambda entry: entry.file_size)
                for number in range(50):
                    again = copy.copy(largest)
                    again.filename = f"{largest.filename}{number}"
                    archive.filelist.append(again)
                archive.writestr("last", b"")  # so that the directory is written anew
        case "a list":
            torch.save([torch.ones(2)], path)
        case "whole numbers":
            torch.save({**state, "features.0.bias": torch.ones(4, dtype=torch.int64)}, path)
        case "wrong shape":
            torch.save({**state, "features.3.weight": torch.ones(12, 4, 3, 3)}, path)
        case "lacks one":
            torch.save({name: tensor for name, tensor in state.items() if name != "classifier.6.bias"}, path)
        case "another network":
            torch.save({"layer1.0.conv1.weight": torch.ones(1)}, path)
        case "not finite":
            torch.save({**state, "features.0.bias": torch.full((4,), torch.nan)}, path)
        case "sparse":
            torch.save({**state, "features.0.bias": torch.ones(4).to_sparse()}, path)
        case "one number for all":
            torch.save({name: torch.zeros(1).expand(tensor.shape) for name, tensor in state.items()}, path)
        case "too large":
            torch.save({name: tensor * 1e30 for name, tensor in state.items()}, path)
        case "endless":
            torch.save({**state, "classifier.1.weight": torch.ones(1, 1).expand(1 << 20, 1 << 20)}, path)
        case "objects":
            np.save(path, {"conv1": [np.ones(2), np.ones(3)]}, allow_pickle=True)
        case "objects inside":
            np.savez(path, conv1=np.array([np.ones(2), np.ones(3)], dtype=object))
        case "one array":
            np.save(path, np.ones(3))
        case "bomb":
            bomb(path)
        case "lies":
            bomb(path, 1)
        case "many":
            crowd(path)
        case "text":
            path.write_text("no weights")
        case "onnx, size":
            path.write_bytes(graph(size="abc"))
        case "onnx, endless size":
            path.write_bytes(graph(size=float("inf")))
        case "onnx, mean a word":
            path.write_bytes(graph(mean="x"))
        case "onnx, mean a number":
            path.write_bytes(graph(mean=3))
        case "onnx, two means":
            path.write_bytes(graph((2, 3, 2, 2)))
        case "onnx, mean without sides":
            path.write_bytes(graph((1,)))
        case "onnx, another's":
            path.write_bytes(graph(mean=[1, 2, 3]))
        case "caffe, cut":
            path.write_bytes(caffe_bytes.network(caffe_bytes.small())[:-100])
        case "caffe, no blobs":
            path.write_bytes(caffe_bytes.network({}))
        case "caffe, not finite":
            blobs = caffe_bytes.small()
            blobs["conv1"][1][0] = np.inf
            path.write_bytes(caffe_bytes.network(blobs))
        case "wrong caffe":
            blobs = caffe_bytes.small()
            np.savez(
                path,
                **{f"{n}.{p}": a for n, pair in blobs.items() for p, a in zip("01", pair, strict=True)}
                | {"fc6.0": np.ones((24, 100), np.float32)},
            )


@pytest.mark.filterwarnings("ignore:.*NumPy.*")
@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("runs code", "a.pth", "is a pickle that would run code; only tensors are taken"),
        ("runs code, zipped", "a.pt", "is a pickle that would run code; only tensors are taken"),
        ("truncated", "a.pth", "is no file of weights, or a damaged one"),
        ("compressed", "a.pth", "is compressed inside or shares bytes, which torch never does"),
        ("overlapping", "a.pth", "is compressed inside or shares bytes"),
        ("a list", "a.pth", "holds list; a state dict, tensors by name, was expected"),
        ("whole numbers", "a.pth", r"'features.0.bias' is a tensor of torch.int64 where"),
        ("wrong shape", "a.pth", r"features.3.weight is \[12, 4, 3, 3\] where \[12, 4, 5, 5\] was expected"),
        ("lacks one", "a.pth", r"lacks classifier\.6\.bias"),
        ("another network", "a.pth", r"holds layer1.0.conv1.weight: no AlexNet's names; features.0.weight"),
        ("not finite", "a.pth", "'conv1.bias' holds what is no number"),
        ("sparse", "a.pth", r"'features.0.bias' is a tensor of torch.float32, sparse where a plain tensor"),
        ("one number for all", "a.pth", "says more numbers than it holds"),
        ("endless", "a.pth", "says more numbers than it holds"),
        ("too large", "a.pth", "answers with what is no number"),
        ("text", "a.safetensors", "is no file of weights, or a damaged one"),
        ("objects", "a.npy", r"holds python objects, a pickle.*np\.savez"),
        ("objects inside", "a.npz", r"holds python objects, a pickle.*np\.savez"),
        ("one array", "a.npy", "holds one array of float64"),
        ("bomb", "a.npz", "would unpack to more than a file of weights of its size can"),
        ("many", "a.npz", "would unpack to more than a file of weights of its size can"),
        ("lies", "a.npz", r"'conv1.weight' says float32 \[1073741824\] and holds 1048576 bytes"),
        ("text", "a.npz", "is no file of numpy arrays, or a damaged one"),
        ("wrong caffe", "a.npz", r"fc6.0 is \[24, 100\] where \[24, 288\] was expected"),
        ("text", "a.onnx", "is no .onnx file, or a damaged one"),
        ("onnx, size", "a.onnx", "has no description of a classifier"),
        ("onnx, endless size", "a.onnx", "has no description of a classifier"),
        ("onnx, mean a word", "a.onnx", "has no description of a classifier"),
        ("onnx, mean a number", "a.onnx", "has no description of a classifier"),
        ("onnx, two means", "a.onnx", r"'mean' is \[2, 3, 2, 2\]; \[1, 3, 2, 2\] was expected"),
        ("onnx, mean without sides", "a.onnx", r"'mean' is \[1\]; \[1, 3, 2, 2\] was expected"),
        ("onnx, another's", "a.onnx", "has format None"),
        ("text", "a.caffemodel", "is no .caffemodel file, or a damaged one"),
        ("caffe, cut", "a.caffemodel", "is no .caffemodel file, or a damaged one"),
        ("caffe, no blobs", "a.caffemodel", "holds no layer with weights"),
        ("caffe, not finite", "a.caffemodel", "'conv1.bias' holds what is no number"),
        ("text", "a.h5", "has a suffix that is not known; weights come as .pth"),
        ("nothing", "absent.pth", "does not exist"),
    ],
)
def test_wrong_and_hostile_files_are_one_sentence_and_leave_nothing(tmp_path, names, monkeypatch, kind, name, message):
    if name in ("a.onnx", "a.caffemodel"):
        pytest.importorskip("google.protobuf")
    monkeypatch.chdir(tmp_path)
    write(kind, tmp_path / name)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        import_weights(tmp_path / name, tmp_path / "runs" / "one", classes=names)
    assert "\n" not in str(caught.value)
    assert set(tmp_path.rglob("*")) == before, "nothing was run, made or left"


def test_classes_must_fit(tmp_path, names):
    torch.save(torchvision(classes=4), tmp_path / "a.pth")
    with pytest.raises(InputError, match="names 3 classes for 4 outputs"):
        import_weights(tmp_path / "a.pth", tmp_path / "run", classes=names)
    with pytest.raises(InputError, match="name these by --classes FILE"):
        import_weights(tmp_path / "a.pth", tmp_path / "run")
    names.write_text("cat\ncat\n")
    with pytest.raises(InputError, match="names 'cat' twice"):
        import_weights(tmp_path / "a.pth", tmp_path / "run", classes=names)
    assert not (tmp_path / "run").exists()


def test_a_folder_below_a_file_cannot_be(tmp_path, names):
    torch.save(torchvision(), tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth is a file; name a folder"):
        import_weights(tmp_path / "a.pth", tmp_path / "a.pth" / "deeper" / "run", classes=names)


def test_a_folder_in_use_is_left_alone(tmp_path, names):
    torch.save(torchvision(), tmp_path / "a.pth")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("kept")
    with pytest.raises(InputError, match="exists; name a new folder"):
        import_weights(tmp_path / "a.pth", tmp_path / "run", classes=names)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine"]


@pytest.mark.slow
def test_real_convolutions(tmp_path):
    if "ALEXNET_WEIGHTS" not in os.environ:
        pytest.skip("ALEXNET_WEIGHTS does not name the folder with one_tower_convolutions.npz")
    file = Path(os.environ["ALEXNET_WEIGHTS"]) / "one_tower_convolutions.npz"
    found = import_weights(file, tmp_path / "run")
    assert found.kernels.trained
    assert found.kernels.slow > 2 * found.kernels.noise
    assert Classifier.load(tmp_path / "run", "cpu").network.config == TORCHVISION


@pytest.mark.parametrize("name", ["a.npy", "a dictionary.npz", "a list.npz"])
def test_the_conversion_that_is_named_makes_what_can_be_imported(tmp_path, names, name):
    blobs, file = caffe_bytes.small(), tmp_path / name.replace(" ", "-")
    if name == "a.npy":
        np.save(file, {layer: dict(zip(("weights", "biases"), pair, strict=True)) for layer, pair in blobs.items()})
    else:
        held = {layer: np.empty((), object) for layer in blobs}
        for layer, pair in blobs.items():
            held[layer][()] = list(pair) if "list" in name else dict(zip("wb", pair, strict=True))
        np.savez(file, **held)
    with pytest.raises(InputError, match="holds python objects") as refused:
        import_weights(file, tmp_path / "run", classes=names)
    conversion = str(refused.value).partition("plain arrays: ")[2]
    subprocess.run([sys.executable, *shlex.split(conversion)[1:]], check=True, capture_output=True)
    import_weights(f"{file}.npz", tmp_path / "run", classes=names, network="bvlc_alexnet")
    state = state_of(tmp_path / "run")
    np.testing.assert_array_equal(state["fc7.weight"].numpy(), blobs["fc7"][0])
    np.testing.assert_array_equal(state["conv2.bias"].numpy(), blobs["conv2"][1])
