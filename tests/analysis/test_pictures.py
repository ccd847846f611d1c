"""Which files a folder of photographs stands for: the same to every command."""

import numpy as np
import pytest
from PIL import Image

import alexnet
from alexnet.analysis.pictures import of_files
from alexnet.data.folders import files_below
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier


def test_the_files_of_a_folder_are_the_same_to_all(tmp_path):
    root, far = tmp_path / "pictures", tmp_path / "far"
    for path in ("b.png", "a.png", ".hidden.png", "x/1.png", ".git/0.png", "__MACOSX/0.png"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(root / path)
    far.mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(far / "linked.png")
    (root / "w").symlink_to(far)
    (root / "x" / "round").symlink_to(root)
    expected = [str(root / name) for name in ("a.png", "b.png", "w/linked.png", "x/1.png")]
    assert [str(path) for path in files_below(root)] == expected
    assert of_files(Classifier.load("cifar10", "cpu"), [root, "./one.png"]).names == [*expected, "./one.png"]
    assert [answer.image for answer in alexnet.predict("cifar10", root, device="cpu")] == expected
    made = alexnet.embed("cifar10", root, tmp_path / "features", ["fc10"], device="cpu")
    assert [str(root / path) for path in made.paths] == expected


def test_a_folder_without_visible_files_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no visible files; name photographs"):
        of_files(Classifier.load("cifar10", "cpu"), [tmp_path])
