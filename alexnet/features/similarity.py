"""`similarity`: features of stages, seeds and recipes, and measured responses, compared by pairs."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import arrays, drawing, files, machine
from alexnet.errors import InputError, counted
from alexnet.features.embed import embed
from alexnet.features.folder import Features
from alexnet.features.similarity_measures import Compared, between, compared, compared_distances, memory, most_images

_GIB = 1 << 30
_ROUNDING = 1e-5  # of the largest dissimilarity: sums in float32
_NEARLY = 0.01  # of it; measured responses are not so by chance
_COUNTED = 14  # so many sets can have numbers in their cells


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
    measured: Mapping[str, str]
    """What each measured set was taken for, by its name: "responses" or "dissimilarities"."""

    def to_json(self) -> dict[str, Any]:
        """What `alexnet similarity --json` prints."""
        pairs = [
            {
                "one": one,
                "other": other,
                "rank_correlation": float(self.rank_correlations[i, j]),
                "cka": float(self.cka[i, j]) if np.isfinite(self.cka[i, j]) else None,
            }
            for i, one in enumerate(self.names)
            for j, other in enumerate(self.names)
            if i < j
        ]
        told = {"images": self.images, "names": list(self.names), "measured": dict(self.measured)}
        return {**told, "pairs": pairs}

    def figure(self) -> Figure:
        """Both matrices as squares of colour, 0..1 or, with a value below, -1..1; with numbers where there is room."""
        side = 2.2 + 0.5 * min(len(self.names), 20)
        drawn = drawing.figure(2 * side, side)
        panels = (("Dissimilarities, rank correlation", self.rank_correlations), ("Linear CKA", self.cka))
        for axes, (title, values) in zip(drawn.subplots(1, 2), panels, strict=True):
            drawing.title(axes, title)
            _cells(axes, values, self.names)
        drawn.supxlabel(f"{counted(self.images, 'image')}, the same for all", fontsize=8, color=drawing.MUTED)
        return drawn


def similarity(
    features: Sequence[str | Path],
    *,
    source: str | Path | None = None,
    split: str | None = None,
    stages: Sequence[str] = (),
    measured: Sequence[str | Path] = (),
    out: str | Path | None = None,
    device: str = "auto",
) -> Similarity:
    """How alike the responses are, by pairs: of each stage of each of `features`, and of what was measured.

    Of N images what is done once takes 48 N² bytes of memory, and each set 6 N²; blocks take 0.3 GB. 1 GB holds some
    3,490 images of two sets.

    Args:
        features: folders that `embed` wrote; or runs, classifier files and names of shipped ones, which are shown
            `source`, their features being kept only meanwhile.
        source: what runs are shown: a folder of pictures, a .npy file of images, or a prepared set.
        split: of a prepared set; val when not given.
        stages: those to compare; by default all that a folder has, and of a run the last that is rectified.
        measured: .npy files of responses `[N, channels]` to the same images in the same order; or of dissimilarities
            `[N,N]`, symmetric with zeros on the diagonal, up to a hundred-thousandth of the largest.
        out: a folder for similarity.csv, similarity.png, rank-correlations.npy, cka.npy and each set's dissimilarities.

    Raises:
        InputError: the images differ or are in another order, a file cannot be read, or there is too little memory.
    """
    with _opened(features, source, split, stages, device) as opened:
        _require_same_images(opened)
        chosen = [(one, name) for one in opened for name in (stages or one.stages)]
        sets = len(chosen) + len(measured)
        if sets < 2:
            raise InputError(
                "there is one set of responses; two are needed to compare: another stage (--stage), another FEATURES "
                "or RUN, or measured responses (--with)."
            )
        images = len(opened[0]) if opened else len(_measured(measured[0]))
        _require_memory(images, sets)
        names, kept, taken = _names(opened, chosen, measured), [], {}
        for name, each in zip(names, [*chosen, *measured], strict=True):
            responses = each[0].stage(each[1]) if isinstance(each, tuple) else _measured(each)
            if len(responses) != images:
                raise InputError(f"{name} has {len(responses):,} rows, {names[0]} has {images:,}: a row an image.")
            found, matrix = _compared(name, responses, not isinstance(each, tuple))
            kept.append(found)
            if not isinstance(each, tuple):
                taken[name] = "dissimilarities" if matrix is None else "responses"
            if out and matrix is not None:
                arrays.write(Path(out) / "dissimilarities" / f"{_safe(name)}.npy", matrix)
    result = Similarity(names, images, *between(kept), taken)
    if out:
        _write(Path(out), result)
    return result


@contextmanager
def _opened(
    given: Sequence[str | Path], source: str | Path | None, split: str | None, stages: Sequence[str], device: str
) -> Iterator[list[Features]]:
    """The features given, and those of runs, embedded into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="alexnet-similarity-") as folder:
        opened = []
        for number, one in enumerate(given):
            if (Path(one) / "features.json").is_file():
                opened.append(Features.open(one))
            elif source is None:
                raise InputError(f"{one} is no folder of features; a run wants --source, the pictures to show it.")
            else:
                place = Path(folder) / f"{number}" / Path(one).stem
                opened.append(embed(one, source, place, stages, split=split, device=device))
        yield opened


