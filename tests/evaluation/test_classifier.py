"""A classifier's file, its way from any picture to an answer, and what it says of bad ones."""

import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from alexnet.data.decoding import encode
from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.errors import InputError
from alexnet.evaluation import classifier_file
from alexnet.evaluation.classifier import Classifier, find
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Network


def photograph(seed=0, height=70, width=90):
    low = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC))


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def saved(make_classifier, tmp_path):
    classifier = make_classifier()
    classifier.temperature, classifier.commit = 1.5, "abc"
    classifier.recipe, classifier.lineage = {"name": "cifar10-11", "seeds": {"data": 1}}, [{"name": "first"}]
    classifier.save(tmp_path / "c.safetensors")
    return classifier, tmp_path / "c.safetensors"


def test_a_file_holds_everything(saved):
    classifier, path = saved
    loaded = Classifier.load(path, "cpu")
    for name in ("views", "classes", "squaring", "size", "temperature", "recipe", "commit"):
        assert getattr(loaded, name) == getattr(classifier, name), name
    assert list(loaded.lineage) == list(classifier.lineage)
    assert loaded.network.config == classifier.network.config
    assert not loaded.network.training
    for name, value in classifier.network.whole().items():
        assert torch.equal(loaded.network.whole()[name], value)
    assert torch.equal(loaded.statistics.mean, classifier.statistics.mean)
    assert torch.equal(loaded.statistics.covariance, classifier.statistics.covariance)
    image = photograph()
    assert loaded.predict([image]) == classifier.predict([image])


def test_the_same_content_gives_the_same_bytes(saved, make_classifier, tmp_path):
    classifier, path = saved
    for number in range(3):
        Classifier.load(path, "cpu").save(tmp_path / f"{number}")
        assert (tmp_path / f"{number}").read_bytes() == path.read_bytes()
    classifier.network.to(memory_format=torch.channels_last)
    classifier.save(tmp_path / "strided")
    assert (tmp_path / "strided").read_bytes() == path.read_bytes()
    make_classifier(seed=3).save(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() != path.read_bytes()


def test_its_metadata_is_one_object_with_sorted_keys_and_no_place(saved):
    with safe_open(saved[1], "pt") as file:
        metadata = file.metadata()
    assert list(metadata) == ["alexnet"]
    described = json.loads(metadata["alexnet"])
    assert json.dumps(described, sort_keys=True, separators=(",", ":")) == metadata["alexnet"]
    assert str(saved[1].parent) not in metadata["alexnet"]
    assert described["format"] == 1


def test_how_pictures_become_squares_stands_flat_in_the_file(make_classifier, tmp_path):
    classifier = make_classifier()
    classifier.squaring = Squaring(32, "warp", "opencv-linear", orientation=False)
    classifier.save(tmp_path / "c")
    with safe_open(tmp_path / "c", "pt") as file:
        described = json.loads(file.metadata()["alexnet"])
    flat = {"size": 32, "geometry": "warp", "filter": "opencv-linear", "orientation": False}
    assert described.items() >= flat.items()
    assert "squaring" not in described
    assert Classifier.load(tmp_path / "c", "cpu").squaring == classifier.squaring


def test_a_file_from_before_filters_averages_areas_and_nothing_is_said(saved, capsys):
    with safe_open(saved[1], "pt") as file:
        described = json.loads(file.metadata()["alexnet"])
    assert described.pop("filter") == "area"
    old = saved[1].with_name("old")
    save_file(load_file(saved[1]), old, {"alexnet": json.dumps(described)})
    loaded = Classifier.load(old, "cpu")
    assert loaded.squaring == Squaring(32, filter="area")
    assert capsys.readouterr().err == ""
    assert loaded.predict([photograph()]) == saved[0].predict([photograph()])
    loaded.save(saved[1].with_name("new"))
    assert saved[1].with_name("new").read_bytes() == saved[1].read_bytes()


def test_half_is_half_as_large_and_computes_in_float32(saved, tmp_path):
    classifier, _ = saved
    classifier.save(tmp_path / "half", half=True)
    loaded = Classifier.load(tmp_path / "half", "cpu")
    assert load_file(tmp_path / "half")["conv1.weight"].dtype == torch.float16
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    assert loaded.statistics.mean.dtype == torch.float32
    images = loaded.pixels([photograph()])
    torch.testing.assert_close(loaded.probabilities(images), classifier.probabilities(images), atol=2e-2, rtol=0)


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_truncated_file_is_named(saved, kept):
    data = saved[1].read_bytes()
    saved[1].write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(InputError, match=r"c\.safetensors is no classifier file, or a damaged one"):
        Classifier.load(saved[1], "cpu")


def changed(path, **values):
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["alexnet"])
    save_file(load_file(path), path, {"alexnet": json.dumps(described | values)})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"format": 2}, "format 2; this alexnet reads up to 1: upgrade"),
        ({"format": None}, "format None"),
        ({"colours": 1}, "unknown field 'colours'"),
        ({"geometry": "cut"}, r"geometry is 'cut'; it can be 'crop'"),
        ({"filter": "lanczos"}, r"filter is 'lanczos'; it can be 'area', 'pillow-bilinear', 'opencv-linear'"),
        ({"classes": [{"name": "a", "words": ""}]}, "names 1 class for 7 outputs"),
        ({"size": 64}, r"tensor 'mean' is \[3, 32, 32\]; \[3, 64, 64\] was expected"),
        ({"temperature": 0.0}, "temperature 0.0; it must be above 0"),
        ({"temperature": float("inf")}, "temperature inf; it must be above 0 and finite"),
    ],
)
def test_a_wrong_description_is_named(saved, values, sentence):
    changed(saved[1], **values)
    with pytest.raises(InputError, match=sentence) as error:
        Classifier.load(saved[1], "cpu")
    assert str(saved[1]) in str(error.value)


