"""The end of a preparation: the records of all shards become the set's tables, statistics and description."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from alexnet import arrays, files
from alexnet.data import packing
from alexnet.data.packing import Record, Settings, Sums
from alexnet.data.shards import PreparedSet
from alexnet.data.source import Item, Source
from alexnet.data.squaring import GREY
from alexnet.errors import InputError, counted

COLOUR = (
    "RGB; grey repeated, palette looked up, alpha over white, 16 bits scaled to 8, CMYK and YCCK by Pillow, "
    "first frame, embedded colour profiles ignored"
)
RESIZING = {
    "area": "area average when shrinking, bicubic when enlarging; a JPEG at 1/2 or 1/4 while twice the size remains",
    "pillow-bilinear": "Pillow's BILINEAR, as torchvision",
    "opencv-linear": "OpenCV's INTER_LINEAR to one level, as Caffe",
}


def describe(
    source: Source, order: dict[str, list[Item]], settings: Settings, identity: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """What dataset.json holds; the tables, the statistics and the lists of the set are in `folder`.

    Raises:
        InputError: no training picture could be used.
    """
    splits: dict[str, Any] = {}
    sums = Sums.zero(source.size)
    digests: dict[str, np.ndarray] = {}
    labels: dict[str, np.ndarray] = {}
    rejected = list(source.rejected)
    for split, items in order.items():
        paths = _shards(folder / split, len(items), settings)
        records = [_record(path) for path in paths]
        splits[split] = _tables(folder / split, records, settings)
        digests[split] = np.concatenate([record.digests for record in records])
        labels[split] = np.concatenate([record.labels for record in records])
        for path, record in zip(paths, records, strict=True):
            rejected += record.rejected
            sums.merge(packing.read_sums(path))
    if not sums.count:
        raise InputError(f"No training picture of {source.root} could be used; the first: {_first(sorted(rejected))}.")
    identical, in_splits, in_classes = _identical(digests, labels, folder)
    mean, covariance = sums.statistics()
    tensors = {"mean": torch.from_numpy(mean), "covariance": torch.from_numpy(covariance)}
    files.write_bytes(folder / "statistics.safetensors", save(tensors))
    files.write_csv(folder / "rejected.csv", ["path", "reason"], sorted(rejected))
    files.write_csv(folder / "identical.csv", ["picture", "split", "path"], identical)
    names = ("statistics.safetensors", "rejected.csv", "identical.csv")
    return {
        **identity,
        **_policies(source, settings),
        "classes": [{"name": c.name, "words": c.words} for c in source.classes],
        "splits": splits,
        "rejected": len(rejected),
        "identical": in_splits,
        # Absent where there is none, so that sets from before it was counted are the same sets.
        **({"contradicted": in_classes} if in_classes else {}),
        "files": {name: files.checksum(folder / name) for name in names},
    }


def _policies(source: Source, settings: Settings) -> dict[str, Any]:
    """How the pictures became what is stored."""
    return {
        "source": source.kind,
        "size": source.size,
        "encoding": settings.encoding,
        "geometry": settings.geometry,
        **({} if settings.filter == "area" else {"filter": settings.filter}),
        "orientation": settings.orientation,
        "colour": COLOUR,
        "resizing": None if source.decoded else RESIZING[settings.filter],
        "padding": list(GREY) if settings.geometry == "pad" and not source.decoded else None,
    }


def summary(prepared: PreparedSet) -> list[str]:
    """Sentences for the user: how many images there are, and what is wrong with them."""
    counts = ", ".join(f"{count:,} {split}" for split, count in prepared.counts.items())
    images = "image" if list(prepared.counts.values()) == [1] else "images"
    sentences = [f"{prepared.path}: {counts} {images} of {counted(len(prepared.classes), 'class', 'classes')}."]
    if prepared.rejected:
        path = prepared.path / "rejected.csv"
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            first = _first([(row[0], row[1]) for row in list(csv.reader(file))[1:2]])
        sentences.append(
            f"{counted(prepared.rejected, 'file was', 'files were')} refused, such as {first}: see {path}."
        )
    path = prepared.path / "identical.csv"
    if shared := prepared.description["identical"]:
        sentences.append(f"{counted(shared, 'picture is', 'pictures are')} in more than one split: see {path}.")
    if doubtful := prepared.description.get("contradicted", 0):
        sentences.append(
            f"{counted(doubtful, 'picture is', 'pictures are')} in more than one class, a label is wrong: see {path}."
        )
    for split in prepared.counts:
        present = set(np.unique(prepared.split(split).labels).tolist())
        absent = [c.name for label, c in enumerate(prepared.classes) if label not in present]
        if absent:
            sentences.append(
                f"{counted(len(absent), 'class has', 'classes have')} no image in {split}, such as {absent[0]}."
            )
    if "val" not in prepared.counts:
        sentences.append("There is no val: a recipe that watches validation needs one (--holdout 0.1).")
    return sentences


def _shards(folder: Path, items: int, settings: Settings) -> list[Path]:
    count = -(-items // settings.images_per_shard)
    return [folder / packing.shard_name(number, settings.encoding) for number in range(count)]


def _record(path: Path) -> Record:
    record = packing.read(path)
    if record is None:
        raise InputError(f"{path} has vanished meanwhile; repeat the command.")
    return record


def _tables(folder: Path, records: Sequence[Record], settings: Settings) -> dict[str, Any]:
    """A split's entry in dataset.json; its labels, paths and index are in `folder`."""
    names = ["labels.npy", "paths.txt"]
    arrays.write(folder / "labels.npy", np.concatenate([record.labels for record in records]))
    text = "".join(f"{path}\n" for record in records for path in record.paths)
    files.write_bytes(folder / "paths.txt", text.encode("utf-8", "surrogateescape"))
    if settings.encoding == "jpeg":
        arrays.write(folder / "index.npy", np.concatenate([record.places for record in records]))
        names.append("index.npy")
    return {
        "images": sum(len(record.labels) for record in records),
        "shards": [
            {
                "file": packing.shard_name(number, settings.encoding),
                "images": len(record.labels),
                "sha256": record.sha256,
            }
            for number, record in enumerate(records)
        ],
        "files": {name: files.checksum(folder / name) for name in names},
    }


