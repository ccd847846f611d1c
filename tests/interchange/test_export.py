"""Exports: checked before they are kept, and imported again as they were."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.data.squaring import Squaring
from alexnet.data.views import Views
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.interchange import onnx_check, pictures
from alexnet.interchange.export import export
from alexnet.interchange.import_weights import import_weights
from alexnet.interchange.torchvision_state import TORCHVISION
from alexnet.model.alexnet import AlexNetConfig

PAPER = AlexNetConfig(width=1 / 16, classes=3)


@pytest.fixture
def saved(made, tmp_path):
    """A classifier file of the paper's network, small."""
    made(PAPER, recipe={"name": "small"}, commit="abc", temperature=1.5).save(tmp_path / "one.safetensors")
    return tmp_path / "one.safetensors"


@pytest.fixture
def data(tmp_path, photographs):
    """A prepared set of three classes that the small classifiers know, nine pictures, three of them for validation."""
    for number in range(9):
        folder = tmp_path / "pictures" / f"n{number % 3:08}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes((photographs / f"{number % 6}.png").read_bytes())
    return prepare(tmp_path / "pictures", tmp_path / "prepared", holdout=1 / 3).path


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.NPZ", "a.onnx", "a.ONNX"])
def test_exported_and_imported_is_the_same_file(saved, tmp_path, photographs, name):
    if name.lower() == "a.onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("google.protobuf")
    found = export(saved, tmp_path / name, data=photographs)
    assert found.bytes == (tmp_path / name).stat().st_size
    import_weights(tmp_path / name, tmp_path / "run")
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.onnx"])
def test_an_export_keeps_how_pictures_become_squares(made, tmp_path, photographs, name):
    if name == "a.onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("google.protobuf")
    way = Squaring(256, "warp", "opencv-linear", orientation=False)
    made(PAPER, squaring=way).save(tmp_path / "one.safetensors")
    export(tmp_path / "one.safetensors", tmp_path / name, data=photographs)
    import_weights(tmp_path / name, tmp_path / "run")
    assert Classifier.load(tmp_path / "run", "cpu").squaring == way


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_state_dict_goes_and_comes(made, tmp_path, name):
    one = made(replace(TORCHVISION, width=1 / 16, classes=3))
    one.save(tmp_path / "one.safetensors")
    found = export(tmp_path / "one.safetensors", tmp_path / name, "torchvision")
    assert any("no preprocessing" in note and "squares by crop and area" in note for note in found.notes)
    (tmp_path / "names").write_text("a\nb\nc\n")
    import_weights(tmp_path / name, tmp_path / "run", classes=tmp_path / "names")
    state = Classifier.load(tmp_path / "run", "cpu").network.whole()
    assert all(torch.equal(state[n], tensor) for n, tensor in one.network.whole().items())


def test_caffes_blobs_read_blue_first(saved, tmp_path):
    export(saved, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        weight = Classifier.load(saved, "cpu").network.whole()["conv1.weight"].numpy()
        np.testing.assert_array_equal(arrays["conv1.weight"], weight[:, ::-1])
        assert json.loads(str(arrays["alexnet"]))["commit"] == "abc"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": float("inf")}, "temperature inf; it must be above 0 and finite"),
        ({"size": 5000}, "takes pictures of 5000; 1 to 4096 are possible"),
        ({"classes": []}, "names 0 classes for 3 outputs"),
        ({"format": 2}, "format 2; this alexnet reads up to 1"),
    ],
)
def test_a_description_that_cannot_be_is_refused(saved, tmp_path, values, message):
    export(saved, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        held = dict(arrays)
    held["alexnet"] = np.array(json.dumps(json.loads(str(held["alexnet"])) | values))
    np.savez(tmp_path / "a.npz", **held)
    with pytest.raises(InputError, match=message):
        import_weights(tmp_path / "a.npz", tmp_path / "run")


def test_the_onnx_file_is_checked_on_real_pictures(saved, tmp_path, photographs, data):
    pytest.importorskip("onnxruntime")
    found = export(saved, tmp_path / "a.onnx", data=photographs, stages=["relu7"])
    assert (found.checked.images, found.checked.same_top1) == (6, 6)
    assert found.checked.pictures.endswith("(1 more could not be read)")
    assert found.checked.largest < 1e-5
    assert found.checked.stages["relu7"] < 1e-5
    assert export(saved, tmp_path / "b.onnx", data=data).checked.pictures.startswith("3 pictures of the val split")


def test_photographs_behind_links_are_taken_and_hidden_ones_are_not(made, tmp_path, photographs):
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "linked").symlink_to(photographs, target_is_directory=True)
    (tmp_path / "seen" / ".hidden.png").write_bytes((photographs / "0.png").read_bytes())
    assert len(pictures.of(tmp_path / "seen", made(PAPER)).images) == 6
    with pytest.raises(InputError, match="nowhere holds no picture that can be read"):
        pictures.of(tmp_path / "nowhere", made(PAPER))


