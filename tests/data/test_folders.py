"""Folders of classes: what counts, in which order, how splits are joined and divided, and what is said of it."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.data import folders
from alexnet.data.decoding import Refused
from alexnet.data.shards import ClassName
from alexnet.data.source import Source, divide
from alexnet.errors import InputError


def lay_out(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            (root / path).write_bytes(path.encode("utf-8", "surrogateescape"))
        else:
            (root / path).mkdir(exist_ok=True)
    return root


def many(prefix: str, count: int) -> list[str]:
    return [f"{prefix}/{i:03d}.jpg" for i in range(count)]


def paths(source: Source, split: str = "train") -> list[str]:
    return [item.path for item in source.items if item.split == split]


def test_one_folder(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "10/a.jpg", "2/b.jpg", "1/z.jpg", "1/deep/er/y.png", "1/.hidden", "words.txt")
    (root / "words.txt").write_text("1\tone, unity\n2\ttwo\nnothing\n")
    source = folders.listing(root)
    assert source.classes == (ClassName("1", "one, unity"), ClassName("10", "10"), ClassName("2", "two"))
    assert [(i.path, i.label) for i in source.items] == [
        ("1/z.jpg", 0), ("1/deep/er/y.png", 0), ("10/a.jpg", 1), ("2/b.jpg", 2),
    ]  # fmt: skip
    assert source.read(source.items[1]) == b"1/deep/er/y.png"
    assert source.notes == ()


def test_a_wnid_has_its_synsets_words_unless_others_are_given(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "n01440764/1.jpg", "n02979186/1.jpg", "n00000001/1.jpg", "other/1.jpg", "words.txt")
    (root / "words.txt").write_text("n02979186\tour tape deck\n")
    assert folders.listing(root).classes == (
        ClassName("n00000001", "n00000001"),
        ClassName("n01440764", "tench, Tinca tinca"),
        ClassName("n02979186", "our tape deck"),
        ClassName("other", "other"),
    )


def test_shipped_words_are_not_of_the_source_so_older_sets_are_still_of_it(tmp_path: Path) -> None:
    source = folders.listing(lay_out(tmp_path, "n01440764/1.jpg", "n02979186/1.jpg"))
    before = replace(source, classes=tuple(ClassName(c.name, c.name) for c in source.classes), worded=frozenset())
    assert source.classes != before.classes
    assert source.listing() == before.listing()
    (tmp_path / "words.txt").write_text("n02979186\tour tape deck\n")
    assert folders.listing(tmp_path).listing() != source.listing()


def test_hidden_empty_and_loose_things_are_reported(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, "a/1.jpg", ".ipynb_checkpoints/1.jpg", "__MACOSX/a/1.jpg", "empty/", "empty2/.DS_Store", "x.jpg"
    )
    source = folders.listing(root)
    assert [c.name for c in source.classes] == ["a"]
    notes = "\n".join(source.notes)
    assert "Hidden folders in the source were left out: .ipynb_checkpoints, __MACOSX." in notes
    assert "Empty class folders in train: empty, empty2." in notes
    assert "1 file was left out, beside the class folders, such as x.jpg." in notes


def test_splits_are_joined_by_name(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, "train/b/1.jpg", "train/a/1.jpg", "train/c/1.jpg", "train/only/", "val/c/1.jpg", "val/b/2.jpg",
        "val/d/1.jpg", "val/a/", "test/a/1.jpg", "test/b/1.jpg", "test/c/1.jpg", "val/loose.jpg",
    )  # fmt: skip
    source = folders.listing(root)
    assert [c.name for c in source.classes] == ["a", "b", "c"]
    assert [(i.path, i.label) for i in source.items if i.split == "val"] == [("val/b/2.jpg", 1), ("val/c/1.jpg", 2)]
    assert source.rejected == (("val/d/1.jpg", "its class d is not in train"),)
    notes = "\n".join(source.notes)
    assert "Empty class folders in val: a." in notes
    assert "Class folders that train lacks, their pictures refused, in val: d." in notes
    assert "Empty class folders in train: only." in notes
    assert "1 file was left out, in val/ but in no class folder, such as loose.jpg." in notes
    shutil.rmtree(root / "val/a")
    assert "Missing class folders in val: a." in "\n".join(folders.listing(root).notes)


def test_train_may_be_a_class(tmp_path: Path) -> None:
    assert [c.name for c in folders.listing(lay_out(tmp_path, "train/1.jpg", "bus/1.jpg")).classes] == ["bus", "train"]
    with pytest.raises(InputError, match="train/ and also bus"):
        folders.listing(lay_out(tmp_path, "train/a/1.jpg"))


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class folders"):
        folders.listing(lay_out(tmp_path, "1.jpg", "2.jpg"))
    with pytest.raises(InputError, match="val holds no class folders"):
        folders.listing(lay_out(tmp_path, "train/a/1.jpg", "val/1.jpg"))


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "in/a/1.jpg")
    (root / "in/b").symlink_to(root / "in/a")
    (root / "in/a/up").symlink_to(root / "in")
    assert "b/1.jpg" in paths(folders.listing(root / "in"))


def test_dead_links_are_refused_with_the_reason(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "in", "a/1.jpg", "a/deep/2.jpg", "b/1.jpg", "only/")
    for path in ("a/dead.jpg", "a/deep/dead.jpg", "only/dead.jpg", "beside"):
        (root / path).symlink_to(tmp_path / "nothing")
    (root / "b/round").symlink_to(root / "b/round")
    source = folders.listing(root)
    assert source.rejected == tuple(
        (path, "a link to nothing") for path in ("a/dead.jpg", "a/deep/dead.jpg", "b/round", "only/dead.jpg")
    )
    assert sorted(paths(source)) == ["a/1.jpg", "a/deep/2.jpg", "b/1.jpg"]
    notes = "\n".join(source.notes)
    assert "Empty class folders in train: only." in notes
    assert "1 file was left out, beside the class folders, such as beside." in notes


def test_odd_names(tmp_path: Path) -> None:
    source = folders.listing(lay_out(tmp_path, "a/é,\udcff.jpg", "a/line\nbreak.jpg"))
    assert paths(source) == ["a/é,\udcff.jpg"]
    assert source.read(source.items[0]) == "a/é,".encode() + b"\xff.jpg"
    assert source.rejected == (("a/line\nbreak.jpg", "its name has a line break"),)


def test_a_file_that_shrank_or_vanished_is_refused(tmp_path: Path) -> None:
    source = folders.listing(lay_out(tmp_path, "a/1.jpg", "a/2.jpg"))
    (tmp_path / "a/1.jpg").write_bytes(b"")
    (tmp_path / "a/2.jpg").unlink()
    with pytest.raises(Refused, match="truncated"):
        source.read(source.items[0])
    with pytest.raises(Refused, match="No such file"):
        source.read(source.items[1])


def test_the_listing_tells_sources_apart(tmp_path: Path) -> None:
    first = folders.listing(lay_out(tmp_path, "a/1.jpg", "b/1.jpg")).listing()
    assert folders.listing(tmp_path).listing() == first
    (tmp_path / "b/1.jpg").write_bytes(b"another length")
    second = folders.listing(tmp_path).listing()
    (tmp_path / "a/1.jpg").rename(tmp_path / "a/2.jpg")
    assert len({first, second, folders.listing(tmp_path).listing()}) == 3


def split(source: Source, holdout: float = 0.0, test: float = 0.0, group: str | None = None, seed: int = 0) -> Source:
    return divide(source, holdout=holdout, test=test, group=group, seed=seed)


def counts(source: Source) -> dict[str, Counter[int]]:
    return {s: Counter(i.label for i in source.items if i.split == s) for s in ("train", "val", "test")}


def test_shares_are_stratified_and_decided_by_the_seed(tmp_path: Path) -> None:
    source = folders.listing(
        lay_out(tmp_path, *many("a", 40), *many("b", 11), *many("c", 3), *many("d", 1), *many("e", 2))
    )
    divided = split(source, 0.1, 0.25)
    assert counts(divided)["test"] == {0: 10, 1: 3, 2: 1, 4: 1}
    assert counts(divided)["val"] == {0: 4, 1: 1, 2: 1}
    assert counts(divided)["train"] == {0: 26, 1: 7, 2: 1, 3: 1, 4: 1}
    assert [i.path for i in divided.items] == [i.path for i in source.items]
    assert split(source, 0.1, 0.25) == divided
    assert paths(split(source, 0.1, 0.25, seed=1), "val") != paths(divided, "val")
    assert split(source).items == list(source.items)


def test_groups_stay_together(tmp_path: Path) -> None:
    names = [f"{c}/p{i // 3:02d}_{i}.jpg" for c in "ab" for i in range(60)] + ["a/alone.jpg"]
    source = folders.listing(lay_out(tmp_path, *names))
    divided = split(source, 0.2, 0.2, r"/(p\d+)_")
    groups: dict[str, set[str]] = {}
    for item in divided.items:
        groups.setdefault(item.path[2:5], set()).add(item.split)
    assert all(len(splits) == 1 for splits in groups.values())
    for name in ("val", "test"):
        assert all(abs(n - 12) <= 2 for n in counts(divided)[name].values())
    assert "--group found 20 groups." in divided.notes
    assert "--group matched nothing in 1 path; each is a group of its own." in divided.notes
    # Without parentheses the whole match names the group.
    assert split(source, 0.2, 0.2, r"p\d+").items == divided.items


def test_a_group_never_empties_a_class(tmp_path: Path) -> None:
    divided = split(folders.listing(lay_out(tmp_path, *many("a", 3), *many("b", 30))), 0.5, 0.0, "^a|b/..")
    assert counts(divided)["train"][0] == 3


def test_given_splits(tmp_path: Path) -> None:
    root = lay_out(tmp_path, *many("train/a", 20), *many("val/a", 5))
    divided = split(folders.listing(root), 0.1)
    assert {name: c[0] for name, c in counts(divided).items()} == {"train": 18, "val": 2, "test": 5}
    assert any("val is the set's test" in note for note in divided.notes)
    assert {n: c[0] for n, c in counts(split(folders.listing(root), 0, 0.1)).items()} == {
        "train": 18,
        "val": 5,
        "test": 2,
    }
    with pytest.raises(InputError, match="second val"):
        split(folders.listing(root), 0.1, 0.1)
    across = split(folders.listing(root), 0, 0, r"\d+")
    assert "5 groups lie in several of the source's own splits, such as '000'." in across.notes
    lay_out(root, *many("test/a", 5))
    with pytest.raises(InputError, match="second val"):
        split(folders.listing(root), 0.1)
    with pytest.raises(InputError, match="second test"):
        split(folders.listing(root), 0, 0.1)


@pytest.mark.parametrize(("holdout", "test"), [(-0.1, 0), (1, 0), (0.5, 0.5), (float("nan"), 0)])
def test_impossible_shares(tmp_path: Path, holdout: float, test: float) -> None:
    with pytest.raises(InputError, match="--holdout"):
        split(folders.listing(lay_out(tmp_path, "a/1.jpg")), holdout, test)


def test_a_broken_expression(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a regular expression"):
        split(folders.listing(lay_out(tmp_path, "a/1.jpg")), group="(")


@pytest.mark.parametrize("folder", ["caf\udce9", "train/caf\udce9"])
def test_a_class_whose_name_is_no_text_is_refused_at_once(tmp_path: Path, folder: str) -> None:
    lay_out(tmp_path, f"{folder}/1.jpg")
    with pytest.raises(InputError, match=r"class folder caf\\xe9 in .* is not UTF-8 text; rename it"):
        folders.listing(tmp_path)


def test_a_picture_whose_name_is_no_text_is_listed(tmp_path: Path) -> None:
    assert paths(folders.listing(lay_out(tmp_path, "a/caf\udce9.jpg"))) == ["a/caf\udce9.jpg"]


def test_words_in_another_encoding_are_refused(tmp_path: Path) -> None:
    (lay_out(tmp_path, "a/1.jpg") / "words.txt").write_bytes(b"a\tcaf\xe9\n")
    with pytest.raises(InputError, match=r"words.txt is not UTF-8 text"):
        folders.listing(tmp_path)