def _identical(
    digests: dict[str, np.ndarray], labels: dict[str, np.ndarray], folder: Path
) -> tuple[list[tuple[str, ...]], int, int]:
    """(number of the picture, split, path) of every image whose pixels are in more than one split or class; and how
    many pictures are in several splits, and in several classes."""
    names, counts = list(digests), [len(found) for found in digests.values()]
    # Numbers alone, some dozen bytes an image: the paths are read only where something is found.
    splits, starts = np.repeat(np.arange(len(counts)), counts), np.cumsum([0, *counts])
    _, pictures = np.unique(np.concatenate(list(digests.values())), axis=0, return_inverse=True)
    pictures = pictures.reshape(-1)
    in_splits = _several(pictures, splits)
    in_classes = _several(pictures, np.concatenate(list(labels.values())))
    found = np.flatnonzero(np.isin(pictures, np.union1d(in_splits, in_classes)))
    if not len(found):
        return [], 0, 0
    paths = {name: (folder / name / "paths.txt").read_bytes().split(b"\n") for name in names}
    rows = []
    for i in found.tolist():
        split = names[splits[i]]
        path = paths[split][i - int(starts[splits[i]])]
        rows.append((int(pictures[i]), split, path.decode("utf-8", "surrogateescape")))
    rows.sort()
    numbers = {number: str(place) for place, number in enumerate(sorted({row[0] for row in rows}), 1)}
    return [(numbers[number], split, path) for number, split, path in rows], len(in_splits), len(in_classes)


def _several(pictures: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Those of `pictures` (int64 `[N]`) that have more than one of the `values` (int64 `[N]`, from 0)."""
    kinds = int(values.max(initial=0)) + 1
    numbers, occurrences = np.unique(np.unique(pictures * kinds + values) // kinds, return_counts=True)
    found: np.ndarray = numbers[occurrences > 1]
    return found


def _first(rejected: Sequence[tuple[str, str]]) -> str:
    return f"{rejected[0][0]} ({rejected[0][1]})" if rejected else "there is none"
