"""`similarity`: features of stages, seeds and recipes, and measured responses, compared by pairs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from alexnet import arrays, drawing, files, machine
from alexnet.errors import InputError, counted
from alexnet.features import similarity_figures as figures
from alexnet.features import similarity_sets as sets
from alexnet.features.folder import Features
from alexnet.features.similarity_measures import Compared, between, compared, compared_distances, memory, most_images
from alexnet.features.similarity_sets import Given

_GIB = 1 << 30
_ROUNDING = 1e-5  # of the largest dissimilarity: sums in float32
_NEARLY = 0.01  # of it; measured responses are not so by chance


@dataclass(frozen=True, eq=False)
class Similarity:
    """M sets of responses to the same N images, compared by pairs."""

    names: tuple[str, ...]
    """M: a stage, with its folder or run in front where there are several."""
    images: int
    rank_correlations: np.ndarray
    """float64 `[M,M]`: Spearman's correlation of the dissimilarities (one less the correlation of responses)."""
    cka: np.ndarray
    """float64 `[M,M]`: linear CKA; nan where a set has only dissimilarities."""
    debiased_cka: np.ndarray
    """float64 `[M,M]`: the same without its bias by few images."""
    measured: Mapping[str, str]
    """What each measured set was taken for, by its name: "responses" or "dissimilarities"."""
    source: str = ""
    """The images and the classifiers, in words."""
    absent: tuple[str, ...] = ()
    """Which of the stages asked for one of the features or runs lacks, a sentence each."""

    def to_json(self) -> dict[str, Any]:
        """What `alexnet similarity --json` prints."""
        pairs = [
            {
                "one": one,
                "other": other,
                "rank_correlation": float(self.rank_correlations[i, j]),
                "cka": _known(self.cka[i, j]),
                "debiased_cka": _known(self.debiased_cka[i, j]),
            }
            for i, one in enumerate(self.names)
            for j, other in enumerate(self.names)
            if i < j
        ]
        told = {"images": self.images, "names": list(self.names), "measured": dict(self.measured)}
        return {**told, "pairs": pairs}

    def figure(self) -> Figure:
        """The matrices as squares of colour, 0..1 or, with a value below, -1..1; with numbers where there is room."""
        panels = (
            ("Dissimilarities, rank correlation", self.rank_correlations),
            ("Linear CKA", self.cka),
            ("Linear CKA, debiased", self.debiased_cka),
        )
        return figures.measures(self.names, panels, f"{counted(self.images, 'image')}{self.source}.")


def similarity(
    features: str | Path | Sequence[str | Path],
    *,
    source: str | Path | None = None,
    split: str | None = None,
    stages: str | Sequence[str] = (),
    measured: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    device: str = "auto",
) -> Similarity:
    """How alike the responses are, by pairs: of each stage of each of `features`, and of what was measured.

    Of N images what is done once takes 48 N² bytes of memory, and each set 6 N²; blocks take 0.3 GB. 1 GB holds some
    3,490 images of two sets.

    Args:
        features: one or several: folders that `embed` wrote; or runs, classifier files and names of shipped ones, which
            are shown `source`, their features being kept only meanwhile.
        source: what runs are shown: a folder of pictures, a .npy file of images, or a prepared set.
        split: of a prepared set; val when not given.
        stages: one name or several, each compared where it exists; by default all that a folder has, and of a run the
            last that is rectified.
        measured: .npy files of responses `[N, channels]` to the same images in the same order; or of dissimilarities
            `[N,N]`, symmetric with zeros on the diagonal, up to a hundred-thousandth of the largest.
        out: a folder for similarity.csv, similarity.png, rank-correlations.npy, cka.npy, debiased-cka.npy and each
            set's dissimilarities, of at most eight sets drawn too.

    Raises:
        InputError: the images differ or are in another order, one of the features or runs has none of the stages, a
            file cannot be read, or there is too little memory. What can be known is said before anything is embedded.
    """
    features, measured = ([each] if isinstance(each, str | Path) else each for each in (features, measured))
    found = sets.given(features, stages, source, split)
    names, others = _names(found, measured), [sets.responses(path) for path in measured]
    _require_comparable(found, others, names)
    kept, taken, drawn = list[Compared](), dict[str, str](), list[np.ndarray]()
    with sets.embedded(found, source, split, device) as made:
        chosen = [features.stage(name) for one, features in made for name in one.stages]
        sets.require_rows([one for one, _ in made], others, names[len(chosen) :])
        for number, (name, responses) in enumerate(zip(names, [*chosen, *others], strict=True)):
            found_set, matrix = _compared(name, responses, number >= len(chosen))
            kept.append(found_set)
            if number >= len(chosen):
                taken[name] = "dissimilarities" if matrix is None else "responses"
            if out and matrix is not None:
                arrays.write(Path(out) / "dissimilarities" / f"{_safe(name)}.npy", matrix)
            if out and len(names) <= figures.DRAWN:
                drawn.append(figures.smaller(responses if matrix is None else matrix))
        images, told = len([*chosen, *others][0]), _told(made)
    asked = [stages] if isinstance(stages, str) else stages
    absent = tuple(f"{one.path} has no stage {name}" for one in found for name in asked if name not in one.stages)
    result = Similarity(names, images, *between(kept), taken, told, absent)
    if out:
        _write(Path(out), result, drawn)
    return result


