"""Ways to search: precision by loops, what a way measures, and the table of a small set of pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet.errors import InputError
from alexnet.features import retrieval
from alexnet.features.coder import Settings, fit
from alexnet.features.folder import Features
from alexnet.features.hamming import hamming
from alexnet.features.retrieval import Classes, Vectors, coded, exact, projected, reduced

QUICK = Settings(bits=8, hidden=16, epochs=4)


def drawn(seed, count, classes=3):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    return (random.normal(size=(count, 6)) + 3 * labels[:, None] * np.arange(6)).astype(np.float32), labels


@pytest.fixture
def setting():
    stored, labels = drawn(0, 90)
    queries, asked = drawn(1, 12)
    return Vectors(stored, queries), Classes(labels, asked)


def test_precision_by_loops(setting):
    vectors, classes = setting
    way = exact("all", vectors, classes, 5)
    shares = []
    for query, label in zip(vectors.queries, classes.queries, strict=True):
        order = np.argsort([np.sum((query.astype(float) - other) ** 2) for other in vectors.stored], kind="stable")
        shares.append(sum(classes.stored[i] == label for i in order[:5]) / 5)
    assert way.same_class.tolist() == pytest.approx(shares)
    assert way.precision == pytest.approx(sum(shares) / 12)
    assert way.standard_error == pytest.approx(np.std(shares) / 12**0.5)
    assert way.bytes == 24
    assert 0 < way.seconds < 1


def test_codes_of_each_length_and_the_floor(setting):
    vectors, classes = setting
    eight, sixteen = coded("v", vectors, classes, (8, 16), 5, QUICK)
    assert [eight.name, sixteen.name] == ["v, 8 bits", "v, 16 bits"]
    assert [eight.bytes, sixteen.bytes] == [1, 2]
    coder, _ = fit(vectors.stored, QUICK)
    found = hamming(coder.encode(vectors.queries), coder.encode(vectors.stored), 5)
    assert eight.same_class.tolist() == (classes.stored[found.indices] == classes.queries[:, None]).mean(1).tolist()
    assert [way.name for way in projected("v", vectors, classes, (8, 16), 5)] == [
        "v, 8 random projections",
        "v, 16 random projections",
    ]


def test_a_query_is_timed_alone(setting, monkeypatch):
    vectors, classes = setting
    clock, sizes = iter(range(1000)), []
    monkeypatch.setattr(retrieval.time, "perf_counter", lambda: next(clock))
    real = retrieval.Exact.nearest
    monkeypatch.setattr(
        retrieval.Exact, "nearest", lambda self, some, k: sizes.append(len(some)) or real(self, some, k)
    )
    assert exact("all", vectors, classes, 5).seconds == 1
    assert sizes == [12, *[1] * 12]


def test_pixels_are_reduced_to_means_of_the_middle():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 256, 256), np.uint8))
    small = reduced(images, 224)
    assert small.shape == (2, 3 * 32 * 32)
    assert small[1, 1024 + 32 * 3 + 5] == pytest.approx(float(images[1, 1, 37:44, 51:58].float().mean()), rel=1e-5)
    assert reduced(images[..., :32, :32], 24).shape == (2, 3 * 24 * 24)
    assert np.array_equal(reduced(images[..., :32, :32], 24)[0, :24], images[0, 0, 4, 4:28].numpy())


@pytest.fixture
def folders(tmp_path):
    random = np.random.default_rng(0)
    for split, count in (("stored", 40), ("asked", 8)):
        for number in range(count):
            place = tmp_path / split / ("light" if number % 2 else "dark") / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((random.integers(0, 100, (32, 32, 3)) + 150 * (number % 2)).astype(np.uint8)).save(place)
        alexnet.embed("cifar10", tmp_path / split, tmp_path / f"{split}-features", ["fc10"])
    return tmp_path / "stored-features", tmp_path / "asked-features"


def test_the_table(folders):
    said = []
    ways = alexnet.retrieval(*folders, bits=(8, 16), k=3, settings=QUICK, say=said.append)
    assert [way.name for way in ways] == [
        "pixels 24×24",
        "pixels, 8 bits",
        "pixels, 16 bits",
        "fc10",
        "fc10, 8 bits",
        "fc10, 16 bits",
        "fc10, 8 random projections",
        "fc10, 16 random projections",
    ]
    assert len(said) == 8
    assert ways[0].precision == ways[3].precision == 1  # light and dark are told apart by either
    assert ways[0].to_json().keys() == {"search", "precision", "standard_error", "milliseconds", "bytes"}
    bare = alexnet.retrieval(*folders, bits=(8,), k=3, settings=QUICK, pixels=False)
    assert [way.name for way in bare] == ["fc10", "fc10, 8 bits", "fc10, 8 random projections"]
    assert bare[1].same_class.tolist() == ways[4].same_class.tolist()


def test_what_makes_no_sense_is_refused_before_a_picture_is_read(folders, monkeypatch):
    monkeypatch.setattr(retrieval, "_reduced", lambda _: pytest.fail("pixels were read"))
    for options, match in (
        ({"bits": (8, 12)}, "12 bits: a code has 8 to 1024 bits"),
        ({"bits": (8, 0)}, "0 bits"),
        ({"bits": (8,), "k": 0}, "k is 0; at least one"),
    ):
        with pytest.raises(InputError, match=match):
            alexnet.retrieval(*folders, settings=QUICK, **options)


def test_pixels_of_grey_pictures_are_those_that_were_shown(tmp_path):
    """What padding fills is grey, as it was for the vectors, and not of the mean's colour."""
    random = np.random.default_rng(0)
    (tmp_path / "grey").mkdir()
    for number in range(2):
        pixels = random.integers(0, 256, (10, 30), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "grey" / f"{number}.png")
    embedded = alexnet.embed(
        "cifar10", tmp_path / "grey", tmp_path / "features", ["fc10"], greyscale_as_is=True, geometry="whole"
    )
    found = retrieval._reduced(embedded).reshape(2, 3, 24, 24)
    level = round(embedded.described["preprocessing"]["views"]["mean"][0])
    assert (found[:, :, :5] == level).all()
    assert np.array_equal(found[:, 0], found[:, 2])
    assert found[:, :, 12].std() > 10


def test_pictures_that_may_not_be_written_to_are_read_without_a_warning(folders, monkeypatch):
    def frozen(*_):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels.setflags(write=False)
        return lambda row: pixels

    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        monkeypatch.setattr(retrieval.pictures, "reader", frozen)
        assert retrieval._reduced(Features.open(folders[1])).shape == (8, 3 * 24 * 24)
    finally:
        torch.set_warn_always(before)


def test_what_cannot_be_measured_is_refused(folders, tmp_path):
    stored, asked = folders
    with pytest.raises(InputError, match="each image would find itself"):
        alexnet.retrieval(stored, stored)
    text = (asked / "images.csv").read_text()
    (asked / "images.csv").write_text(text.replace(",dark", ",night"))
    with pytest.raises(InputError, match=r"of a class 'night' that .*stored-features lacks"):
        alexnet.retrieval(stored, asked)
    (asked / "images.csv").write_text(text.replace(",dark", ","))
    with pytest.raises(InputError, match="without a class"):
        alexnet.retrieval(stored, asked)
