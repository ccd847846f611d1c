"""Folders of classes to a listing: one folder, or train/ with val/ and test/ beside it, joined by the classes' names.

Classes stand in the order of their names as text, as everywhere; a class is a folder of train that holds files.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from alexnet.data.shards import SPLITS, ClassName
from alexnet.data.source import Item, Source
from alexnet.data.synsets import ilsvrc2012
from alexnet.errors import InputError, counted


def listing(root: Path) -> Source:
    """Every visible file below the class folders of `root`; what is no image is refused when it is decoded.

    `words.txt` in `root`, if there, gives classes words for people: lines of a name, a tab and words. A class that it
    does not name, and that is a wnid of ILSVRC-2012, has that synset's words.

    Raises:
        InputError: there are no class folders, splits and other folders are mixed, or a class's name or `words.txt`
            is not UTF-8.
    """
    notes: list[str] = []
    rejected: list[tuple[str, str]] = []
    trees = {split: _tree(root, folder, notes, rejected) for split, folder in _splits(root, notes).items()}
    names = sorted(name for name, paths in trees["train"].items() if paths)
    if not names:
        raise InputError(f"{root} holds no class folders with files in them: put each class's pictures in a folder.")
    labels = {name: label for label, name in enumerate(names)}
    items: list[Item] = []
    for split, tree in trees.items():
        notes += _differences(split, tree, names)
        for name, paths in sorted(tree.items()):
            for path, length in paths:
                if name not in labels:
                    rejected.append((path, f"its class {name} is not in train"))
                elif "\n" in path:
                    rejected.append((path, "its name has a line break"))
                else:
                    items.append(Item(path, labels[name], split, path, 0, length))
    given = _words(root)
    shipped = {entry.name: entry.words for entry in ilsvrc2012()}
    worded = frozenset(name for name in names if name in shipped and name not in given)
    words = given | {name: shipped[name] for name in worded}
    classes = tuple(ClassName(name, words.get(name, name)) for name in names)
    return Source("folders", root, classes, items, notes=tuple(notes), rejected=tuple(rejected), worded=worded)


def _splits(root: Path, notes: list[str]) -> dict[str, Path]:
    """The folder of each split; without a train/ that holds folders, the root is train."""
    folders, files = _visible(root)
    inside = _visible(root / "train") if "train" in folders else ([], [])
    if not inside[0]:
        if files := [name for name in files if name != "words.txt"]:
            left = counted(len(files), "file was", "files were")
            notes.append(f"{left} left out, beside the class folders, such as {files[0]}.")
        return {"train": root}
    if others := [name for name in folders if name not in SPLITS]:
        raise InputError(
            f"{root} has train/ and also {', '.join(others[:3])}: keep only train, val and test there, "
            "or, if train is a class, no folders in it."
        )
    return {split: root / split for split in SPLITS if split in folders}


def _tree(
    root: Path, folder: Path, notes: list[str], rejected: list[tuple[str, str]]
) -> dict[str, list[tuple[str, int]]]:
    """(path below `root`, length) of each file of each class folder, in the order of the names."""
    where = f"{folder.name}/" if folder != root else "the source"
    folders, files = _visible(folder)
    if hidden := sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name not in folders):
        notes.append(f"Hidden folders in {where} were left out: {', '.join(hidden)}.")
    if folder != root and files:
        left = counted(len(files), "file was", "files were")
        notes.append(f"{left} left out, in {where} but in no class folder, such as {files[0]}.")
    for name in folders:
        _require_text(name, folder)
    if folder != root and not folders:
        raise InputError(f"{folder} holds no class folders; sort its pictures into folders named as those of train.")
    tree: dict[str, list[tuple[str, int]]] = {name: [] for name in folders}
    for name, found in tree.items():
        for file in files_below(folder / name):
            path = file.relative_to(root).as_posix()
            try:
                found.append((path, file.stat().st_size))
            except OSError as error:
                rejected.append(
                    (path, "a link to nothing" if file.is_symlink() else f"cannot be read: {error.strerror}")
                )
    return tree


def _require_text(name: str, folder: Path) -> None:
    """Nothing, if a class can bear this name: it will stand in JSON files. Names of pictures need not be text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise InputError(
            f"the name of the class folder {shown} in {folder} is not UTF-8 text; rename it, for the class is named so."
        ) from None


def files_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The visible files below `folder`, sorted; links are followed, but never round in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    folders, files = _visible(folder)
    yield from (folder / name for name in files)
    for name in folders:
        yield from files_below(folder / name, above | {real})


def _visible(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files and dead links in `folder`, sorted, without hidden ones."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    entries = [entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"]
    dead = {entry.name for entry in entries if entry.is_symlink() and not entry.exists()}
    return [e.name for e in entries if e.is_dir()], [e.name for e in entries if e.is_file() or e.name in dead]


def _differences(split: str, tree: dict[str, list[tuple[str, int]]], names: list[str]) -> list[str]:
    """A sentence for each way in which the class folders of a split are not those that hold training pictures."""
    empty = sorted(name for name, paths in tree.items() if not paths)
    found = {
        "Empty class folders": empty,
        "Missing class folders": sorted(set(names) - set(tree)),
        "Class folders that train lacks, their pictures refused,": sorted(set(tree) - set(names) - set(empty)),
    }
    return [f"{what} in {split}: {_some(which)}." for what, which in found.items() if which]


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _words(root: Path) -> dict[str, str]:
    path = root / "words.txt"
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it anew in that encoding.") from None
    return {name: words.strip() for name, tab, words in (line.partition("\t") for line in lines) if tab}