def _require_comparable(found: Sequence[Given], measured: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Nothing, if there are two sets at least, their rows may agree, and comparing them has room in memory."""
    if len(names) < 2:
        raise InputError(
            "there is one set of responses; two are needed to compare: another stage (--stage), another FEATURES "
            "or RUN, or measured responses (--with)."
            if names
            else "there are no responses to compare: name FEATURES, or a RUN with --source, or measured ones (--with)."
        )
    sets.require_rows(found, measured, names[len(names) - len(measured) :])
    known = [len(one.features) for one in found if one.features is not None] + [len(array) for array in measured]
    _require_memory((known or [one.shown["images"] for one in found])[0], len(names))


def _require_memory(images: int, count: int) -> None:
    found = machine.memory()
    if found and memory(images, count) > found.free:
        raise InputError(
            f"{counted(count, 'set')} of responses to {images:,} images take {memory(images, count) / _GIB:.1f} GiB to "
            f"compare, and {found.free / _GIB:.1f} are free: embed at most {most_images(found.free, count):,} images."
        )


def _compared(name: str, array: np.ndarray, measured: bool) -> tuple[Compared, np.ndarray | None]:
    """What a set is compared by, and its dissimilarities; None where they are what was measured."""
    try:
        return (compared_distances(array), None) if measured and _is_distances(array) else compared(array)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _is_distances(array: np.ndarray) -> bool:
    """Whether these are dissimilarities; an InputError where they only nearly are."""
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        return False
    values = np.asarray(array, np.float64)
    largest = max(values.max(), -values.min())
    asymmetry, diagonal = float(np.abs(values - values.T).max()), float(np.abs(values.diagonal()).max())
    if max(asymmetry, diagonal) <= _ROUNDING * largest:
        return True
    if asymmetry <= _NEARLY * largest:
        raise InputError(
            f"a square matrix that is nearly symmetric (entries differ from those opposite by up to {asymmetry:.3g}, "
            f"the diagonal from 0 by up to {diagonal:.3g}) is neither responses nor dissimilarities: make it symmetric "
            "with zeros on the diagonal."
        )
    return False


def _names(found: Sequence[Given], measured: Sequence[str | Path]) -> tuple[str, ...]:
    """A name for each set, no two alike."""
    short = [one.name for one in found]
    where = short if len({*short}) == len(short) else [f"{name}-{i}" for i, name in enumerate(short, start=1)]
    stages = [
        stage if len(found) == 1 else f"{name} {stage}"
        for one, name in zip(found, where, strict=True)
        for stage in one.stages
    ]
    names = [*stages, *(f"measured {Path(path).stem}" for path in measured)]
    return tuple(name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names))


def _told(made: Sequence[tuple[Given, Features]]) -> str:
    """Where the images and the responses are from, in words."""
    if not made:
        return ", the same for all"
    networks = []
    for one, features in made:
        described = features.described
        words = [str(described.get("classifier", {}).get("path", "a classifier"))]
        words += [] if described.get("untrained") is None else [f"untrained (seed {described['untrained']})"]
        words += described.get("edit", [])
        networks.append((f"{one.name}: " if len(made) > 1 else "") + ", ".join(words))
    origin = made[0][1].described["source"].get("path")
    return f" of {origin or 'an array'}, the same for all; " + "; ".join(networks)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _safe(name: str) -> str:
    return re.sub(r"[^\w.()-]+", "-", name)


def _write(out: Path, result: Similarity, drawn: Sequence[np.ndarray]) -> None:
    columns = ["one", "other", "rank_correlation", "cka", "debiased_cka"]
    pairs = ([pair[column] for column in columns] for pair in result.to_json()["pairs"])
    files.write_csv(out / "similarity.csv", columns, pairs)
    arrays.write(out / "rank-correlations.npy", result.rank_correlations)
    arrays.write(out / "cka.npy", result.cka)
    arrays.write(out / "debiased-cka.npy", result.debiased_cka)
    drawing.save(result.figure(), out / "similarity.png")
    if drawn:
        source = f"{counted(result.images, 'image')}{result.source}."
        drawing.save(figures.dissimilarities(result.names, drawn, source), out / "dissimilarities.png")
