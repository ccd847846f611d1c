"""What `similarity` compares: folders of features, runs that are shown a source, and files of measured responses.

What can be known of them is asked before anything is computed.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import arrays, devices
from alexnet.config import nearest
from alexnet.errors import InputError, counted
from alexnet.evaluation import classifier_file
from alexnet.features.embed import opened, passing, wanted
from alexnet.features.folder import Features
from alexnet.model.network import facts


@dataclass(frozen=True, eq=False)
class Given:
    """Features, or a run before it is shown the source."""

    path: Path
    """As it was given."""
    stages: tuple[str, ...]
    """Of those asked for, those that it has."""
    features: Features | None
    shown: Any = None
    """Of a run: the source's kind and fingerprint, and `images`, which it holds at most."""

    @property
    def name(self) -> str:
        """What its sets are called by, where there are others."""
        return self.path.name if self.path.is_dir() else self.path.stem


def given(
    features: Sequence[str | Path], stages: str | Sequence[str], source: str | Path | None, split: str | None
) -> list[Given]:
    """What there is, with each stage where it exists.

    Raises:
        InputError: one is neither features nor a run, or has none of the stages; the source cannot be shown; or the
            images differ, as far as that is known.
    """
    asked = [stages] if isinstance(stages, str) else list(stages)
    found = [_given(Path(one), asked, source, split) for one in features]
    missing = [name for name in asked if not any(name in one.stages for one in found)]
    if found and missing:
        raise InputError(f"there is no stage {missing[0]!r} in any of them.")
    require_same_images([one for one in found if one.features is not None])
    for pair in combinations(found, 2):
        mine, theirs = (_source(each) for each in pair)
        if mine.get("kind") == theirs.get("kind") and mine != theirs:
            raise InputError(
                f"the images differ: {pair[0].path} and {pair[1].path} are of two sources; embed the same for both."
            )
    return found


def _given(path: Path, asked: Sequence[str], source: str | Path | None, split: str | None) -> Given:
    features, shown = None, None
    if (path / "features.json").is_file():
        features = Features.open(path)
        there = usual = features.stages
    elif source is None:
        raise InputError(f"{path} is no folder of features; a run wants --source, the pictures to show it.")
    else:
        described, _ = classifier_file.read(classifier_file.find(path))
        there, usual = tuple(fact.name for fact in facts(described.network)), tuple(wanted((), described.network))
    chosen = tuple(name for name in asked if name in there) if asked else usual
    if not chosen:
        near = nearest(asked[0], there) if len(asked) == 1 else ""
        raise InputError(f"{path} has no stage {' or '.join(map(repr, asked))}{near}; it has {', '.join(there)}.")
    if features is None and source is not None:
        stimuli = opened(source, split, None, False, described, devices.choose("cpu"))
        shown = {**stimuli.described, "images": len(stimuli)}
    return Given(path, chosen, features, shown)


@contextmanager
def embedded(
    found: Sequence[Given], source: str | Path | None, split: str | None, device: str
) -> Iterator[list[tuple[Given, Features]]]:
    """Each with its features; those of runs are in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="alexnet-similarity-") as folder:
        made = []
        for number, one in enumerate(found):
            if one.features is None and source is not None:
                place = Path(folder) / str(number)
                one = replace(one, features=passing(one.path, source, place, one.stages, split, device))
            assert one.features is not None
            made.append((one, one.features))
        require_same_images([one for one, _ in made])
        yield made


def require_rows(found: Sequence[Given], measured: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Nothing, if what was measured has a row for each image, as far as the images are known.

    Raises:
        InputError: one has another number of rows.
    """
    counts = [(one.name, len(one.features)) for one in found if one.features is not None]
    most = [(one.name, one.shown["images"]) for one in found if one.shown]
    counts += [(name, len(array)) for name, array in zip(names, measured, strict=True)]
    for name, rows in counts[1:]:
        if rows != counts[0][1]:
            raise InputError(f"{name} has {rows:,} rows, {counts[0][0]} has {counts[0][1]:,}: a row an image.")
    for run, images in most:
        if counts and counts[0][1] > images:
            raise InputError(f"{counts[0][0]} has {counts[0][1]:,} rows, {run} is shown {counted(images, 'image')}.")


def require_same_images(given: Sequence[Given]) -> None:
    """Nothing, if all rows are of the same images in the same order.

    Names alone tell that only between a folder and the prepared set made of it: all arrays, and many folders, name
    their images 0, 1, 2.
    """
    for pair in combinations(given, 2):
        (mine, one), (theirs, two) = ((_source(each), _rows(each)) for each in pair)
        if one != two:
            place = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
            shown = [f"{each.path} has {_at(each, place)}" for each in pair]
            raise InputError(
                f"the images differ: in row {place} {shown[0]} and {shown[1]}; embed the same source for both."
            )
        if mine.get("kind") == theirs.get("kind") and mine != theirs:
            raise InputError(
                f"the images differ: those of {pair[0].path} and {pair[1].path} have the same names, and other "
                "content; embed the same source for both."
            )


def _source(given: Given) -> dict[str, Any]:
    """What tells a source from others, wherever it lies."""
    described = given.features.described["source"] if given.features is not None else given.shown
    return {name: value for name, value in described.items() if name not in ("path", "images")}


def _rows(given: Given) -> tuple[str, ...]:
    """The rows' images within their source; an array's name is not theirs."""
    assert given.features is not None
    is_array = _source(given).get("kind") == "array"
    paths = given.features.paths
    return tuple(path[path.rindex("[") :] for path in paths) if is_array else paths


def _at(given: Given, row: int) -> str:
    assert given.features is not None
    return given.features.paths[row] if row < len(given.features) else "nothing"


def responses(path: str | Path) -> np.ndarray:
    """real `[N, ...]`, memory-mapped."""
    array = arrays.mapped(path)
    if array.ndim < 2 or array.dtype.kind not in "fiub":
        raise InputError(
            f"{path} is {array.dtype} {list(array.shape)}; measured responses are an array of numbers, a row an image."
        )
    return array
