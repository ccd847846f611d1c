"""similarity: the pairs are those of the formulas, the images must be the same, files are what they say."""

import csv
import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import alexnet
from alexnet.errors import InputError
from alexnet.features import similarity, similarity_figures, similarity_sets
from alexnet.features.folder import Features
from alexnet.features.similarity_measures import cka, debiased_cka, dissimilarities, rank_correlation
from alexnet.machine import Memory

IMAGES = 9


def write(folder, stages, paths=None, fingerprint="one", kind="folder"):
    """A folder of features as `embed` writes it, of responses that are drawn."""
    folder.mkdir(parents=True)
    paths = [f"{i}.png" for i in range(IMAGES)] if paths is None else paths
    for name, responses in stages.items():
        np.save(folder / f"{name}.npy", responses)
    (folder / "images.csv").write_text("row,path,label\n" + "".join(f"{i},{p},\n" for i, p in enumerate(paths)))
    described = {
        **{"format": 1, "type": "float32", "images": len(paths)},
        "source": {"kind": kind, "path": str(folder), "fingerprint": fingerprint},
        "stages": [{"name": name, "shape": list(each.shape[1:])} for name, each in stages.items()],
    }
    (folder / "features.json").write_text(json.dumps(described))
    return folder


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=(IMAGES, *shape)).astype(np.float32)


@pytest.fixture
def one(tmp_path):
    return write(tmp_path / "one", {"conv1": drawn(0, 2, 3, 3), "relu7": drawn(1, 8)})


def test_the_pairs_are_those_of_the_formulas(one, tmp_path):
    two = write(tmp_path / "two", {"relu7": drawn(2, 5)})
    measured = drawn(3, 30)
    np.save(tmp_path / "voxels.npy", measured)
    np.save(tmp_path / "judged.npy", dissimilarities(drawn(4, 6)))
    found = alexnet.similarity([one, two], measured=[tmp_path / "voxels.npy", tmp_path / "judged.npy"])
    assert found.names == ("one conv1", "one relu7", "two relu7", "measured voxels", "measured judged")
    assert found.images == IMAGES
    responses = [drawn(0, 18), drawn(1, 8), drawn(2, 5), measured]
    matrices = [*map(dissimilarities, responses), np.load(tmp_path / "judged.npy")]
    responses[0] = drawn(0, 2, 3, 3)
    matrices[0] = dissimilarities(responses[0])
    for i in range(5):
        for j in range(5):
            assert found.rank_correlations[i, j] == pytest.approx(rank_correlation(matrices[i], matrices[j]), abs=1e-5)
            if max(i, j) < 4:
                assert found.cka[i, j] == pytest.approx(cka(responses[i], responses[j]), abs=1e-5)
                expected = 1 if i == j else debiased_cka(responses[i], responses[j])
                assert found.debiased_cka[i, j] == pytest.approx(expected, abs=1e-4, nan_ok=True)
            else:
                assert np.isnan(found.cka[i, j])
    pairs = found.to_json()["pairs"]
    assert found.to_json()["measured"] == {
        "measured voxels": "responses",
        "measured judged": "dissimilarities",
    }
    assert len(pairs) == 10
    assert pairs[3] == {
        **{"one": "one conv1", "other": "measured judged", "cka": None, "debiased_cka": None},
        "rank_correlation": found.rank_correlations[0, 4],
    }


def test_only_the_stages_asked_for_and_names_that_differ(one, tmp_path):
    again = write(tmp_path / "deep" / "one", {"relu7": drawn(2, 5)})
    assert alexnet.similarity([one, again], stages=["relu7"]).names == ("one-1 relu7", "one-2 relu7")
    assert alexnet.similarity([one]).names == alexnet.similarity(str(one)).names == ("conv1", "relu7")
    assert alexnet.similarity(one, stages="relu7", measured=one / "conv1.npy").names == ("relu7", "measured conv1")
    assert alexnet.similarity([one, again], stages=["relu7", "conv1"]).names == (
        "one-1 relu7",
        "one-1 conv1",
        "one-2 relu7",
    )
    assert alexnet.similarity([one, again], stages=["relu7", "conv1"]).absent == (f"{again} has no stage conv1",)
    assert alexnet.similarity([one, again], stages="relu7").absent == ()
    with pytest.raises(InputError, match="one has no stage 'conv1'; it has relu7"):
        alexnet.similarity([one, again], stages=["conv1"])
    with pytest.raises(InputError, match="one has no stage 'conv1' or 'norm1'; it has relu7"):
        alexnet.similarity([one, again], stages=["conv1", "norm1"])
    with pytest.raises(InputError, match="there is no stage 'relu17' in any of them"):
        alexnet.similarity([one, again], stages=["relu7", "relu17"])


