"""ILSVRC archives, made small in the form of the real ones, are listed and read without unpacking."""

import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from alexnet.data import ilsvrc, matlab
from alexnet.data.decoding import encode
from alexnet.data.prepare import prepare
from alexnet.errors import InputError

# The kit's ids are not in the order of the wnids; the last two rows have children, so they are no classes.
ROWS = [
    ("n03", "third, cubed", 1, 0),
    ("n01", "first", 2, 0),
    ("n02", "second", 3, 0),
    ("n09", "all", 4, 2),
    ("n08", "some", 5, 3),
]
VAL = [3, 1, 2, 2, 1]
NAMES = {
    "2012": ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"),
    "2010": ("ILSVRC2010_images_train.tar", "ILSVRC2010_images_val.tar", "ILSVRC2010_devkit-1.0.tar.gz"),
}


def colour(split: str, number: int) -> np.ndarray:
    """A picture of one colour that says which it is."""
    return np.full((260, 270, 3), {"train": 40, "val": 140, "test": 200}[split] + 4 * number, np.uint8)


def tar(members: dict[str, bytes], mode: Any = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def meta(year: str, compressed: bool = True) -> bytes:
    kinds: list[tuple[Any, ...]] = [
        (f"ILSVRC{year}_ID", object), ("WNID", object), ("words", object), ("gloss", object), ("num_children", object),
        ("children", object),
    ]  # fmt: skip
    table = np.empty((len(ROWS), 1), dtype=kinds)
    for i, (wnid, words, number, children) in enumerate(ROWS):
        table[i, 0] = (float(number), wnid, words, "a gloss — é", float(children), np.arange(float(children)))
    file = io.BytesIO()
    savemat(file, {"other": np.eye(2), "synsets": table}, do_compression=compressed)
    return file.getvalue()


def write_archives(root: Path, year: str = "2012") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    train, val, devkit = NAMES[year]
    classes = {
        f"n0{k}.tar": tar({f"n0{k}_{i}.JPEG": encode(colour("train", 3 * k + i)) for i in range(2)}) for k in (2, 3, 1)
    }
    (root / train).write_bytes(tar(classes))
    below = "val/" if year == "2010" else ""
    order = [4, 2, 1, 5, 3]
    pictures = {f"{below}ILSVRC{year}_val_{n:08d}.JPEG": encode(colour("val", n)) for n in order}
    (root / val).write_bytes(tar(pictures))
    truth = "".join(f"{number}\n" for number in VAL).encode()
    kit = {"kit/data/meta.mat": meta(year), f"kit/data/ILSVRC{year}_validation_ground_truth.txt": truth}
    (root / devkit).write_bytes(tar(kit, "w:gz"))
    return root


@pytest.mark.parametrize("year", ["2012", "2010"])
def test_labels_are_joined_by_the_kits_ids(tmp_path: Path, year: str) -> None:
    source = ilsvrc.listing(write_archives(tmp_path, year))
    assert source.kind == f"ilsvrc{year}"
    assert [(c.name, c.words) for c in source.classes] == [("n01", "first"), ("n02", "second"), ("n03", "third, cubed")]
    train = [(i.path, i.label) for i in source.items if i.split == "train"]
    assert train == [(f"n0{k}/n0{k}_{i}.JPEG", k - 1) for k in (1, 2, 3) for i in (0, 1)]
    val = [(i.path, i.label) for i in source.items if i.split == "val"]
    wanted = {1: 2, 2: 0, 3: 1}
    assert val == [(f"val/ILSVRC{year}_val_{n:08d}.JPEG", wanted[VAL[n - 1]]) for n in range(1, 6)]
    assert (source.notes, source.rejected) == ((), ())
    for item in source.items:
        number = int(item.path[-13:-5]) if item.split == "val" else 3 * (item.label + 1) + int(item.path[-6])
        assert source.read(item) == encode(colour(item.split, number))


def test_prepared_from_archives(tmp_path: Path) -> None:
    prepared = prepare(write_archives(tmp_path / "source"), tmp_path / "set", encoding="raw")
    assert (prepared.counts, prepared.rejected) == ({"train": 6, "val": 5}, 0)
    val = prepared.split("val")
    np.testing.assert_allclose(val.at(range(5)).mean((1, 2, 3)), [140 + 4 * n for n in range(1, 6)], atol=1)
    assert val.labels.tolist() == [1, 2, 0, 0, 2]


def test_2010_has_public_answers_for_its_test(tmp_path: Path) -> None:
    root = write_archives(tmp_path, "2010")
    (root / "ILSVRC2010_images_test.tar").write_bytes(
        tar({f"test/ILSVRC2010_test_{n:08d}.JPEG": encode(colour("test", n)) for n in (2, 1, 3)})
    )
    assert any("ILSVRC2010_test_ground_truth.txt is not beside it" in note for note in ilsvrc.listing(root).notes)
    (root / "ILSVRC2010_test_ground_truth.txt").write_text("1\n2\n")
    source = ilsvrc.listing(root)
    test = [(i.path, i.label) for i in source.items if i.split == "test"]
    assert test == [("test/ILSVRC2010_test_00000001.JPEG", 2), ("test/ILSVRC2010_test_00000002.JPEG", 0)]
    assert source.rejected == (("test/ILSVRC2010_test_00000003.JPEG", "no line of the ground truth is for it"),)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    root = write_archives(tmp_path)
    train, val, devkit = NAMES["2012"]
    (root / val).write_bytes(tar({"ILSVRC2012_val_00000002.JPEG": b"x"}))
    (root / train).write_bytes(tar({"n01.tar": tar({"n01_1.JPEG": b"x"}), "n77.tar": tar({}), "n02.tar": tar({})}))
    notes = "\n".join(ilsvrc.listing(root).notes)
    assert "has 1 of the 5 pictures" in notes
    assert "n77.tar in ILSVRC2012_img_train.tar was left out" in notes
    assert "no pictures of 2 classes, such as n02" in notes
    (root / val).unlink()
    assert any("no val of its own" in note for note in ilsvrc.listing(root).notes)
    (root / devkit).unlink()
    with pytest.raises(InputError, match=f"lacks {devkit}.*image-net.org"):
        ilsvrc.listing(root)


@pytest.mark.parametrize("name", NAMES["2012"])
@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_half_downloaded_archives_are_refused(tmp_path: Path, name: str, cut: float) -> None:
    path = write_archives(tmp_path) / name
    whole = path.read_bytes()
    data = whole if name.endswith("gz") else whole.rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(InputError, match=f"{name}.*download it again"):
        ilsvrc.listing(tmp_path)


def test_an_archive_cut_between_members_is_refused(tmp_path: Path) -> None:
    path = write_archives(tmp_path) / NAMES["2012"][1]
    with tarfile.open(path) as archive:
        third = archive.getmembers()[3].offset
    path.write_bytes(path.read_bytes()[:third])
    with pytest.raises(InputError, match="ends early"):
        ilsvrc.listing(tmp_path)


@pytest.mark.parametrize("compressed", [True, False])
def test_matlab_tables(compressed: bool) -> None:
    rows = matlab.structs(meta("2012", compressed), "synsets", "meta.mat")
    assert [(r["WNID"], r["words"], int(r["ILSVRC2012_ID"][0]), int(r["num_children"][0])) for r in rows] == ROWS
    assert rows[3]["children"].tolist() == [0, 1]
    assert rows[0]["gloss"] == "a gloss — é"


def test_matlab_itself_stores_small_numbers_in_fewer_bytes() -> None:
    def element(kind: int, data: bytes) -> bytes:
        if len(data) <= 4:
            return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def array(kind: int, shape: tuple[int, int], name: bytes, *parts: bytes) -> bytes:
        head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", *shape)) + element(1, name)
        return element(14, head + b"".join(parts))

    number = array(6, (1, 1), b"", element(2, b"\x07"))
    text = array(4, (1, 2), b"", element(16, b"hi"))
    empty = struct.pack("<II", 14, 0)
    fields = element(5, struct.pack("<i", 4)) + element(1, b"a\0\0\0b\0\0\0c\0\0\0")
    data = b"MATLAB".ljust(124) + b"\0\1IM" + array(2, (1, 1), b"table", fields, number, text, empty)
    (row,) = matlab.structs(data, "table", "x")
    assert (row["a"].tolist(), row["b"], row["c"].tolist()) == ([7], "hi", [])


@pytest.mark.parametrize("data", [b"", b"nonsense" * 40, meta("2012")[:400], meta("2012", False)[:900]])
def test_matlab_damage(data: bytes) -> None:
    with pytest.raises(InputError, match=r"meta\.mat"):
        matlab.structs(data, "synsets", "meta.mat")