def test_an_export_that_fails_its_check_leaves_no_file(saved, tmp_path, photographs, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnx_check, "LARGEST", 0.0)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"differ on 6 pictures .* nothing was written"):
        export(saved, tmp_path / "a.onnx", data=photographs)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.onnx", "a.npz", "b.safetensors"])
def test_float16_is_measured_on_the_validation_split(saved, tmp_path, data, name):
    if name == "a.onnx":
        pytest.importorskip("onnxruntime")
    told = []
    found = export(saved, tmp_path / name, half=True, data=data, progress=told.append)
    assert found.cost.images == 3
    assert sum(told) == 6
    assert 0 <= found.cost.changed <= 3
    import_weights(tmp_path / name, tmp_path / "run")
    state, whole = (Classifier.load(path, "cpu").network.whole() for path in (tmp_path / "run", saved))
    assert all(torch.equal(state[n], whole[n].half().float()) for n in whole)
    assert not all(torch.equal(state[n], whole[n]) for n in whole)


def test_a_run_is_measured_on_its_own_set_only_while_that_is_the_same(saved, tmp_path, data):
    run = tmp_path / "a-run"
    run.mkdir()
    (run / "weights.safetensors").write_bytes(Path(saved).read_bytes())
    recorded = {"path": str(data), "fingerprint": PreparedSet.open(data).fingerprint}
    (run / "data.json").write_text(json.dumps(recorded))
    assert export(run, tmp_path / "a.npz", half=True).cost.images == 3
    (run / "data.json").write_text(json.dumps(recorded | {"fingerprint": "other"}))
    with pytest.raises(InputError, match=r"is no longer the set that .* was trained on"):
        export(run, tmp_path / "b.npz", half=True)
    export(run, tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.h5", {}, "a suffix that names no format"),
        ("a.onnx", {}, "is checked on real pictures: give --data"),
        ("a.npz", {"half": True}, "what float16 costs is measured: give --data"),
        ("a.npz", {"stages": ["relu7"]}, "stages are outputs of an ONNX file; caffe holds weights alone"),
        ("a.pth", {}, "the network has two towers and torchvision's alexnet has one"),
        ("a.npz", {"format": "torchvision"}, "the format torchvision goes into .pth or .pt or .safetensors"),
        ("a.safetensors", {"format": "caffe"}, "the format caffe goes into .npz; name it so"),
        ("a.pth", {"format": "onnx"}, "the format onnx goes into .onnx"),
        ("a", {"format": "safetensors"}, "the format safetensors goes into .safetensors"),
    ],
)
def test_what_cannot_be_is_one_sentence(saved, tmp_path, name, settings, message):
    with pytest.raises(InputError, match=message):
        export(saved, tmp_path / name, **settings)
    assert not (tmp_path / name).exists()


def test_a_missing_package_is_named_with_its_extra(saved, tmp_path, photographs, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
    with pytest.raises(InputError, match=r"needs the package onnx: pip install 'alexnet\[onnx\]'"):
        export(saved, tmp_path / "a.onnx", data=photographs)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "google" else find(name))
    (tmp_path / "a.caffemodel").write_bytes(b"")
    with pytest.raises(InputError, match=r"needs protobuf: pip install 'alexnet\[caffe\]'"):
        import_weights(tmp_path / "a.caffemodel", tmp_path / "run")


def test_convolutions_of_an_export_forget_what_was_fitted_to_the_rest(saved, tmp_path):
    import_weights(saved, tmp_path / "run", features_only=True)
    loaded, whole = Classifier.load(tmp_path / "run", "cpu"), Classifier.load(saved, "cpu")
    assert (loaded.temperature, list(loaded.lineage)) == (1.0, [{"name": "small"}])
    found, before = loaded.network.whole(), whole.network.whole()
    assert torch.equal(found["conv5.weight"], before["conv5.weight"])
    assert not torch.equal(found["fc6.weight"], before["fc6.weight"])


def test_pictures_of_another_size_are_refused(made, tmp_path, data):
    made(PAPER, Views(), 240).save(tmp_path / "small.safetensors")
    with pytest.raises(InputError, match="holds pictures of 256×256, the classifier takes 240×240"):
        export(tmp_path / "small.safetensors", tmp_path / "a.onnx", data=data)
