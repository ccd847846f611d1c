"""What every source gives: items in a fixed order, each a region of bytes in a file; and how train is divided."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from alexnet import randomness
from alexnet.data.decoding import Refused
from alexnet.data.shards import ClassName
from alexnet.errors import InputError, counted


class Item(NamedTuple):
    """One picture of a source, not yet read: a million of them fit in memory."""

    path: str
    """For people: the file below the source's folder, or the archive's member."""
    label: int
    split: str
    file: str
    """The file below the source's folder that holds the bytes."""
    start: int
    length: int


@dataclass(frozen=True)
class Source:
    """A listing: the classes in label order, the items in a fixed order, and what people should know of them."""

    kind: str
    root: Path
    classes: tuple[ClassName, ...]
    items: Sequence[Item]
    size: int = 256
    """The side of the stored images."""
    decoded: bool = False
    """Whether an item's bytes are the pixels themselves, uint8 `[3,size,size]`."""
    notes: tuple[str, ...] = ()
    rejected: tuple[tuple[str, str], ...] = field(default=())
    """(path, reason) of files that are no items at all."""
    worded: frozenset[str] = frozenset()
    """The names of classes whose words are not the source's, but come with the package."""

    def read(self, item: Item) -> bytes:
        """The bytes of an item.

        Raises:
            Refused: they cannot be read in full.
        """
        try:
            with (self.root / item.file).open("rb") as file:
                file.seek(item.start)
                data = file.read(item.length)
        except OSError as error:
            raise Refused(f"cannot be read: {error.strerror}") from None
        if len(data) < item.length:
            raise Refused("truncated")
        return data

    def listing(self) -> str:
        """SHA-256, in hexadecimal, of all names, labels, splits and lengths: what tells one source from another.

        Words that come with the package do not count, so a set made before there were any is still of its source.
        """
        classes = [(c.name, c.name if c.name in self.worded else c.words) for c in self.classes]
        digest = hashlib.sha256(repr(classes).encode())
        for item in self.items:
            line = f"{item.split}\t{item.label}\t{item.path}\t{item.length}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def divide(source: Source, *, holdout: float, test: float, group: str | None, seed: int) -> Source:
    """`source` with a stratified part of train moved to val (`holdout`) and to test (`test`), decided by `seed`.

    Fractions are of train as it comes; each class gives at least one picture and keeps at least one. If the source
    has a val of its own, that becomes test. `group`, a regular expression, names the group of each path that it
    is found in (its first parenthesis, or the whole match): a group stays in one split.

    Raises:
        InputError: fractions out of range, a split that would exist twice, or a regular expression that is none.
    """
    if not (0 <= holdout < 1 and 0 <= test < 1 and holdout + test < 1):
        raise InputError(f"--holdout {holdout} and --test {test} must be at least 0 and below 1 together.")
    items, notes = list(source.items), list(source.notes)
    splits = {item.split for item in items}
    if holdout and "val" in splits:
        if "test" in splits or test:
            raise InputError("--holdout would make a second val: the source has a val, and a test or --test besides.")
        items = [item._replace(split="test") if item.split == "val" else item for item in items]
        notes.append("The source's val is the set's test, because --holdout takes val out of train.")
    elif test and "test" in splits:
        raise InputError("--test would make a second test: the source has one; leave --test out.")
    groups = _groups([item.path for item in items], group)
    for split, fraction in (("test", test), ("val", holdout)):
        if fraction:
            train = [i for i, item in enumerate(items) if item.split == "train"]
            whole = Counter(item.label for item in source.items if item.split == "train")
            for i in _take(items, train, groups, fraction, whole, seed, split):
                items[i] = items[i]._replace(split=split)
    if group is not None:
        notes += _group_notes(items, groups)
    return replace(source, items=items, notes=tuple(notes))


def _groups(paths: Sequence[str], group: str | None) -> list[str]:
    """The group of each path; one that the expression is not found in is a group of its own."""
    if group is None:
        return list(paths)
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise InputError(f"--group {group!r} is not a regular expression: {error}.") from None
    # A capital cannot begin both kinds, so a path never falls into another's group.
    found = ((path, pattern.search(path)) for path in paths)
    return [f"G{match[1] if pattern.groups else match[0]}" if match else f"P{path}" for path, match in found]


def _take(
    items: Sequence[Item],
    train: Sequence[int],
    groups: Sequence[str],
    fraction: float,
    whole: Counter[int],
    seed: int,
    purpose: str,
) -> list[int]:
    """The positions to move: groups in an order drawn by seed, each one that brings the classes nearer their shares."""
    members: dict[str, list[int]] = {}
    left = Counter(items[i].label for i in train)
    for i in train:
        members.setdefault(groups[i], []).append(i)
    missing = {label: min(n - 1, max(1, int(whole[label] * fraction + 0.5))) for label, n in left.items()}
    names = list(members)
    taken: list[int] = []
    for position in randomness.permutation(seed, f"{purpose} split", 0, len(names)).tolist():
        group = members[names[position]]
        counts = Counter(items[i].label for i in group)
        gain = sum(abs(missing[label]) - abs(missing[label] - n) for label, n in counts.items())
        if gain > 0 and all(left[label] > n for label, n in counts.items()):
            taken += group
            left -= counts
            for label, n in counts.items():
                missing[label] -= n
    return taken


def _group_notes(items: Sequence[Item], groups: Sequence[str]) -> list[str]:
    """What people should know of the groups: files without one, and groups that the source itself had divided."""
    splits: dict[str, set[str]] = {}
    for item, name in zip(items, groups, strict=True):
        splits.setdefault(name, set()).add(item.split)
    named = sum(name.startswith("G") for name in splits)
    notes = [f"--group found {counted(named, 'group')}."]
    if alone := len(splits) - named:
        notes.append(f"--group matched nothing in {counted(alone, 'path')}; each is a group of its own.")
    if divided := [name[1:] for name, found in splits.items() if len(found) > 1]:
        several = counted(len(divided), "group lies", "groups lie")
        notes.append(f"{several} in several of the source's own splits, such as {divided[0]!r}.")
    return notes
