"""An index by faiss for more vectors than are searched one by one, and how often it finds what is there to find.

Vectors are brought to 256 numbers by their principal components, kept as bytes, and divided among lists by the nearest
of some centres; a query looks through a sixteenth of the lists. What it names is compared exactly with the vectors
themselves.
"""

import importlib.util
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import files
from alexnet.errors import InputError
from alexnet.features.nearest import Neighbours, differences, nearest

MOST = 1_000_000
"""So many vectors are searched exactly unless it is asked otherwise."""
_DIMENSIONS = 256
_LEARNT = 1 << 16  # vectors that the components and centres are learnt from
_PER_CENTRE = 39  # fewer to a centre, and faiss warns
_LOOKED_THROUGH = 16  # one of so many lists, but so many lists at least
_NAMED = 20  # candidates for each neighbour asked for, compared exactly
_ASKED = 100  # vectors that the recall is measured with
_BLOCK = 1 << 13


def wanted(count: int) -> bool:
    """Whether so many vectors are searched by an index: there are more than `MOST`, and faiss is installed.

    Where it is not, it is told of.
    """
    if count <= MOST:
        return False
    if importlib.util.find_spec("faiss") is None:
        print(
            f"alexnet: {count:,} vectors are searched one by one; pip install 'alexnet[search]' brings an index.",
            file=sys.stderr,
        )
        return False
    return True


@dataclass(frozen=True, eq=False)
class Index:
    """An index in memory: opened once, it may be searched from many threads."""

    stored: np.ndarray
    """real `[N,d]`: the vectors that it is of; those that it names are read."""
    _lists: Any

    @classmethod
    def open(cls, path: Path, stored: np.ndarray) -> "Index":
        """The index in the file `path`, made where there is none, a damaged one, or one of other vectors.

        Its recall is told of on standard error: the share of the six nearest, of a hundred of the stored vectors, that
        it finds.

        Args:
            stored: real `[N,d]`, an array or a memory map; read in blocks.

        Raises:
            InputError: faiss is not installed.
        """
        faiss, mark = _faiss(), _mark(stored)
        lists, recall = _read(faiss, path, mark) or _made(faiss, path, mark, stored)
        print(
            f"alexnet: searched by index: it finds {recall['found']:.1%} of the {recall['count']} nearest of "
            f"{recall['queries']} of its own vectors; --search exact compares all.",
            file=sys.stderr,
        )
        return cls(stored, lists)

    def nearest(self, queries: np.ndarray, count: int) -> Neighbours:
        """The `count` nearest stored vectors that the index names to each of real `[Q,d]`, at their exact distances.

        Raises:
            InputError: the vectors have another length, or a value is not finite.
        """
        if queries.ndim != 2 or queries.shape[1] != self.stored.shape[1]:
            raise InputError(
                f"queries {list(queries.shape)} and stored vectors {list(self.stored.shape)} need one length."
            )
        if not np.isfinite(queries).all():
            raise InputError("a vector has a value that is not finite; only finite ones have neighbours.")
        return _named(self._lists, queries, self.stored, count)


def _note(path: Path) -> Path:
    """Beside the index: which vectors it is of, and its recall."""
    return path.with_name(path.name + ".json")


def _read(faiss: Any, path: Path, mark: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """The index with its recall, or nothing where there is none of these vectors that can be read."""
    if not path.is_file() or not _note(path).is_file():
        return None
    try:
        note = files.read_json(_note(path))
        if note["vectors"] != mark:
            return None
        recall = {name: note["recall"][name] + 0 for name in ("queries", "count", "found")}  # numbers
        return faiss.read_index(str(path)), recall
    except (InputError, KeyError, TypeError, RuntimeError, MemoryError):  # the last two are faiss's
        return None


def _made(faiss: Any, path: Path, mark: dict[str, Any], stored: np.ndarray) -> tuple[Any, dict[str, Any]]:
    print(f"alexnet: making an index of {len(stored):,} vectors in {path}.", file=sys.stderr)
    lists = _build(faiss, stored)
    with files.write_aside(path) as aside:
        faiss.write_index(lists, str(aside))
    recall = _recall(lists, stored)
    files.write_json(_note(path), {"vectors": mark, "recall": recall})
    return lists, recall


def _faiss() -> Any:
    try:
        with warnings.catch_warnings():
            # SWIG's types lack a __module__, of which Python complains.
            warnings.simplefilter("ignore", DeprecationWarning)
            import faiss
    except ImportError:
        raise InputError("an index needs faiss: pip install 'alexnet[search]'; --search exact does without.") from None
    return faiss


def _build(faiss: Any, stored: np.ndarray) -> Any:
    count, length = stored.shape
    random = np.random.default_rng(0)
    sample = np.sort(random.permutation(count)[:_LEARNT])
    learnt = np.ascontiguousarray(stored[sample], np.float32)
    lists = 1 << max(0, int(np.log2(max(1, min(4 * count**0.5, len(learnt) / _PER_CENTRE)))))
    smaller = f"PCA{_DIMENSIONS}," if length > _DIMENSIONS and len(learnt) > _DIMENSIONS else ""
    index = faiss.index_factory(length, f"{smaller}IVF{lists},SQ8")
    index.train(learnt)
    for start in range(0, count, _BLOCK):
        index.add(np.ascontiguousarray(stored[start : start + _BLOCK], np.float32))
    faiss.extract_index_ivf(index).nprobe = max(min(lists, _LOOKED_THROUGH), lists // _LOOKED_THROUGH)
    return index


def _named(index: Any, queries: np.ndarray, stored: np.ndarray, count: int) -> Neighbours:
    """The nearest of those that the index names."""
    keep = min(count, len(stored))
    indices, distances = np.empty((len(queries), keep), np.int64), np.empty((len(queries), keep))
    _, named = index.search(np.ascontiguousarray(queries, np.float32), min(len(stored), _NAMED * keep))
    for number, row in enumerate(named):
        places = np.sort(row[row >= 0])
        if len(places) < keep:  # the lists looked through hold too few
            places = np.arange(len(stored))
        exact = differences(queries[number], stored, places)
        best = np.lexsort((places, exact))[:keep]
        indices[number], distances[number] = places[best], exact[best]
    return Neighbours(indices, distances)


def _recall(index: Any, stored: np.ndarray) -> dict[str, Any]:
    """Of how many of its own vectors it finds which share of their nearest, themselves not counted."""
    asked = np.sort(np.random.default_rng(1).permutation(len(stored))[:_ASKED])
    count = min(6, len(stored) - 1)
    queries = np.asarray(stored[asked])
    exact, named = nearest(queries, stored, count + 1).indices, _named(index, queries, stored, count + 1).indices
    shares = [
        len(({*a} & {*b}) - {own}) / max(1, len({*a} - {own})) for a, b, own in zip(exact, named, asked, strict=True)
    ]
    return {"queries": len(asked), "count": count, "found": float(np.mean(shares))}


def _mark(stored: np.ndarray) -> dict[str, Any]:
    """What tells whether an index is of these vectors, without reading them all."""
    some = np.ascontiguousarray(stored[np.linspace(0, len(stored) - 1, 64).astype(int)], np.float64)
    return {"shape": list(stored.shape), "type": str(stored.dtype), "some": some.sum(1).tolist()}