def _require_same_images(opened: Sequence[Features]) -> None:
    """Nothing, if all rows are of the same images in the same order.

    Names alone tell that only between a folder and the prepared set made of it: all arrays, and many folders, name
    their images 0, 1, 2.
    """
    for pair in combinations(opened, 2):
        (mine, one), (theirs, two) = ((_source(each), _rows(each)) for each in pair)
        if one != two:
            place = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
            shown = [f"{each.path} has {each.paths[place] if place < len(each) else 'nothing'}" for each in pair]
            raise InputError(
                f"the images differ: in row {place} {shown[0]} and {shown[1]}; embed the same source for both."
            )
        if mine.get("kind") == theirs.get("kind") and mine != theirs:
            raise InputError(
                f"the images differ: those of {pair[0].path} and {pair[1].path} have the same names, and other "
                "content; embed the same source for both."
            )


def _source(features: Features) -> dict[str, Any]:
    """What tells a source from others, wherever it lies."""
    return {name: value for name, value in features.described["source"].items() if name != "path"}


def _rows(features: Features) -> tuple[str, ...]:
    """The rows' images within their source; an array's name is not theirs."""
    is_array = features.described["source"].get("kind") == "array"
    return tuple(path[path.rindex("[") :] for path in features.paths) if is_array else features.paths


def _require_memory(images: int, sets: int) -> None:
    found = machine.memory()
    if found and memory(images, sets) > found.free:
        raise InputError(
            f"{counted(sets, 'set')} of responses to {images:,} images take {memory(images, sets) / _GIB:.1f} GiB to "
            f"compare, and {found.free / _GIB:.1f} are free: embed at most {most_images(found.free, sets):,} images."
        )


def _measured(path: str | Path) -> np.ndarray:
    """real `[N, ...]`, memory-mapped."""
    array = arrays.mapped(path)
    if array.ndim < 2 or array.dtype.kind not in "fiub":
        raise InputError(
            f"{path} is {array.dtype} {list(array.shape)}; measured responses are an array of numbers, a row an image."
        )
    return array


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


def _names(
    opened: Sequence[Features], chosen: Sequence[tuple[Features, str]], measured: Sequence[str | Path]
) -> tuple[str, ...]:
    """A name for each set, no two alike."""
    short = [one.path.name for one in opened]
    where = short if len({*short}) == len(short) else [f"{name}-{i}" for i, name in enumerate(short, start=1)]
    folder = {id(one): name for one, name in zip(opened, where, strict=True)}
    stages = [name if len(opened) == 1 else f"{folder[id(one)]} {name}" for one, name in chosen]
    names = [*stages, *(Path(path).stem for path in measured)]
    return tuple(name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.()-]+", "-", name)


def _write(out: Path, result: Similarity) -> None:
    columns = ["one", "other", "rank_correlation", "cka"]
    pairs = ([pair[column] for column in columns] for pair in result.to_json()["pairs"])
    files.write_csv(out / "similarity.csv", columns, pairs)
    arrays.write(out / "rank-correlations.npy", result.rank_correlations)
    arrays.write(out / "cka.npy", result.cka)
    drawing.save(result.figure(), out / "similarity.png")


def _cells(axes: Axes, values: np.ndarray, names: Sequence[str]) -> None:
    # A correlation below zero is no weaker version of none: red, and white between.
    signed = bool((values < 0).any())
    axes.imshow(values, cmap="RdBu" if signed else "Blues", vmin=-1 if signed else 0, vmax=1, interpolation="nearest")
    shown = [drawing.cut(name, 24) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(names)), shown, parse_math=False)
    axes.tick_params(colors=drawing.MUTED, labelcolor=drawing.INK, labelsize=7, length=0)
    for spine in axes.spines.values():
        spine.set_color(drawing.GRID)
    if len(names) <= _COUNTED:
        for (row, column), value in np.ndenumerate(values):
            text = f"{value:.2f}" if np.isfinite(value) else "–"
            ink = "white" if abs(value) > 0.6 else drawing.INK
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
