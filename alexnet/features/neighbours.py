"""`neighbours`: the images of a folder of features or codes whose vectors are nearest to those of other images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from alexnet import devices, drawing, files
from alexnet.data.decoding import Refused
from alexnet.data.folders import files_below
from alexnet.errors import InputError
from alexnet.evaluation import classifier_file
from alexnet.evaluation.classifier import Classifier
from alexnet.features import index, pictures
from alexnet.features.codes import Codes
from alexnet.features.embed import BATCH, configured, responses
from alexnet.features.folder import Features
from alexnet.features.hamming import hamming
from alexnet.features.nearest import Neighbours, nearest
from alexnet.features.stimuli import Showing, recorded

Method = Literal["auto", "exact", "index"]
"""How vectors are searched: all of them, or by an index; auto takes all of up to a million."""
Query = str | Path | np.ndarray
"""An image's file, a folder of such, or RGB uint8 `[H,W,3]`."""


@dataclass(frozen=True)
class Found:
    """The nearest to one image, or why there are none."""

    image: str
    """The path as it was given, or "image 1" for the first of those without a path."""
    neighbours: tuple[tuple[str, float], ...] = ()
    """(path, distance), the nearest first; paths are relative to the source of the features. Of codes the distance is
    the number of bits that differ, an int."""
    labels: tuple[str, ...] = ()
    """The classes of the neighbours; "" where there are none."""
    error: str | None = None
    """The reason, when the image could not be read."""

    def to_json(self) -> dict[str, Any]:
        """One line of `alexnet neighbours --json`."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        near = [{"path": path, "distance": distance} for path, distance in self.neighbours]
        return {"image": self.image, "neighbours": near}


def neighbours(
    features: str | Path,
    images: Query | Iterable[Query],
    k: int = 6,
    *,
    stage: str | None = None,
    method: Method = "auto",
    classifier: str | Path | None = None,
    out: str | Path | None = None,
    source: str | Path | None = None,
    device: str = "auto",
) -> list[Found]:
    """For each image its `k` nearest, by Euclidean distance, or by the bits in which codes differ.

    The images go the way that the features went: through the same classifier, its preprocessing and its lesions. An
    image that cannot be read has an error in place of neighbours.

    Args:
        features: a folder that `embed` or `codes` wrote.
        stage: which of several stages; of codes the stage is known.
        method: "exact" compares all vectors; "index" those that an index by faiss names (made once, beside the
            features), whose distances are then computed exactly; "auto" is exact up to a million vectors.
        classifier: where the classifier is now, if it has moved; its checksum must be the one recorded.
        out: a picture to write (.png, .svg or .pdf): each image with its nearest, as figure 4 on the right.
        source: for the picture: where the images of the features are now, if they have moved.

    Raises:
        InputError: features, classifier or source cannot be read, or are others than recorded; or `k` is below 1.
    """
    if k < 1:
        raise InputError(f"k is {k}; at least one neighbour is asked for.")
    opened, asked = _open(features), _below(images)
    name = _stage(opened, stage)
    if out:
        drawing.require_kind(Path(out))
    loaded = _classifier(opened, classifier, device)
    shown = recorded(opened.described["preprocessing"])
    rows, errors, first = _answered(loaded, shown, asked, name)
    found = _search(opened, name, rows, k, method)
    near = iter(zip(found.indices.tolist(), found.distances.tolist(), strict=True))
    results, drawn = [], []
    for number, (image, query) in enumerate(zip(_names(asked), asked, strict=True)):
        if number in errors:
            results.append(Found(image, error=errors[number]))
            continue
        places, distances = next(near)
        if isinstance(opened, Codes):
            distances = [int(each) for each in distances]
        paths = tuple((opened.paths[i], distance) for i, distance in zip(places, distances, strict=True))
        results.append(Found(image, paths, tuple(opened.labels[i] for i in places)))
        if number in first:
            drawn.append(pictures.Row(Path(image).name, _class(query, opened), first[number], places, distances))
    if out:
        read = pictures.reader(opened.described, opened.paths, shown, source)
        stored = pictures.Stored(opened.paths, opened.labels, _words(loaded), read, shown.crop)
        drawing.save(pictures.figure(drawn, stored, f"The nearest by {name}", _source(opened)), Path(out))
    return results


def _answered(
    classifier: Classifier, shown: Showing, asked: Sequence[Query], stage: str
) -> tuple[np.ndarray, dict[int, str], dict[int, np.ndarray]]:
    """The vectors `[Q,d]` of those that can be read; why others cannot, by place; the pixels of the first to be drawn.

    A block of images is in memory at a time.
    """
    parts, errors, first = list[np.ndarray](), dict[int, str](), dict[int, np.ndarray]()
    for start in range(0, len(asked), BATCH):
        block = {number: _pixels(image, shown) for number, image in enumerate(asked[start : start + BATCH], start)}
        errors |= {number: each for number, each in block.items() if isinstance(each, str)}
        good = {number: each for number, each in block.items() if isinstance(each, np.ndarray)}
        parts += [vectors(classifier, [*good.values()], stage)] if good else []
        first |= dict(islice(good.items(), pictures.DRAWN - len(first)))
    return np.concatenate(parts) if parts else vectors(classifier, [], stage), errors, first


def vectors(classifier: Classifier, pixels: Sequence[np.ndarray], stage: str) -> np.ndarray:
    """float32 `[Q,d]`: a stage's responses to images uint8 `[S,S,3]`, each as one vector."""
    parts = [np.empty((0, 0), np.float32)] if not pixels else []
    for start in range(0, len(pixels), BATCH):
        images = torch.from_numpy(np.stack(pixels[start : start + BATCH])).permute(0, 3, 1, 2)
        parts.append(responses(classifier, images, [stage])[stage].flatten(1).cpu().numpy())
    return np.concatenate(parts)


