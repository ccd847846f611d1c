"""neighbours: queries go the way of the features, a stored picture finds itself, what has changed is told of."""

import json
import shutil
import weakref

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import alexnet
from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.classifier_file import find
from alexnet.features import index, neighbours
from alexnet.features.coder import Settings
from alexnet.features.folder import Features
from alexnet.features.nearest import nearest

STAGE = "fc10"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty pictures of two classes, one of them grey."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(60):
        pixels = random.integers(0, 100, (40, 50, 3)) + 150 * (number % 2)
        place = root / ("light" if number % 2 else "dark") / f"{number:02}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    return root


@pytest.fixture(scope="module")
def features(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("features") / "features"
    alexnet.embed("cifar10", folder, place, ["relu2", STAGE])
    return place


def test_a_stored_picture_finds_itself_and_then_those_that_loops_find(features, folder):
    (found,) = alexnet.neighbours(features, folder / "dark" / "08.png", stage=STAGE)
    stored = Features.open(features)
    own = stored.paths.index("dark/08.png")
    vectors = stored.vectors(STAGE).astype(np.float64)
    apart = [float(np.sqrt(((vectors[own] - other) ** 2).sum())) for other in vectors]
    order = sorted(range(60), key=lambda i: (apart[i], i))[:6]
    assert [path for path, _ in found.neighbours] == [stored.paths[i] for i in order]
    assert found.neighbours[0] == ("dark/08.png", 0)
    assert [distance for _, distance in found.neighbours] == pytest.approx([apart[i] for i in order], rel=1e-9)
    assert found.labels == tuple(stored.labels[i] for i in order)
    assert set(found.to_json()) == {"image", "neighbours"}
    assert found.to_json()["neighbours"][0] == {"path": "dark/08.png", "distance": 0.0}


def test_folders_arrays_and_what_cannot_be_read(features, folder, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with Image.open(folder / "light" / "01.png") as image:
        array = np.array(image)
    found = alexnet.neighbours(features, [tmp_path, array, folder / "dark"], 2, stage=STAGE)
    assert found[0].to_json() == {"image": str(tmp_path / "text.png"), "error": found[0].error}
    assert found[0].error
    assert (found[1].image, found[1].neighbours[0]) == ("image 2", ("light/01.png", 0.0))
    assert [each.neighbours[0][0] for each in found[2:]] == [f"dark/{i:02}.png" for i in range(0, 60, 2)]
    assert alexnet.neighbours(features, [tmp_path / "text.png"], stage=STAGE)[0].error


def test_a_block_of_queries_is_in_memory_at_a_time(features, folder, tmp_path, monkeypatch):
    """And of those before it the twelve pictures at most that are drawn."""
    (tmp_path / "queries").mkdir()
    for number in range(30):
        shutil.copy(folder / ("light" if number % 2 else "dark") / f"{number:02}.png", tmp_path / "queries")
    for number in (3, 4, 5, 18):
        (tmp_path / "queries" / f"{number:02}.png").write_text("no picture")
    alive, most, rows = weakref.WeakSet(), [], []

    class Pixels(np.ndarray):
        def __hash__(self):
            return id(self)

    def spied(image, shown):
        found = real(image, shown)
        if isinstance(found, np.ndarray):
            found = found.view(Pixels)
            alive.add(found)
        most.append(len(alive))
        return found

    real = neighbours._pixels
    monkeypatch.setattr(neighbours, "_pixels", spied)
    monkeypatch.setattr(neighbours, "BATCH", 2)
    drawn = neighbours.pictures.figure
    monkeypatch.setattr(neighbours.pictures, "figure", lambda some, *rest: rows.extend(some) or drawn(some, *rest))
    found = alexnet.neighbours(features, tmp_path / "queries", 1, stage=STAGE, out=tmp_path / "near.png")
    assert [each.error is not None for each in found] == [number in (3, 4, 5, 18) for number in range(30)]
    for each in found:
        assert each.error or each.neighbours[0][0][-6:] == each.image[-6:]
        assert each.error or each.neighbours[0][1] == 0
    assert max(most) <= 12 + 2 * 2
    assert [row.name[-6:-4] for row in rows] == [f"{n:02}" for n in range(15) if n not in (3, 4, 5)]
    for row in rows:
        with Image.open(tmp_path / "queries" / row.name) as query:
            assert row.pixels.mean() == pytest.approx(np.asarray(query).mean(), abs=3)


@pytest.mark.parametrize(
    "options",
    [{"geometry": "whole"}, {"geometry": "warp"}, {"edit": ["conv2:0,3=zero"]}, {"untrained": 5}, {"half": True}],
)
def test_queries_go_the_way_of_the_features(folder, tmp_path, options):
    alexnet.embed("cifar10", folder, tmp_path / "features", [STAGE], **options)
    for found in alexnet.neighbours(tmp_path / "features", [folder / "dark"], 1):
        path, distance = found.neighbours[0]
        assert found.image.endswith(path)
        assert distance <= (0.02 if "half" in options else 0)


def test_grey_pictures_stay_grey_on_their_way(tmp_path):
    for number, level in enumerate(np.random.default_rng(3).integers(0, 256, (5, 20, 30), np.uint8)):
        (tmp_path / "grey").mkdir(exist_ok=True)
        Image.fromarray(level).save(tmp_path / "grey" / f"{number}.png")
    alexnet.embed("cifar10", tmp_path / "grey", tmp_path / "features", [STAGE], greyscale_as_is=True, geometry="pad")
    for number, found in enumerate(alexnet.neighbours(tmp_path / "features", tmp_path / "grey", 2)):
        assert found.neighbours[0] == (f"{number}.png", 0)
        assert found.neighbours[1][1] > 0


def test_a_prepared_set(folder, tmp_path):
    prepared = prepare(folder, tmp_path / "prepared", size=32, encoding="raw", holdout=0.2)
    assert PreparedSet.open(prepared.path).size == 32
    alexnet.embed("cifar10", prepared.path, tmp_path / "features", [STAGE], split="train")
    stored = Features.open(tmp_path / "features")
    queries = [folder / path for path in stored.paths[:5]]
    out = tmp_path / "near.png"
    for query, found in zip(queries, alexnet.neighbours(tmp_path / "features", queries, 2, out=out), strict=True):
        assert str(query).endswith(found.neighbours[0][0])
        assert found.neighbours[0][1] == pytest.approx(0, abs=1e-4)
    with Image.open(out) as picture:
        assert picture.size[0] > 300


def test_a_picture_of_the_nearest(features, folder, tmp_path):
    queries = [folder / "dark" / "08.png", folder / "light" / "09.png"]
    for kind in ("png", "svg", "pdf"):
        out = tmp_path / f"near.{kind}"
        alexnet.neighbours(features, queries, 3, stage=STAGE, out=out)
        assert out.stat().st_size > 1000
    with pytest.raises(InputError, match="gif"):
        alexnet.neighbours(features, queries, stage=STAGE, out=tmp_path / "near.gif")


def drawn_by(monkeypatch, *given, **options):
    """The figure that is saved."""
    figures, figure = [], neighbours.pictures.figure
    with monkeypatch.context() as patched:
        patched.setattr(neighbours.pictures, "figure", lambda *some: figures.append(figure(*some)) or figures[-1])
        alexnet.neighbours(*given, **options)
    return figures[0]


def test_the_picture_has_title_foot_distances_and_the_class_that_differs(features, folder, tmp_path, monkeypatch):
    (tmp_path / "dark").mkdir()
    name = "a photograph with a name of fifty letters or so.png"
    shutil.copy(folder / "light" / "01.png", tmp_path / "dark" / name)  # so all its neighbours are of another class
    queries = [folder / "light" / "09.png", tmp_path / "dark" / name]
    figure = drawn_by(monkeypatch, features, queries, 2, stage=STAGE, out=tmp_path / "near.png")
    found = alexnet.neighbours(features, queries, 2, stage=STAGE)
    assert figure._suptitle.get_text() == f"The nearest by {STAGE}"
    foot = " ".join(figure._supxlabel.get_text().split())
    assert foot.startswith("Framed: the picture asked for. Orange: of another class than it. Euclidean distance; 60 im")
    assert str(folder) in foot.replace(" ", "")
    assert "cifar10.safetensors" in foot
    texts = [axes.get_xlabel() for axes in figure.axes]
    inks = [axes.xaxis.label.get_color() for axes in figure.axes]
    framed = [axes.spines["top"].get_visible() for axes in figure.axes]
    assert framed == [True, False, False] * 2
    first, last = texts[3].split("\n")
    assert name.startswith(first.rstrip("…"))
    assert name.endswith(last)
    for row in range(2):
        of_row = texts[3 * row + 1 : 3 * row + 3]
        near = found[row].neighbours
        assert of_row == [f"{label}\n{apart:.3f}" for label, (_, apart) in zip(found[row].labels, near, strict=True)]
    orange = neighbours.pictures.drawing.ORANGE
    assert [ink == orange for ink in inks] == [False] * 4 + [True] * 2
    figure.draw_without_rendering()
    size, renderer = figure.get_size_inches() * figure.dpi, FigureCanvasAgg(figure).get_renderer()
    for text in [figure._suptitle, figure._supxlabel, *(axes.xaxis.label for axes in figure.axes)]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= size[0]
        assert box.y0 >= 0
        assert box.y1 <= size[1]


def test_the_picture_is_what_the_network_sees_and_rows_of_arrays_have_numbers(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), np.uint8)
    np.save(tmp_path / "images of a long name.npy", images)
    alexnet.embed("cifar10", tmp_path / "images of a long name.npy", tmp_path / "file", STAGE, geometry="whole")
    figure = drawn_by(monkeypatch, tmp_path / "file", images[4], 2, out=tmp_path / "near.png")
    query, first, _ = figure.axes
    assert np.array_equal(query.images[0].get_array(), images[4])
    assert np.array_equal(first.images[0].get_array(), images[4])
    assert first.get_xlabel().endswith(".npy[4]\n0.000")
    assert "Orange" not in figure._supxlabel.get_text()


def test_a_picture_shows_where_the_images_are_now(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "before")
    alexnet.embed("cifar10", tmp_path / "before", tmp_path / "features", [STAGE])
    (tmp_path / "before").rename(tmp_path / "after")
    query, out = folder / "dark" / "08.png", tmp_path / "near.png"
    assert alexnet.neighbours(tmp_path / "features", query)[0].neighbours[0][1] == 0
    with pytest.raises(InputError, match="before, the source of the features, is not there; --source"):
        alexnet.neighbours(tmp_path / "features", query, out=out)
    alexnet.neighbours(tmp_path / "features", query, out=out, source=tmp_path / "after")
    assert out.is_file()
    (tmp_path / "after" / "dark" / "08.png").unlink()
    with pytest.raises(InputError, match=r"08.png cannot be read"):
        alexnet.neighbours(tmp_path / "features", query, out=out, source=tmp_path / "after")


def test_arrays_have_pictures_where_they_were_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 30, 30, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    alexnet.embed("cifar10", tmp_path / "images.npy", tmp_path / "file", [STAGE])
    (found,) = alexnet.neighbours(tmp_path / "file", images[4], 2, out=tmp_path / "near.png")
    assert found.neighbours[0] == ("images.npy[4]", 0)
    alexnet.embed("cifar10", images, tmp_path / "array", [STAGE])
    assert alexnet.neighbours(tmp_path / "array", [images[4]], 2)[0].neighbours[0] == ("[4]", 0)
    with pytest.raises(InputError, match="never a file"):
        alexnet.neighbours(tmp_path / "array", images[4], out=tmp_path / "near.png")
    (tmp_path / "images.npy").rename(tmp_path / "moved.npy")
    for features in ("file", "array"):
        out, source = tmp_path / f"{features}.png", tmp_path / "moved.npy"
        alexnet.neighbours(tmp_path / features, images[4], out=out, source=source)
        assert out.is_file()
        np.save(tmp_path / "other.npy", images[::-1])
        with pytest.raises(InputError, match=r"other.npy is not the array .*: its content differs"):
            alexnet.neighbours(tmp_path / features, images[4], out=out, source=tmp_path / "other.npy")


def test_a_classifier_that_moved_and_one_that_changed(folder, tmp_path):
    shutil.copy(find("cifar10"), tmp_path / "net.safetensors")
    alexnet.embed(tmp_path / "net.safetensors", folder, tmp_path / "features", [STAGE])
    (tmp_path / "net.safetensors").rename(tmp_path / "moved.safetensors")
    query = folder / "dark" / "08.png"
    with pytest.raises(InputError, match="is not there; --classifier says where"):
        alexnet.neighbours(tmp_path / "features", query)
    found = alexnet.neighbours(tmp_path / "features", query, classifier=tmp_path / "moved.safetensors")
    assert found[0].neighbours[0] == ("dark/08.png", 0)
    other = Classifier.load("cifar10", "cpu")
    other.network.initialise(1)
    other.save(tmp_path / "net.safetensors")
    with pytest.raises(InputError, match="checksum differs"):
        alexnet.neighbours(tmp_path / "features", query)


def test_codes_are_searched_by_their_bits(features, folder, tmp_path):
    made = alexnet.codes(features, tmp_path / "codes", Settings(bits=32, hidden=16, epochs=5), stage=STAGE)
    own = made.paths.index("dark/08.png")
    (found,) = alexnet.neighbours(tmp_path / "codes", folder / "dark" / "08.png", 4)
    bits = np.unpackbits(made.packed, axis=1)
    apart = (bits != bits[own]).sum(1)
    order = np.argsort(apart, kind="stable")[:4]
    assert [path for path, _ in found.neighbours] == [made.paths[i] for i in order]
    assert [distance for _, distance in found.neighbours] == apart[order].tolist()
    assert all(type(distance) is int for _, distance in found.neighbours)
    assert neighbours.pictures.told(1) == "1 bit"
    with pytest.raises(InputError, match="codes of fc10, not of relu2"):
        alexnet.neighbours(tmp_path / "codes", folder / "dark" / "08.png", stage="relu2")
    with pytest.raises(InputError, match="searched whole"):
        alexnet.neighbours(tmp_path / "codes", folder / "dark" / "08.png", method="index")


def test_what_cannot_be_searched_is_refused(features, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image to find neighbours of"):
        alexnet.neighbours(features, tmp_path / "empty", stage=STAGE)
    with pytest.raises(InputError, match="several stages; name one of relu2, fc10"):
        alexnet.neighbours(features, tmp_path / "x.png")
    with pytest.raises(InputError, match="is no folder of features"):
        alexnet.neighbours(tmp_path, tmp_path / "x.png")
    for method in ("auto", "exact", "index"):
        for count in (0, -1):
            with pytest.raises(InputError, match=f"k is {count}; at least one neighbour"):
                alexnet.neighbours(features, tmp_path / "x.png", count, stage=STAGE, method=method)


def test_beyond_a_million_an_index_whose_distances_are_exact(features, folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("faiss")
    shutil.copytree(features, tmp_path / "features")
    monkeypatch.setattr(index, "MOST", 50)
    queries = [folder / "dark" / "08.png", folder / "light" / "09.png"]
    found = alexnet.neighbours(tmp_path / "features", queries, 3, stage=STAGE)
    told = capsys.readouterr().err
    assert "making an index of 60 vectors" in told
    assert "of the 6 nearest of 60 of its own vectors" in told
    exact = alexnet.neighbours(tmp_path / "features", queries, 3, stage=STAGE, method="exact")
    assert "index" not in capsys.readouterr().err
    assert found == exact  # one list, all of it looked through, and sixty candidates
    alexnet.neighbours(tmp_path / "features", queries, 3, stage=STAGE)
    assert "making" not in capsys.readouterr().err
    vectors = np.load(tmp_path / "features" / f"{STAGE}.npy")
    np.save(tmp_path / "features" / f"{STAGE}.npy", vectors[::-1])
    alexnet.neighbours(tmp_path / "features", queries, 3, stage=STAGE)
    assert "making" in capsys.readouterr().err
    note = json.loads((tmp_path / "features" / f"{STAGE}.faiss.json").read_text())
    assert note["recall"]["found"] > 0.9


def test_recall_of_a_coarse_index_is_below_one_and_what_it_names_has_exact_distances(tmp_path, capsys):
    pytest.importorskip("faiss")
    random = np.random.default_rng(0)
    stored = random.normal(size=(6000, 300)).astype(np.float32)
    queries = random.normal(size=(5, 300)).astype(np.float32)
    found = index.Index.open(tmp_path / "stage.faiss", stored).nearest(queries, 4)
    recall = json.loads((tmp_path / "stage.faiss.json").read_text())["recall"]
    assert 0.05 < recall["found"] < 1
    assert f"finds {recall['found']:.1%} of the 6 nearest of 100" in capsys.readouterr().err
    for query, places, distances in zip(queries, found.indices, found.distances, strict=True):
        exact = np.sqrt(((stored[places].astype(np.float64) - query) ** 2).sum(1))
        np.testing.assert_allclose(distances, exact, rtol=1e-12)
        assert (np.diff(distances) >= 0).all()


def test_an_index_is_opened_once_and_searched_often(tmp_path, capsys, monkeypatch):
    pytest.importorskip("faiss")
    stored = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    opened = index.Index.open(tmp_path / "stage.faiss", stored)
    assert capsys.readouterr().err.count("searched by index") == 1
    monkeypatch.setattr(index.files, "read_json", lambda path: pytest.fail("read again"))
    for some in (stored[:3], stored[7:8]):
        found, exact = opened.nearest(some, 3), nearest(some, stored, 3)
        assert found.indices.tolist() == exact.indices.tolist()
        assert found.distances.tolist() == exact.distances.tolist()
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match="need one length"):
        opened.nearest(stored[:2, :4], 4)
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match="a value that is not finite; only finite ones have neighbours"):
            opened.nearest(np.full((1, 5), value, np.float32), 4)


@pytest.mark.parametrize("name", ["stage.faiss", "stage.faiss.json"])
def test_a_damaged_index_counts_as_none(tmp_path, capsys, name):
    pytest.importorskip("faiss")
    stored = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    path, file = tmp_path / "stage.faiss", tmp_path / name
    exact = nearest(stored[:4], stored, 3)
    index.Index.open(path, stored)
    whole = file.read_bytes()
    for damaged in (whole[:-200], whole[:7], b"", b'{"vectors": 1}', b"[]"):
        file.write_bytes(damaged)
        capsys.readouterr()
        found = index.Index.open(path, stored).nearest(stored[:4], 3)
        assert "making an index of 300 vectors" in capsys.readouterr().err
        assert found.indices.tolist() == exact.indices.tolist()
    note = json.loads((tmp_path / "stage.faiss.json").read_text())
    note["recall"]["found"] = "many"
    (tmp_path / "stage.faiss.json").write_text(json.dumps(note))
    index.Index.open(path, stored)
    assert "making an index" in capsys.readouterr().err


def test_without_faiss_all_are_compared_and_it_is_said(features, folder, monkeypatch, capsys):
    monkeypatch.setattr(index, "MOST", 50)
    monkeypatch.setattr(index.importlib.util, "find_spec", lambda name: None)
    alexnet.neighbours(features, folder / "dark" / "08.png", stage=STAGE)
    assert "pip install 'alexnet[search]'" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(InputError, match="an index needs faiss"):
        alexnet.neighbours(features, folder / "dark" / "08.png", stage=STAGE, method="index")
