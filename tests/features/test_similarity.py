"""similarity: the pairs are those of the formulas, the images must be the same, files are what they say."""

import csv
import json

import numpy as np
import pytest

import alexnet
from alexnet.errors import InputError
from alexnet.features import similarity
from alexnet.features.folder import Features
from alexnet.features.similarity_measures import cka, dissimilarities, rank_correlation
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
    assert found.names == ("one conv1", "one relu7", "two relu7", "voxels", "judged")
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
            else:
                assert np.isnan(found.cka[i, j])
    pairs = found.to_json()["pairs"]
    assert found.to_json()["measured"] == {"voxels": "responses", "judged": "dissimilarities"}
    assert len(pairs) == 10
    assert pairs[3] == {
        **{"one": "one conv1", "other": "judged", "cka": None},
        "rank_correlation": found.rank_correlations[0, 4],
    }


def test_only_the_stages_asked_for_and_names_that_differ(one, tmp_path):
    again = write(tmp_path / "deep" / "one", {"relu7": drawn(2, 5)})
    assert alexnet.similarity([one, again], stages=["relu7"]).names == ("one-1 relu7", "one-2 relu7")
    assert alexnet.similarity([one]).names == ("conv1", "relu7")
    with pytest.raises(InputError, match="no stage 'conv1'"):
        alexnet.similarity([one, again], stages=["conv1"])


def test_files(one, tmp_path):
    found = alexnet.similarity([one], out=tmp_path / "out")
    assert np.array_equal(np.load(tmp_path / "out" / "cka.npy"), found.cka)
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
    with pytest.raises(InputError, match="short has 5 rows, conv1 has 9"):
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
    monkeypatch.setattr(similarity.tempfile, "tempdir", str(tmp_path / "temporary"))
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
    assert alexnet.similarity([], measured=[tmp_path / "0.npy", tmp_path / "1.npy"]).names == ("0", "1")
    with pytest.raises(InputError, match="two are needed"):
        alexnet.similarity([one], stages=["relu7"])
    with pytest.raises(InputError, match="two are needed"):
        alexnet.similarity([])


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
        assert other.measured == {"judged": "dissimilarities"}
        assert np.array_equal(other.rank_correlations, exact.rank_correlations)
    nearly = matrix.copy()
    nearly[2, 5] += 0.001
    for wrong in (nearly, 1 - matrix, (100 * matrix + 1).astype(np.uint8)):
        with pytest.raises(InputError, match="judged: a square matrix that is nearly symmetric"):
            found(wrong)
    assert found(drawn(5, IMAGES)).measured == {"judged": "responses"}  # as many channels as images
    assert found(drawn(5, IMAGES) > 0).measured == {"judged": "responses"}
    with pytest.raises(InputError, match="judged: image 0 has a response that is not finite"):
        found(np.where(matrix == 0, np.nan, matrix))


def test_correlations_below_zero_are_of_another_colour():
    values = np.array([[1, -0.8], [-0.8, 1]])
    figure = similarity.Similarity(("a", "b"), 9, values, abs(values), {}).figure()
    (ranks,), (alignment,) = (axes.images for axes in figure.axes)
    assert (ranks.get_clim(), alignment.get_clim()) == ((-1, 1), (0, 1))
    red, _, blue, _ = ranks.to_rgba(values)[0, 1]
    assert red > 2 * blue
    assert figure.axes[0].texts[1].get_color() == "white"
    same = similarity.Similarity(("a", "b"), 9, abs(values), np.full((2, 2), np.nan), {}).figure()
    assert [axes.images[0].get_clim() for axes in same.axes] == [(0, 1), (0, 1)]


def test_many_sets_are_drawn_without_numbers(tmp_path):
    stages = {f"stage{i}": drawn(i, 6) for i in range(16)}
    figure = alexnet.similarity([write(tmp_path / "many", stages)]).figure()
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_xticklabels()) == 16
    assert Features.open(tmp_path / "many").stages == tuple(stages)