def _open(path: str | Path) -> Features | Codes:
    coded = (Path(path) / "codes.json").is_file()
    return Codes.open(path) if coded else Features.open(path)


def _words(classifier: Classifier) -> dict[str, str]:
    """What people call each class, by its name."""
    return dict(zip((entry.name for entry in classifier.classes), classifier.labels, strict=True))


def _class(query: Query, opened: Features | Codes) -> str:
    """The class in whose folder a query lies; "" where that is none of the stored images'."""
    folder = "" if isinstance(query, np.ndarray) else Path(query).absolute().parent.name
    return folder if folder in opened.labels else ""


def _source(opened: Features | Codes) -> str:
    """The foot of a figure."""
    described, measure = opened.described, "Euclidean distance"
    if isinstance(opened, Codes):
        measure = f"Codes of {opened.coder.bits} bits, by how many differ"
    lesions = "".join(f", {edit}" for edit in described["edit"])
    drawn = "" if described["untrained"] is None else f", untrained (seed {described['untrained']})"
    return (
        f"{measure}; {len(opened):,} images of {described['source']['path'] or 'an array'}; "
        f"classifier {described['classifier']['path']}{drawn}{lesions}."
    )


def _stage(opened: Features | Codes, stage: str | None) -> str:
    if isinstance(opened, Codes):
        if stage not in (None, opened.stage):
            raise InputError(f"{opened.path} holds codes of {opened.stage}, not of {stage}.")
        return opened.stage
    opened.stage(stage)  # raises where there is no such stage, or none was named among several
    return stage or opened.stages[0]


def _search(opened: Features | Codes, stage: str, queries: np.ndarray, count: int, method: Method) -> Neighbours:
    if isinstance(opened, Codes):
        if method == "index":
            raise InputError(f"{opened.path} holds codes, which are searched whole; --search is for features.")
        return hamming(
            opened.coder.encode(queries.reshape(len(queries), len(opened.coder.centre))), opened.packed, count
        )
    stored = opened.vectors(stage)
    queries = queries.reshape(len(queries), stored.shape[1])
    if method == "index" or (method == "auto" and index.wanted(len(stored))):
        return index.Index.open(opened.path / f"{stage}.faiss", stored).nearest(queries, count)
    return nearest(queries, stored, count)


def _classifier(opened: Features | Codes, moved: str | Path | None, device: str) -> Classifier:
    """The classifier that the features are of, asked as it was then."""
    recorded = opened.described["classifier"]
    file = classifier_file.find(moved) if moved is not None else Path(recorded["path"])
    if not file.is_file():
        raise InputError(f"{file}, the classifier of {opened.path}, is not there; --classifier says where it is now.")
    if files.checksum(file) != recorded["sha256"]:
        raise InputError(
            f"{file} is not the classifier that {opened.path} was embedded with: its checksum differs. --classifier "
            "names another file; or embed anew."
        )
    place, grey = devices.choose(device), opened.described["preprocessing"]["greyscale_as_is"]
    return configured(file, place, opened.described["untrained"], opened.described["edit"], grey)


def _below(images: Query | Iterable[Query]) -> list[Query]:
    """The images one by one, the visible files below a folder in its place."""
    if isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim == 3):
        images = [images]
    found: list[Query] = []
    for image in images:
        if isinstance(image, str | Path) and Path(image).is_dir():
            found += files_below(Path(image))
        else:
            found.append(image)
    if not found:
        raise InputError("there is no image to find neighbours of: the folders given hold no visible files.")
    return found


def _names(images: Sequence[Query]) -> list[str]:
    return [str(image) if isinstance(image, str | Path) else f"image {i}" for i, image in enumerate(images, start=1)]


def _pixels(image: Query, shown: Showing) -> np.ndarray | str:
    """uint8 `[S,S,3]`, or why there are none."""
    try:
        return shown.of_pixels(image) if isinstance(image, np.ndarray) else shown.of_file(Path(image).read_bytes())
    except Refused as refused:
        return refused.reason
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
