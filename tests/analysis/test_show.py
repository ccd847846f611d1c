"""Every kind of figure from a run, with its title and its source; what a kind does not use is refused in a sentence."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet import drawing, recipes
from alexnet.analysis import pictures
from alexnet.analysis.predictions import wrong
from alexnet.analysis.show import USES, images_to_see
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.training.recipe import Machine
from alexnet.training.train import train


def texts(figure):
    found = [figure.get_suptitle(), figure.get_supxlabel()]
    for axes in figure.axes:
        found += [t.get_text() for t in axes.texts]
        found += [axes.get_title(loc="left"), axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    return [text for text in found if text]


@pytest.fixture(scope="module")
def run(tmp_path_factory, prepared):
    """A run of two epochs on the drawn pictures."""
    recipe = recipes.shorter(recipes.smaller(recipes.named("cifar10-11pct"), 1 / 8), 2)
    folder = tmp_path_factory.mktemp("show") / "one"
    train(recipe, prepared.path, folder, Machine(devices=("cpu",)))
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(5)
    for number in range(14):
        Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("kernels", {}, ["8 kernels of 5×5×3", "(weights.safetensors)"]),
        ("kernels", {"stage": "local4", "best": True}, ["local4", "at the middle position", "(best.safetensors)"]),
        ("curves", {}, ["Loss (nats)", "Top-1 error", "Journal of run", "2 epochs", "24 validation images"]),
        ("predictions", {}, ["The most probable labels", "val split of", "24 images", "its bar is red"]),
        ("predictions", {"split": "train"}, ["train split of"]),
        ("stages", {}, ["The strongest maps of each stage", "relu1\n8 of 24×24", "val split"]),
        ("stages", {"stage": "conv2"}, ["What conv2 holds", "8 maps of 12×12"]),
        ("stages", {"stage": "fc10"}, ["What fc10 holds", "3 units"]),
        ("confusion", {}, ["3 classes, 24 images", "val split of", "Shares of each true class"]),
        ("units", {}, ["local4: the 9 image patches", "val split"]),
        ("units", {"stage": "conv1"}, ["conv1: the 9 image patches that excite each unit most (5×5 pixels)"]),
        ("saliency", {}, ["Where the evidence for the most probable label lies", "Grad-CAM at relu2"]),
        ("saliency", {"stage": "relu1"}, ["Grad-CAM at relu1"]),
        ("saliency", {"label": "green"}, ["Where the evidence for “green” lies", "gradient of “green”"]),
    ],
)
def test_each_kind_says_what_it_shows_and_where_from(run, kind, options, expected):
    figure = alexnet.show(run, kind, device="cpu" if "device" in USES[kind] else "auto", **options)
    found = "\n".join(texts(figure))
    for text in expected:
        assert text in found
    assert str(run) in found.replace("\n", "")  # a long path may be broken over two lines
    drawing.rendered(figure)


@pytest.mark.parametrize(
    ("kind", "count", "options", "expected"),
    [
        ("predictions", 8, {}, ["The most probable labels", "; the first 8 pictures of FOLDER (14 files)"]),
        ("stages", 12, {"stage": "pool1"}, ["What pool1 holds", "; the first 12 pictures of FOLDER (14 files)"]),
        ("units", 14, {}, ["; 14 pictures of FOLDER (14 files)"]),
        ("saliency", 8, {}, ["; the first 8 pictures of FOLDER (14 files)"]),
    ],
)
def test_a_folder_of_photographs_serves_where_no_labels_are_needed(photographs, kind, count, options, expected):
    figure = alexnet.show("cifar10", kind, [photographs], **options)
    found = "\n".join(texts(figure)).replace("\n", " ").replace(str(photographs), "FOLDER")
    assert all(text in found for text in [*expected, "Classifier cifar10"])
    assert "true label" not in found
    assert len([axes for axes in figure.axes if axes.images]) >= min(count, 8)


def pictures_in(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8)).save(folder / name)
    return folder


def test_folders_share_a_figure_and_tell_the_truth_where_they_are_classes(tmp_path):
    names = [f"{folder}/{i}.png" for folder in ("cat", "deep/in/ship", "mine", "dog") for i in range(9)]
    folder = pictures_in(tmp_path / "four", *names, "cat/young/9.png")
    figure = alexnet.show("cifar10", "predictions", [folder])
    below = [axes.get_xlabel() for axes in figure.axes if axes.images]
    assert sorted(below) == ["", "", "cat", "cat", "dog", "dog", "ship", "ship"]
    assert "true label, the name of its folder, stands below" in figure.get_supxlabel().replace("\n", " ")
    assert "; 8 pictures of" in figure.get_supxlabel().replace("\n", " ")
    assert "(37 files)" in figure.get_supxlabel()
    classifier = alexnet.Classifier.load("cifar10", "cpu")
    known = {entry.name: place for place, entry in enumerate(classifier.classes)}
    seen = pictures.of_files(classifier, [folder / "cat", folder / "mine" / "3.png", folder / "dog" / "3.png"])
    assert seen.labels.tolist() == [known["cat"]] * 10 + [-1, known["dog"]]
    assert len(set(seen.groups.tolist())) == 3


def test_the_true_labels_bar_is_red_also_where_a_folder_tells_it(tmp_path):
    classifier = alexnet.Classifier.load("cifar10", "cpu")
    pictures_in(tmp_path, "one.png")
    best = classifier.predict(tmp_path / "one.png", top=1)[0][0][0]
    folder = pictures_in(tmp_path / "set", f"{best}/one.png")
    bars = alexnet.show("cifar10", "predictions", [folder]).axes[1].patches[5:]
    assert [bar.get_facecolor()[0] > 0.9 for bar in bars] == [True, False, False, False, False]


@pytest.mark.parametrize(("kind", "options"), [("predictions", {}), ("units", {}), ("stages", {"stage": "conv2"})])
def test_a_file_that_is_no_picture_is_left_out_and_told_of(tmp_path, capsys, kind, options):
    folder = pictures_in(tmp_path / "mixed", *(f"{i}.png" for i in range(1, 12)))
    (folder / "0.txt").write_text("notes")
    found = alexnet.show("cifar10", kind, [folder], **options).get_supxlabel().replace("\n", " ")
    count = {"predictions": 8, "units": 11, "stages": 11}[kind]
    assert f"{count} pictures of" in found
    assert "(12 files)" in found
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"Left out: {folder / '0.txt'}: not an image")


def test_many_files_that_are_no_pictures_are_told_of_briefly(tmp_path, capsys):
    folder = pictures_in(tmp_path / "mixed", "z.png")
    for i in range(8):
        (folder / f"{i}.txt").write_text("notes")
    alexnet.show("cifar10", "predictions", [folder])
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 6
    assert told[4].startswith(f"Left out: {folder / '4.txt'}: not an image")
    assert told[5] == "Left out: more files"
    (folder / "z.png").unlink()
    with pytest.raises(InputError, match=r"mixed \(8 files\): not one could be read as a picture"):
        alexnet.show("cifar10", "predictions", [folder])
    with pytest.raises(InputError, match=r"2.txt: not an image"):
        alexnet.show("cifar10", "predictions", [folder / "2.txt"])


def test_a_single_picture_is_named(tmp_path):
    file = pictures_in(tmp_path, "drawn.png") / "drawn.png"
    found = alexnet.show("cifar10", "saliency", [file]).get_supxlabel().replace("\n", "")
    assert found.replace(" ", "").endswith(f"Classifiercifar10;{file};centreview")


def test_each_strongest_map_has_the_number_that_lesions_use(tmp_path):
    file = pictures_in(tmp_path, "one.png") / "one.png"
    classifier = alexnet.Classifier.load("cifar10", "cpu")
    figure = alexnet.show("cifar10", "stages", [file])
    assert "the numbers are those of --edit STAGE:NUMBER=zero" in figure.get_supxlabel().replace("\n", " ")
    found = {axes.get_ylabel().split("\n")[0]: axes for axes in figure.axes if axes.get_ylabel()}
    assert list(found) == ["relu1", "relu2", "relu3", "relu4"]
    for stage, axes in found.items():
        largest = classifier.stages(file, stage)[stage][0].amax((1, 2))
        numbers = [int(label.get_text()) for label in axes.get_xticklabels()]
        assert numbers == sorted(largest.topk(12).indices.tolist())
        assert axes.xaxis.get_major_ticks()[0].label2.get_visible()


def test_the_maps_of_several_pictures_have_numbers_and_one_scale(tmp_path):
    folder = pictures_in(tmp_path / "two", "a.png", "b.png")
    figure = alexnet.show("cifar10", "stages", [folder], stage="relu3")
    pictures, strips, bar = figure.axes[0:4:2], figure.axes[1:4:2], figure.axes[4]
    assert len(pictures) == len(strips) == 2
    assert [strip.images[0].get_clim() for strip in strips] == [bar.get_ylim()] * 2
    assert len(strips[0].get_xticklabels()) == 16
    foot = figure.get_supxlabel().replace("\n", " ")
    assert "one scale of colours for all maps; the numbers are those of --edit relu3:NUMBER=zero" in foot


def test_only_errors_shows_pictures_that_are_answered_wrongly(run):
    classifier = alexnet.Classifier.load(run)
    prepared = PreparedSet.open(json.loads((run / "data.json").read_text())["path"])
    figure = alexnet.show(run, "predictions", only_errors=True, split="train")
    assert figure.get_suptitle() == "The most probable labels of pictures that it gets wrong"
    shards = prepared.split("train")
    names = [axes.get_title() for axes in figure.axes if axes.images]
    by_name = {path.rsplit("/", 1)[-1]: i for i, path in enumerate(shards.paths)}
    pixels = np.empty((len(shards), 3, 32, 32), np.uint8)
    shards.read(np.arange(len(shards)), pixels)
    answers = classifier.probabilities(torch.from_numpy(pixels)).argmax(1).numpy()
    wrong = set(np.flatnonzero(answers != shards.labels).tolist())
    assert 0 < len(names) == min(8, len(wrong))
    assert {by_name[name] for name in names} <= wrong


def test_without_errors_there_are_none_to_show(run, prepared, monkeypatch):
    classifier = alexnet.Classifier.load(run)
    seen = pictures.of_split(classifier, prepared, "val")
    answers = classifier.probabilities(seen.read(np.arange(24))[1]).argmax(1).numpy()
    assert wrong(classifier, replace(seen, labels=answers)) == []
    three = answers.copy()
    three[[2, 11, 20]] = (three[[2, 11, 20]] + 1) % 3
    assert wrong(classifier, replace(seen, labels=three)) == [2, 11, 20]
    assert len(wrong(classifier, replace(seen, labels=(answers + 1) % 3))) == 8
    monkeypatch.setattr(pictures, "of_split", lambda *_: replace(seen, labels=answers))
    with pytest.raises(InputError, match="is right about every image of the val split"):
        alexnet.show(run, "predictions", only_errors=True)


@pytest.mark.parametrize(
    ("kind", "images", "options", "sentence"),
    [
        ("kernel", (), {}, "there is no figure 'kernel' .did you mean 'kernels'"),
        ("kernels", ("a.png",), {}, "kernels does not use photographs; it takes --stage, --best"),
        ("kernels", (), {"only_errors": True}, "kernels does not use --only-errors"),
        ("curves", (), {"stage": "conv1"}, "curves does not use --stage; it takes the run alone"),
        ("curves", (), {"data": "set", "split": "val"}, "curves does not use --data or --split"),
        ("confusion", ("a.png",), {}, "confusion does not use photographs"),
        ("units", (), {"only_errors": True}, "units does not use --only-errors"),
        ("predictions", (), {"stage": "conv1"}, "predictions does not use --stage"),
        ("predictions", (), {"label": "dark"}, "predictions does not use --label"),
        ("saliency", (), {"label": "drak"}, "the classifier has no class 'drak' .did you mean 'dark'"),
        ("predictions", ("a.png",), {"only_errors": True}, "--only-errors is about a prepared set"),
        ("saliency", ("a.png",), {"split": "val"}, "--split is about a prepared set"),
        ("stages", (), {"stage": "conv9"}, "there is no stage 'conv9'"),
        ("stages", (), {"stage": "conv1", "split": "test"}, "has no split 'test'"),
        (
            "kernels",
            (),
            {"stage": "pool1"},
            "pool1 has no kernels to show; these rows have: conv1, conv2, local3, local4",
        ),
        ("units", ("nothing.png",), {}, "nothing.png: cannot be read: No such file"),
    ],
)
def test_what_is_not_used_or_not_there_is_said(run, kind, images, options, sentence):
    with pytest.raises(InputError, match=sentence):
        alexnet.show(run, kind, images, **options)


def test_the_prepared_set_is_the_runs_own_or_the_one_named(run, prepared, tmp_path):
    with pytest.raises(
        InputError, match="cifar10 is no run folder, so its prepared set is not known; name one by --data"
    ):
        alexnet.show("cifar10", "confusion")
    with pytest.raises(InputError, match="cifar10 is no run folder: only a run has a journal"):
        alexnet.show("cifar10", "curves")
    with pytest.raises(InputError, match="3 of 3 classes that the classifier does not know"):
        alexnet.show("cifar10", "confusion", data=prepared.path)
    copied = tmp_path / "copy"
    shutil.copytree(run, copied)
    recorded = json.loads((copied / "data.json").read_text())
    (copied / "data.json").write_text(json.dumps(recorded | {"fingerprint": "other"}))
    with pytest.raises(InputError, match=r"is no longer the set that .* was trained on; to take it even so"):
        alexnet.show(copied, "units")
    assert alexnet.show(copied, "units", data=prepared.path)
    (copied / "data.json").write_text(json.dumps(recorded | {"path": str(tmp_path / "gone")}))
    with pytest.raises(InputError, match="which is not there now; say where it is by --data"):
        alexnet.show(copied, "predictions")
    assert images_to_see(run, "units", (), None, "val") == 24
    assert images_to_see(run, "saliency", (), None, "val") == 0


def test_images_of_another_size_are_refused(run, tmp_path):
    (tmp_path / "p" / "dark").mkdir(parents=True)
    (tmp_path / "p" / "green").mkdir()
    for name in ("dark", "green"):
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "p" / name / "0.png")
    alexnet.prepare(tmp_path / "p", tmp_path / "set", size=48)
    with pytest.raises(InputError, match="has images of 48×48, the classifier sees 32×32"):
        alexnet.show(run, "predictions", data=tmp_path / "set", split="train")
