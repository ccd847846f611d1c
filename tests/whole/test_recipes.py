"""Every named recipe trains two steps, scaled down, and its classifier answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet import recipes
from alexnet.data.prepare import prepare
from alexnet.evaluation.classifier import Classifier
from alexnet.training.recipe import Machine
from alexnet.training.train import train

CLASSES = ("dark", "light")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """12 training and 4 validation pictures of 256x256."""
    folder, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / "source" / name).mkdir(parents=True)
        for i in range(8):
            pixels = random.integers(0, 128, (256, 256, 3)) + 127 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "source" / name / f"{i}.png", compress_level=1)
    prepare(folder / "source", folder / "prepared", encoding="raw", holdout=0.25)
    return folder / "prepared"


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory) -> Path:
    """12 training, 4 validation and 4 test pictures of 32x32 in CIFAR-10's binary form, ten classes named."""
    folder, random = tmp_path_factory.mktemp("cifar10"), np.random.default_rng(0)
    source = folder / "cifar-10-batches-bin"
    source.mkdir()
    (source / "batches.meta.txt").write_text("\n".join(f"class{i}" for i in range(10)) + "\n")
    for name, count in [*((f"data_batch_{i}.bin", 4) for i in range(1, 6)), ("test_batch.bin", 4)]:
        records = random.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 4
        (source / name).write_bytes(records.tobytes())
    prepare(source, folder / "prepared", holdout=0.2)
    return folder / "prepared"


@pytest.mark.parametrize("name", recipes.names())
def test_two_steps(name, photographs, cifar10, tmp_path):
    recipe = recipes.smaller(recipes.shorter(recipes.named(name), 1), 1 / 32)
    recipe = replace(recipe, loader=replace(recipe.loader, batch=8))
    prepared = cifar10 if name.startswith("cifar10") else photographs
    run = train(recipe, prepared, tmp_path / "run", Machine(devices=("cpu",)))
    (epoch,) = (line for line in run.journal() if line["event"] == "epoch")
    assert epoch["step"] == 2
    assert np.isfinite(epoch["training"]["loss"])
    assert np.isfinite(epoch["validation"]["loss"])
    pixels = np.zeros((40, 50, 3), np.uint8)
    ((answer, probability), *_) = Classifier.load(run.path, "cpu").predict([pixels])[0]
    assert answer in {entry.words or entry.name for entry in Classifier.load(run.path, "cpu").classes}
    assert 0 < probability <= 1


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_says_command_cost_and_what_to_expect(name):
    first, *rest = recipes.description(name).splitlines()
    assert first.endswith((".", ")"))
    assert f"Command: alexnet train {name} " in "\n".join(rest)
    assert any(line.startswith("Cost: ") for line in rest)
    assert any(line.startswith("Expected: ") for line in rest)
    assert recipes.named(name).name == name


def test_every_difference_between_text_and_code_has_its_reason():
    differences = recipes.difference(recipes.paper_2012(), recipes.code_2012())
    unexplained = [entry.field for entry in differences if not entry.why and not entry.field.startswith("schedule.")]
    assert unexplained == []
    assert len(differences) > 10


def test_shorter_keeps_the_shape_of_a_schedule():
    short = recipes.shorter(recipes.code_2012(), 31).schedule
    assert short.epochs == 31
    assert [round(m.epoch, 2) for m in short.milestones] == [7.67, 17.0, 22.67, 24.0, 26.0]
    assert recipes.shorter(recipes.paper_2012(), 18).schedule.patience == 1


def test_a_reason_speaks_of_the_two_recipes_compared():
    def reasons(a, b):
        return {entry.field: entry.why for entry in recipes.difference(a, b)}

    assert "footnote 2" in reasons(recipes.paper_2012(), recipes.half_net())["model.kernels"]
    assert "torchvision" in reasons(recipes.paper_2012(), recipes.one_tower())["model.kernels"]
    assert "eigenvalues" not in reasons(recipes.paper_2012(), recipes.without_colour())["views.colour"]
    assert "eigenvalues" in reasons(recipes.paper_2012(), recipes.code_2012())["views.colour"]
