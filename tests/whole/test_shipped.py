"""The classifiers that come with the package: small, whole, and as good as the docs say."""

import os
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from alexnet.data.loader import Loader, Loading
from alexnet.data.prepare import prepare
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.classifier_file import shipped
from alexnet.evaluation.evaluate import evaluate

FILE = Path(str(resources.files("alexnet"))) / "shipped" / "cifar10.safetensors"
CENTRE_ERROR = 0.2238  # docs/results.md
CLASSES = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}


def test_it_is_found_by_name_and_small():
    assert shipped() == ["cifar10"]
    assert FILE.stat().st_size <= 5 * 10**6
    with safe_open(FILE, "numpy") as file:
        weights = [file.get_tensor(name).dtype for name in file.keys() if name.endswith("weight")]  # noqa: SIM118
    assert set(weights) == {np.dtype(np.float16)}


def test_it_answers_with_the_ten_classes():
    (answers,) = Classifier.load("cifar10", "cpu").predict([np.full((40, 60, 3), 127, np.uint8)], top=10)
    assert {label for label, _ in answers} == CLASSES
    assert sum(probability for _, probability in answers) == pytest.approx(1)


@pytest.mark.slow
def test_its_error_is_that_of_the_docs(tmp_path):
    if "ALEXNET_CIFAR10" not in os.environ:
        pytest.skip("ALEXNET_CIFAR10 does not name the folder of CIFAR-10's binary batches")
    prepared = prepare(os.environ["ALEXNET_CIFAR10"], tmp_path / "prepared")
    classifier = Classifier.load("cifar10", "cpu")
    loader = Loader(prepared.split("test"), Loading(), classifier.network.devices[0])
    error = evaluate([classifier], loader, classes=prepared.classes).top1_error
    assert error == pytest.approx(CENTRE_ERROR, abs=0.0005)