def test_wrong_tensors_are_named(saved):
    path = saved[1]
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for wrong, sentence in (
        (tensors | {"fc10.bias": torch.zeros(3)}, r"'fc10.bias' is \[3\]; \[7\] was expected"),
        (tensors | {"more": torch.zeros(3)}, "'more' is .*no such tensor was expected"),
        ({n: v for n, v in tensors.items() if n != "conv2.weight"}, "'conv2.weight' is missing"),
    ):
        save_file(wrong, path, metadata)
        with pytest.raises(InputError, match=sentence) as error:
            Classifier.load(path, "cpu")
        assert str(path) in str(error.value)
    save_file(tensors, path)
    with pytest.raises(InputError, match="without a classifier's description"):
        Classifier.load(path, "cpu")


def test_a_field_that_an_older_file_lacks_is_said_aloud(saved, capsys):
    with safe_open(saved[1], "pt") as file:
        described = json.loads(file.metadata()["alexnet"])
    del described["views"]["colour_scale"]
    save_file(load_file(saved[1]), saved[1], {"alexnet": json.dumps(described)})
    assert Classifier.load(saved[1], "cpu").views.colour_scale == 0.1
    assert "does not say" in capsys.readouterr().err


def test_where_a_classifier_is_found(saved, tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(InputError, match=r"holds no weights\.safetensors"):
        find(run)
    for name in ("weights", "best"):
        (run / f"{name}.safetensors").write_bytes(saved[1].read_bytes())
    assert (find(run).name, find(run, best=True).name) == ("weights.safetensors", "best.safetensors")
    monkeypatch.setattr(classifier_file, "shipped", list)
    with pytest.raises(InputError, match=r"nosuch is neither a run folder nor a classifier file\.$"):
        Classifier.load("nosuch")
    with pytest.raises(InputError, match=rf"classifier file \(did you mean '{re.escape(str(run))}'\?\)\.$"):
        find(tmp_path / "rnu")
    monkeypatch.setattr(classifier_file, "shipped", lambda: ["solar"])
    with pytest.raises(InputError, match=r"nor one that comes with the package \(solar\)"):
        Classifier.load("nosuch")


@pytest.mark.parametrize(
    "way", [Squaring(32), Squaring(32, "crop", "pillow-bilinear"), Squaring(32, "warp", "opencv-linear")]
)
def test_every_kind_of_picture_takes_the_same_way(make_classifier, tmp_path, way):
    classifier, pixels = make_classifier(), photograph()
    classifier.squaring = way
    (tmp_path / "a.png").write_bytes(png(pixels))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    kinds = [str(tmp_path / "a.png"), tmp_path / "a.png", png(pixels), Image.fromarray(pixels), pixels, tensor]
    answers = classifier.predict(kinds, top=3)
    assert all(answer == answers[0] for answer in answers)
    assert [len(answer) for answer in answers] == [3] * 6
    # As a prepared set would store it.
    stored = torch.from_numpy(way.of_file(png(pixels)).copy()).permute(2, 0, 1)[None]
    assert torch.equal(classifier.pixels(kinds[0]), stored)
    probabilities = classifier.probabilities(stored)[0]
    assert probabilities.sum().item() == pytest.approx(1)
    best = probabilities.topk(3)
    for (label, probability), index, value in zip(answers[0], best.indices.tolist(), best.values.tolist(), strict=True):
        assert label == classifier.classes[index].words
        assert probability == pytest.approx(value, abs=1e-6)


def test_a_photograph_is_turned_unless_the_set_was_not(make_classifier):
    """The training pictures' policy goes on in the classifier."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 3
    Image.fromarray(photograph(height=64, width=64)).save(buffer, "jpeg", quality=95, exif=exif)
    classifier = make_classifier()
    turned = classifier.pixels(buffer.getvalue())
    classifier.squaring = Squaring(32, orientation=False)
    assert (classifier.pixels(buffer.getvalue()).flip(2, 3).int() - turned.int()).abs().max() <= 1
    assert not torch.equal(classifier.pixels(buffer.getvalue()), turned)


def test_an_image_that_pillow_opened_is_turned_and_coloured_as_its_file(make_classifier, tmp_path):
    classifier, exif = make_classifier(), Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "clear.png"
    clear = np.dstack([photograph(), np.full((70, 90), 100, np.uint8)])
    Image.fromarray(clear).save(path, exif=exif)
    stored = classifier.pixels(path)
    with Image.open(path) as twice:
        # Not loaded yet, and met by two threads at once.
        assert torch.equal(classifier.pixels([twice, twice]), stored.repeat(2, 1, 1, 1))
        assert classifier.predict([twice, twice]) == classifier.predict([path, path])
    image = Image.open(path)
    image.load()
    assert classifier.predict(image) == classifier.predict(path)
    assert torch.equal(classifier.probabilities(image), classifier.probabilities(stored))
    assert torch.equal(classifier.stages(image)["conv1"], classifier.stages(path)["conv1"])
    classifier.squaring = Squaring(32, orientation=False)
    assert not torch.equal(classifier.pixels(image), stored)
    with pytest.raises(InputError, match="image 1: pixels of mode F"):
        classifier.predict(Image.new("F", (40, 40)))


def test_probabilities_of_any_image(make_classifier):
    classifier, pixels = make_classifier(), photograph()
    expected = classifier.probabilities(classifier.pixels(pixels))
    assert torch.equal(classifier.probabilities(pixels), expected)
    torch.testing.assert_close(classifier.probabilities([png(pixels), pixels]), expected.repeat(2, 1))
    with pytest.raises(InputError, match="image 1: pixels of shape"):
        classifier.probabilities(pixels[..., 0][None])


def test_one_image_or_a_batch_in_one_array(make_classifier):
    classifier, pixels = make_classifier(), photograph(height=32, width=32)
    alone = classifier.predict(pixels, top=20)
    assert (len(alone), len(alone[0])) == (1, 7)
    tensor = torch.from_numpy(np.stack([pixels, pixels[::-1]])).permute(0, 3, 1, 2)
    assert len(classifier.predict(tensor)) == 2
    assert classifier.predict([]) == []


def test_a_bad_image_does_not_stop_the_others(make_classifier, tmp_path):
    classifier, good = make_classifier(), photograph()
    jpeg = encode(photograph(height=200, width=200))
    bad = [tmp_path / "missing.jpg", jpeg[: len(jpeg) // 2], b"", b"text", good.astype(np.float32), good[:0], tmp_path]
    images = [good, *bad, torch.zeros(4, 8, 8, dtype=torch.uint8), good]
    found = list(classifier.predictions(images, top=1))
    assert [p.error is None for p in found] == [True, *[False] * 8, True]
    assert found[0].answers == found[-1].answers
    assert found[1].to_json() == {
        "image": str(tmp_path / "missing.jpg"),
        "error": "cannot be read: No such file or directory",
    }
    assert [p.image for p in found[2:4]] == ["image 3", "image 4"]
    assert found[0].to_json()["predictions"][0]["label"] == found[0].answers[0][0]
    with pytest.raises(InputError, match=r"missing\.jpg: cannot be read"):
        classifier.predict(images)
    with pytest.raises(InputError, match="image 2: "):
        classifier.pixels([good, b"text"])


def test_predictions_are_ready_before_the_last_image_is_read(make_classifier):
    classifier, drawn = make_classifier(), []

    def endless():
        while True:
            drawn.append(1)
            yield photograph()

    answers = classifier.predictions(endless())
    assert next(answers).error is None
    assert len(drawn) < 200


def test_equal_words_are_told_apart_by_name(make_classifier):
    classifier = make_classifier("abc")
    classifier.classes = (ClassName("n1", "crane"), ClassName("n2", "crane"), ClassName("n3", ""))
    assert classifier.labels == ["crane (n1)", "crane (n2)", "n3"]


def test_a_certain_network_has_a_finite_loss(make_classifier):
    classifier = make_classifier()
    classifier.network.load_whole({n: v * 3 for n, v in classifier.network.whole().items()})
    images = classifier.pixels([photograph(seed) for seed in range(4)])
    for views in ("centre", "ten"):
        logs = classifier.log_probabilities(images, views)
        assert logs.min() < -200
        assert torch.isfinite(logs).all()


def test_stages_are_the_networks_and_can_be_edited(make_classifier):
    classifier, image = make_classifier(), photograph()
    stages = classifier.stages(image)
    assert list(stages) == [row.name for row in classifier.network.rows]
    logs = stages["fc10"].log_softmax(1)
    torch.testing.assert_close(logs, classifier.log_probabilities(classifier.pixels(image)))
    lesioned = classifier.stages(image, only=["fc10"], edit={"conv1": torch.zeros_like})
    assert list(lesioned) == ["fc10"]
    assert not torch.equal(lesioned["fc10"], stages["fc10"])
    assert list(classifier.stages(image, only="relu2")) == ["relu2"]
    with pytest.raises(InputError, match=r"there is no stage 'relu9' \(did you mean"):
        classifier.stages(image, only="relu9")


def test_views_that_there_are_not(make_classifier):
    for views in ("center", 10):
        with pytest.raises(InputError, match=f"there are no views {views!r}.*; there are centre, ten, nine"):
            make_classifier().predict(photograph(), views=views)


def test_a_network_placed_on_two_devices_is_the_same_classifier(tmp_path):
    network = Network(AlexNetConfig(classes=3, width=0.03))
    network.initialise(0)
    statistics = Statistics(torch.full((3, 256, 256), 120.0), torch.eye(3, dtype=torch.float64))
    classifier = Classifier(network, Views(divisor=60.0), statistics, tuple(ClassName(c, c) for c in "abc"))
    images = classifier.pixels([photograph(seed) for seed in range(3)])
    whole = classifier.probabilities(images, "ten")
    classifier.save(tmp_path / "whole")
    network.place(["cpu", "cpu"]).train()
    torch.testing.assert_close(classifier.probabilities(images, "ten"), whole)
    assert network.training
    classifier.save(tmp_path / "placed")
    assert (tmp_path / "placed").read_bytes() == (tmp_path / "whole").read_bytes()