def test_files(one, tmp_path):
    found = alexnet.similarity([one], out=tmp_path / "out")
    assert np.array_equal(np.load(tmp_path / "out" / "cka.npy"), found.cka)
    assert np.array_equal(np.load(tmp_path / "out" / "debiased-cka.npy"), found.debiased_cka, equal_nan=True)
    assert np.array_equal(np.load(tmp_path / "out" / "rank-correlations.npy"), found.rank_correlations)
    matrix = np.load(tmp_path / "out" / "dissimilarities" / "relu7.npy")
    assert np.array_equal(matrix, dissimilarities(drawn(1, 8)))
    with (tmp_path / "out" / "similarity.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["one"], row["other"], float(row["cka"])) == ("conv1", "relu7", found.cka[0, 1])
    assert (tmp_path / "out" / "similarity.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_images_in_the_same_order(one, tmp_path):
    other = [f"{i}.png" for i in (0, 1, 3, 2, 4, 5, 6, 7, 8)]
    mixed = write(tmp_path / "mixed", {"relu7": drawn(2, 5)}, other, "another")
    with pytest.raises(InputError, match=r"in row 2 .*one has 2.png and .*mixed has 3.png"):
        alexnet.similarity([one, mixed])
    np.save(tmp_path / "short.npy", drawn(3, 4)[:5])
    short = write(tmp_path / "short", {"relu7": drawn(2, 5)[:5]}, [f"{i}.png" for i in range(5)], "another")
    with pytest.raises(InputError, match=r"in row 5 .*one has 5.png and .*short has nothing"):
        alexnet.similarity([one, short])
    with pytest.raises(InputError, match="measured short has 5 rows, one has 9"):
        alexnet.similarity([one], measured=[tmp_path / "short.npy"])
    longer = write(
        tmp_path / "longer", {"relu7": np.ones((10, 5), np.float32)}, [f"{i}.png" for i in range(10)], "another"
    )
    with pytest.raises(InputError, match=r"in row 9 .*one has nothing and .*longer has 9.png"):
        alexnet.similarity([one, longer])


def test_names_tell_images_only_between_a_folder_and_a_prepared_set(one, tmp_path):
    responses = {"relu7": drawn(2, 5)}
    with pytest.raises(InputError, match=r"one and .*others have the same names, and other content"):
        alexnet.similarity([one, write(tmp_path / "others", responses, fingerprint="another")])
    prepared = write(tmp_path / "prepared", responses, fingerprint="another", kind="prepared")
    assert alexnet.similarity([one, prepared]).images == IMAGES
    another = write(tmp_path / "again", responses, fingerprint="third", kind="prepared")
    with pytest.raises(InputError, match=r"prepared and .*again have the same names, and other content"):
        alexnet.similarity([one, prepared, another])


def test_arrays_are_told_apart_by_content_and_not_by_name(tmp_path):
    def array(name, numbers, fingerprint):
        paths = [f"{name}[{i}]" for i in numbers]
        return write(tmp_path / name, {"relu7": drawn(2, 5)}, paths, fingerprint, "array")

    first = array("a.npy", range(IMAGES), "one")
    assert alexnet.similarity([first, array("b [2].npy", range(IMAGES), "one")]).images == IMAGES
    with pytest.raises(InputError, match="the same names, and other content"):
        alexnet.similarity([first, array("c.npy", range(IMAGES), "another")])
    with pytest.raises(InputError, match=r"in row 4 .* has a.npy\[4\] and .* has d.npy\[5\]"):
        alexnet.similarity([first, array("d.npy", [0, 1, 2, 3, 5, 6, 7, 8, 9], "one")])  # another was refused


def test_runs_are_shown_the_source_and_leave_nothing_behind(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    np.save(tmp_path / "stimuli.npy", images)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(similarity_sets.tempfile, "tempdir", str(tmp_path / "temporary"))
    alexnet.embed("cifar10", tmp_path / "stimuli.npy", tmp_path / "features", ["relu2", "fc10"])
    source = tmp_path / "stimuli.npy"
    found = alexnet.similarity([tmp_path / "features", "cifar10"], source=source, stages=["fc10"])
    assert found.names == ("features fc10", "cifar10 fc10")
    assert found.cka[0, 1] == pytest.approx(1)
    assert found.rank_correlations[0, 1] == pytest.approx(1)
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(InputError, match="a run wants --source"):
        alexnet.similarity(["cifar10"])


def test_measured_alone_and_too_few(one, tmp_path):
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", drawn(number, 6))
    assert alexnet.similarity([], measured=[tmp_path / "0.npy", tmp_path / "1.npy"]).names == (
        "measured 0",
        "measured 1",
    )
    with pytest.raises(InputError, match="two are needed"):
        alexnet.similarity([one], stages=["relu7"])
    with pytest.raises(InputError, match="there are no responses to compare"):
        alexnet.similarity([])


def test_what_can_be_known_is_asked_before_anything_is_embedded(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    np.save(tmp_path / "stimuli.npy", images)
    np.save(tmp_path / "others.npy", images[::-1])
    np.save(tmp_path / "eight.npy", np.random.default_rng(0).normal(size=(8, 5)))
    alexnet.embed("cifar10", tmp_path / "others.npy", tmp_path / "others", "fc10")
    monkeypatch.setattr(similarity_sets, "passing", lambda *_: pytest.fail("embedded"))
    source = tmp_path / "stimuli.npy"
    for given, options, match in (
        (["cifar10"], {"stages": "fc10"}, "two are needed to compare"),
        (["cifar10"], {"stages": "relu7"}, r"cifar10 has no stage 'relu7'.*; it has conv1, relu1"),
        (["cifar10"], {"stages": ["fc10", "relu4x"]}, "no stage 'relu4x' in any"),
        (["cifar10", "nowhere"], {}, "nowhere is neither a run folder"),
        (["cifar10"], {"measured": [tmp_path / "eight.npy"]}, "measured eight has 8 rows, cifar10 is shown 7 images"),
        ([tmp_path / "others", "cifar10"], {}, "the images differ: .*others and cifar10 are of two sources"),
        (["cifar10", "cifar10"], {"source": tmp_path / "none"}, "none does not exist; SOURCE is"),
    ):
        with pytest.raises(InputError, match=match):
            alexnet.similarity(given, **{"source": source, **options})
    monkeypatch.setattr(similarity.machine, "memory", lambda: Memory(1 << 40, similarity.memory(6, 2)))
    with pytest.raises(InputError, match="embed at most 6 images"):
        alexnet.similarity(["cifar10", "cifar10"], source=source)


def test_networks_of_other_stages_are_compared_and_no_temporary_folder_is_told(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    np.save(tmp_path / "stimuli.npy", images)
    found = alexnet.similarity(["cifar10"], source=tmp_path / "stimuli.npy", stages=["conv1", "fc10"])
    assert found.names == ("conv1", "fc10")
    assert capsys.readouterr().err == "cifar10: conv1, fc10 of 7 images.\n"
    other = write(tmp_path / "other", {"relu7": drawn(0, 5)[:7]}, [f"stimuli.npy[{i}]" for i in range(7)], kind="array")
    described = json.loads((other / "features.json").read_text())
    described["source"]["fingerprint"] = alexnet.files.checksum(tmp_path / "stimuli.npy")
    (other / "features.json").write_text(json.dumps(described))
    found = alexnet.similarity([other, "cifar10"], source=tmp_path / "stimuli.npy", stages=["relu7", "fc10"])
    assert found.names == ("other relu7", "cifar10 fc10")


@pytest.mark.parametrize("count", [2, 6, 10, 20])
def test_titles_and_foot_are_within_the_figure(tmp_path, count):
    many = write(tmp_path / "many", {f"stage{i}": drawn(i, 6) for i in range(count)})
    found = alexnet.similarity([many])
    for figure in (found.figure(), similarity_figures.dissimilarities(found.names, [np.eye(9)] * count, "from there")):
        figure.draw_without_rendering()
        size, renderer = figure.get_size_inches() * figure.dpi, FigureCanvasAgg(figure).get_renderer()
        titles = [text for axes in figure.axes for text in (axes.title, axes._left_title)]
        boxes = [text.get_window_extent(renderer) for text in (figure._suptitle, figure._supxlabel, *titles)]
        for box in boxes:
            assert box.x0 >= 0
            assert box.x1 <= size[0]
            assert box.y0 >= 0
            assert box.y1 <= size[1]
        assert max(box.y1 for box in boxes[2:]) < boxes[0].y0


def test_the_foot_says_what_the_numbers_are_of(one, tmp_path):
    described = json.loads((one / "features.json").read_text())
    described |= {"classifier": {"path": "/runs/ten.safetensors"}, "untrained": 3, "edit": ["tower2=zero"]}
    (one / "features.json").write_text(json.dumps(described))
    foot = alexnet.similarity([one]).figure()._supxlabel.get_text()
    said = f"9 images of {one}, the same for all; /runs/ten.safetensors, untrained (seed 3), tower2=zero."
    assert "".join(foot.split()) == "".join(said.split())


def test_dissimilarities_of_few_sets_are_drawn_in_means(one, tmp_path):
    alexnet.similarity([one], out=tmp_path / "few")
    assert (tmp_path / "few" / "dissimilarities.png").is_file()
    many = write(tmp_path / "many", {f"stage{i}": drawn(i, 6) for i in range(9)})
    alexnet.similarity([many], out=tmp_path / "out")
    assert not (tmp_path / "out" / "dissimilarities.png").exists()
    matrix = np.random.default_rng(0).normal(size=(601, 601))
    small = similarity_figures.smaller(matrix)  # by threes, the last alone
    assert small.shape == (201, 201)
    assert small[4, 200] == pytest.approx(matrix[12:15, 600:].mean(), abs=1e-6)
    assert np.array_equal(similarity_figures.smaller(matrix[:9, :9]), matrix[:9, :9].astype(np.float32))


def test_memory_is_asked_about_before(one, monkeypatch):
    monkeypatch.setattr(similarity.machine, "memory", lambda: Memory(1 << 40, similarity.memory(8, 2)))
    with pytest.raises(InputError, match="embed at most 8 images"):
        alexnet.similarity([one])
    monkeypatch.setattr(similarity.machine, "memory", lambda: None)
    alexnet.similarity([one])


def test_what_is_no_array_of_responses_is_refused(one, tmp_path):
    file = tmp_path / "x.npy"
    np.save(file, drawn(0, 4))
    header = file.read_bytes()[:128]
    broken = [header.replace(b"'<f4'", b"'<f4 "), header.replace(b"(9, 4)", b"(9, 4,")]
    assert header not in broken
    for content in (b"no array", b"", header, *broken):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"x.npy is no .npy file"):
            alexnet.similarity([one], measured=[file])
    with pytest.raises(InputError, match=r"nowhere.npy cannot be read: No such file"):
        alexnet.similarity([one], measured=[tmp_path / "nowhere.npy"])
    np.savez(tmp_path / "x.npz", drawn(0, 4))
    with pytest.raises(InputError, match=r"x.npz is an .npz archive"):
        alexnet.similarity([one], measured=[tmp_path / "x.npz"])
    np.save(file, np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"x.npy is no .npy file"):
        alexnet.similarity([one], measured=[file])
    for array in (np.zeros(IMAGES), np.full((IMAGES, 2), "text")):
        np.save(file, array)
        with pytest.raises(InputError, match="an array of numbers, a row an image"):
            alexnet.similarity([one], measured=[file])
    np.save(file, np.ones((IMAGES, 4)))
    with pytest.raises(InputError, match="x: image 0 has the same response in every unit"):
        alexnet.similarity([one], measured=[file])
    np.save(file, 1.0 - np.eye(IMAGES))
    with pytest.raises(InputError, match="x: all dissimilarities are equal"):
        alexnet.similarity([one], measured=[file])


def test_dissimilarities_are_known_by_their_shape_up_to_rounding(one, tmp_path):
    matrix, file = dissimilarities(drawn(4, 6)), tmp_path / "judged.npy"

    def found(array):
        np.save(file, array)
        return alexnet.similarity([one], stages=["relu7"], measured=[file])

    exact = found(matrix)
    for scale, kind in ((1, np.float64), (1e-12, np.float64), (1e6, np.float32)):
        rough = matrix * scale
        rough[2, 5] += 1e-6 * scale
        rough[3, 3] = -1e-6 * scale
        other = found(rough.astype(kind))
        assert other.measured == {"measured judged": "dissimilarities"}
        assert np.array_equal(other.rank_correlations, exact.rank_correlations)
    nearly = matrix.copy()
    nearly[2, 5] += 0.001
    for wrong in (nearly, 1 - matrix, (100 * matrix + 1).astype(np.uint8)):
        with pytest.raises(InputError, match="judged: a square matrix that is nearly symmetric"):
            found(wrong)
    assert found(drawn(5, IMAGES)).measured == {"measured judged": "responses"}  # as many channels as images
    assert found(drawn(5, IMAGES) > 0).measured == {"measured judged": "responses"}
    with pytest.raises(InputError, match="judged: image 0 has a response that is not finite"):
        found(np.where(matrix == 0, np.nan, matrix))


def test_correlations_below_zero_are_of_another_colour():
    values = np.array([[1, -0.8], [-0.8, 1]])
    figure = similarity.Similarity(("a", "b"), 9, values, abs(values), abs(values), {}).figure()
    (ranks,), (alignment,), _ = (axes.images for axes in figure.axes)
    assert (ranks.get_clim(), alignment.get_clim()) == ((-1, 1), (0, 1))
    red, _, blue, _ = ranks.to_rgba(values)[0, 1]
    assert red > 2 * blue
    assert figure.axes[0].texts[1].get_color() == "white"
    same = similarity.Similarity(("a", "b"), 9, abs(values), *[np.full((2, 2), np.nan)] * 2, {}).figure()
    assert [axes.images[0].get_clim() for axes in same.axes] == [(0, 1)] * 3


def test_many_sets_are_drawn_without_numbers(tmp_path):
    stages = {f"stage{i}": drawn(i, 6) for i in range(16)}
    figure = alexnet.similarity([write(tmp_path / "many", stages)]).figure()
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_xticklabels()) == 16
    assert Features.open(tmp_path / "many").stages == tuple(stages)
