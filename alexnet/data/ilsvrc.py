"""The ILSVRC-2010 and 2012 archives as downloaded to a listing: nothing is unpacked, pictures are read by offset.

Classes are the 1,000 synsets without children, in the order of their wnids, as in Caffe and torchvision; the
development kit's own ids (ILSVRC2012_ID), which number the ground truth of val, are only used to join it.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from alexnet.data import matlab
from alexnet.data.shards import ClassName
from alexnet.data.source import Item, Source
from alexnet.errors import InputError, counted

_WHERE = "https://image-net.org/challenges/LSVRC"


@dataclass(frozen=True)
class _Year:
    year: str
    train: str
    val: str
    test: str
    devkit: str

    @property
    def truth(self) -> str:
        return f"ILSVRC{self.year}_validation_ground_truth.txt"

    @property
    def test_truth(self) -> str:
        """Public for 2010 alone; taken from beside the archives."""
        return f"ILSVRC{self.year}_test_ground_truth.txt"


_YEARS = (
    _Year("2012", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_img_test.tar",
          "ILSVRC2012_devkit_t12.tar.gz"),
    _Year("2010", "ILSVRC2010_images_train.tar", "ILSVRC2010_images_val.tar", "ILSVRC2010_images_test.tar",
          "ILSVRC2010_devkit-1.0.tar.gz"),
)  # fmt: skip


def present(root: Path) -> bool:
    """Whether `root` holds an archive of ILSVRC-2010 or 2012."""
    return any((root / name).is_file() for year in _YEARS for name in (year.train, year.val, year.devkit))


def listing(root: Path) -> Source:
    """train, with val and test where there are archive and ground truth; each picture a region of its archive.

    Raises:
        InputError: the training archive or the development kit is missing or damaged.
    """
    year = next(y for y in _YEARS if any((root / name).is_file() for name in (y.train, y.val, y.devkit)))
    for name in (year.train, year.devkit):
        if not (root / name).is_file():
            raise InputError(f"{root} lacks {name}; download it from {_WHERE}/{year.year}.")
    classes, ids, truth = _devkit(root / year.devkit, year)
    notes: list[str] = []
    rejected: list[tuple[str, str]] = []
    items = _train(root, year, {c.name: label for label, c in enumerate(classes)}, notes)
    for split, name, answers in (("val", year.val, truth), ("test", year.test, _test_truth(root, year))):
        if (root / name).is_file() and answers:
            items += _numbered(root, name, split, answers, ids, notes, rejected)
        elif (root / name).is_file():
            notes.append(f"{name} was left out: {year.test_truth} is not beside it.")
        elif split == "val":
            notes.append(f"There is no {name}, so the set has no val of its own.")
    return Source(f"ilsvrc{year.year}", root, tuple(classes), items, notes=tuple(notes), rejected=tuple(rejected))


def _devkit(path: Path, year: _Year) -> tuple[list[ClassName], dict[int, int], list[int]]:
    """The classes in label order, the label of each id, and the ids of val in the order of its pictures."""
    wanted: dict[str, bytes] = {}
    with _open(path) as tar:
        for member in _members(tar):
            name = PurePosixPath(member.name).name
            if name in ("meta.mat", year.truth):
                wanted[name] = cast(IO[bytes], tar.extractfile(member)).read()
    for name in ("meta.mat", year.truth):
        if name not in wanted:
            raise InputError(f"{path} lacks {name}; download it again from {_WHERE}/{year.year}.")
    table = matlab.structs(wanted["meta.mat"], "synsets", f"meta.mat in {path}")
    try:
        leaves = sorted(
            (row["WNID"], row["words"], int(row[f"ILSVRC{year.year}_ID"][0]))
            for row in table
            if int(row["num_children"][0]) == 0
        )
    except (KeyError, IndexError) as error:
        raise InputError(f"meta.mat in {path} has no column {error}; download it again.") from None
    classes = [ClassName(wnid, words) for wnid, words, _ in leaves]
    return classes, {number: label for label, (_, _, number) in enumerate(leaves)}, _numbers(wanted[year.truth], path)


def _train(root: Path, year: _Year, labels: dict[str, int], notes: list[str]) -> list[Item]:
    """The pictures of the archive of class archives, class by class in label order, each in its archive's order."""
    path = root / year.train
    found: dict[int, list[Item]] = {}
    with _open(path) as outer:
        for archive in _members(outer):
            wnid = PurePosixPath(archive.name).stem
            if wnid not in labels:
                notes.append(f"{archive.name} in {year.train} was left out: it is no class of ILSVRC-{year.year}.")
                continue
            label = labels[wnid]
            with _open(path, outer.extractfile(archive), f"{archive.name} in {path}") as tar:
                found[label] = [
                    Item(
                        f"{wnid}/{PurePosixPath(m.name).name}",
                        label,
                        "train",
                        year.train,
                        archive.offset_data + m.offset_data,
                        m.size,
                    )
                    for m in _members(tar)
                ]
    missing = [wnid for wnid, label in labels.items() if not found.get(label)]
    if missing:
        notes.append(
            f"{year.train} has no pictures of {counted(len(missing), 'class', 'classes')}, such as {missing[0]}."
        )
    return [item for label in sorted(found) for item in found[label]]


def _numbered(
    root: Path,
    name: str,
    split: str,
    answers: list[int],
    ids: dict[int, int],
    notes: list[str],
    rejected: list[tuple[str, str]],
) -> list[Item]:
    """The pictures of val or test in the order of their numbers, which count the ground truth's lines from 1."""
    if unknown := sorted(set(answers) - set(ids)):
        raise InputError(f"The ground truth of {split} names the id {unknown[0]}, which meta.mat has no class for.")
    path = root / name
    numbered: dict[int, Item] = {}
    with _open(path) as tar:
        for member in _members(tar):
            file = PurePosixPath(member.name).name
            match = re.fullmatch(rf"ILSVRC\d+_{split}_(\d+)\.JPEG", file)
            number = int(match[1]) if match else 0
            if 1 <= number <= len(answers):
                label = ids[answers[number - 1]]
                numbered[number] = Item(f"{split}/{file}", label, split, name, member.offset_data, member.size)
            else:
                rejected.append((f"{split}/{file}", "no line of the ground truth is for it"))
    if len(numbered) < len(answers):
        notes.append(f"{name} has {len(numbered)} of the {len(answers)} pictures that the ground truth lists.")
    return [numbered[number] for number in sorted(numbered)]


def _test_truth(root: Path, year: _Year) -> list[int]:
    path = root / year.test_truth
    return _numbers(path.read_bytes(), path) if path.is_file() else []


def _numbers(text: bytes, where: Path) -> list[int]:
    try:
        return [int(word) for word in text.split()]
    except ValueError:
        raise InputError(f"The ground truth in {where} is not a list of numbers; download it again.") from None


@contextmanager
def _open(path: Path, file: IO[bytes] | None = None, name: str = "") -> Iterator[tarfile.TarFile]:
    """An archive, or the one within it that `file` is; damage noticed in the block is an InputError that names it."""
    name = name or str(path)
    try:
        with tarfile.open(path) if file is None else tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    except (tarfile.ReadError, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{name} is damaged or not fully downloaded ({error}); download it again.") from None


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files in an archive, by their headers; a whole archive ends in a block of zeros."""
    while (member := tar.next()) is not None:
        if member.isfile():
            yield member
    file = cast(IO[bytes], tar.fileobj)
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends early")
