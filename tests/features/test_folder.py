"""Features: what is opened is whole, named and read only."""

import json

import numpy as np
import pytest

import alexnet
from alexnet import files
from alexnet.errors import InputError
from alexnet.features.folder import Features, read_images


@pytest.fixture
def folder(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    return alexnet.embed("cifar10", images, tmp_path / "features", ["conv1", "fc10"]).path


def test_stages_are_memory_maps_by_name(folder):
    opened = Features.open(str(folder))
    assert len(opened) == 5
    assert isinstance(opened.stage("conv1"), np.memmap)
    assert not opened.stage("conv1").flags.writeable
    assert np.array_equal(opened.stage("fc10"), np.load(folder / "fc10.npy"))
    assert opened.vectors("fc10").shape == (5, 10)
    with pytest.raises(InputError, match="holds several stages; name one of conv1, fc10"):
        opened.stage()
    with pytest.raises(InputError, match=r"holds no stage 'fc1' \(did you mean 'fc10'\?\); there are conv1, fc10"):
        opened.vectors("fc1")


def test_the_only_stage_needs_no_name(tmp_path):
    images = np.zeros((1, 32, 32, 3), np.uint8)
    opened = alexnet.embed("cifar10", images, tmp_path / "features", ["fc10"])
    assert np.array_equal(opened.stage(), opened.stage("fc10"))


def test_damage_is_told(folder):
    def damaged(name: str, data: bytes, match: str) -> None:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(data)
        with pytest.raises(InputError, match=match):
            Features.open(folder)
        (folder / name).write_bytes(before)

    array = (folder / "fc10.npy").read_bytes()
    damaged("fc10.npy", array[:-4], "fc10.npy is missing or damaged")
    damaged("fc10.npy", b"", "fc10.npy is missing or damaged")
    damaged("fc10.npy", array.replace(b"(5, 10)", b"(5, 9) "), "its files disagree")
    lines = (folder / "images.csv").read_bytes().splitlines(keepends=True)
    damaged("images.csv", b"".join(lines[:-1]), "its files disagree")
    damaged("images.csv", b"".join([*lines[:2], *lines[3:]]), "not numbered 0, 1")
    damaged("images.csv", b"a,b\n1,2\n", "images.csv is missing or damaged")
    described = json.loads((folder / "features.json").read_text())
    damaged("features.json", json.dumps({**described, "format": 9}).encode(), "another format")
    bare = {name: value for name, value in described.items() if name != "type"}
    wrong = (
        {**described, "stages": ["fc10"]},
        {**described, "type": "f99"},
        {**described, "stages": [{"name": "fc10"}]},
    )
    for value in ({"format": 1}, bare, *wrong, {**described, "stages": 3}):
        damaged("features.json", json.dumps(value).encode(), r"features\.json is damaged: .* embed it anew")
    for value in ([], 3, {**described, "format": "1"}):
        damaged("features.json", json.dumps(value).encode(), "another format")
    damaged("features.json", json.dumps({**described, "images": "5"}).encode(), "its files disagree")
    assert len(Features.open(folder)) == 5


def test_tables_hold_any_name(tmp_path):
    # Of a prepared set's paths and classes, too, which may be of any characters.
    names = ["a,b", 'a"b', "a\rb", "a\nb", "a\r\n,b", "\r", "", " ", "é", "\udcff", "\x85\u2028"]
    files.write_csv(
        tmp_path / "images.csv", ["row", "path", "label"], ([i, name, name] for i, name in enumerate(names))
    )
    assert read_images(tmp_path) == (tuple(names), tuple(names))


def test_a_folder_of_something_else_is_told(tmp_path):
    with pytest.raises(InputError, match="is no folder of features; `alexnet embed RUN SOURCE"):
        Features.open(tmp_path)
