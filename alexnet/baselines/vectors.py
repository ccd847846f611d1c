"""Work over many pictures: on all cores, in order, a block at a time; vectors in a memory-mapped file that goes on."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from alexnet import files, randomness
from alexnet.baselines.local_descriptors import Grid, Kind, describe
from alexnet.baselines.pipelines import Pipeline, length, vector
from alexnet.data.shards import Shards
from alexnet.errors import InputError

BLOCK = 64  # pictures between two notes of how far the vectors are
SAMPLED = 1000  # pictures that a sample is drawn from, at most


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """Within the block torch, scikit-learn and numpy compute with so many threads."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


def blocks(
    shards: Shards, indices: np.ndarray, task: Callable[[np.ndarray, int], np.ndarray], threads: int
) -> Iterator[list[np.ndarray]]:
    """What `task(picture, index)` gives for each index, in their order, a block at a time.

    `picture` is uint8 `[3, S, S]`. Each picture is worked on by one thread alone, so the results do not depend on
    how many there are.
    """

    def one(index: int) -> np.ndarray:
        return task(shards.at([index])[0], index)

    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        try:
            for start in range(0, len(indices), BLOCK):
                yield list(pool.map(one, indices[start : start + BLOCK].tolist()))
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)


def sample(
    shards: Shards,
    indices: np.ndarray,
    kind: Kind,
    grid: Grid,
    count: int,
    seed: int,
    threads: int,
    progress: Callable[[int], object] = lambda _: None,
) -> np.ndarray:
    """float32 `[n, D]`, n at most about `count`: the same number of descriptors of each picture, drawn by `seed`.

    Of more than 1,000 pictures, 1,000 drawn by `seed` give them.
    """
    chosen = np.sort(indices[randomness.permutation(seed, "baseline pictures", 0, len(indices))[:SAMPLED]])
    each = -(-count // len(chosen))

    def task(picture: np.ndarray, index: int) -> np.ndarray:
        found, _ = describe(picture, kind, grid)
        drawn = randomness.permutation(seed, f"baseline {kind}", index, len(found))[:each]
        return found[torch.from_numpy(drawn)].numpy()

    parts = []
    for block in blocks(shards, chosen, task, threads):
        parts += block
        progress(len(block))
    return np.concatenate(parts)[:count]


def write(
    path: Path,
    shards: Shards,
    indices: np.ndarray,
    pipeline: Pipeline,
    kind: Kind,
    tensors: dict[str, torch.Tensor],
    threads: int,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Nothing; `path` holds float16 `[len(indices), length]`, a .npy array of the pictures' vectors.

    Beside it a file says how many are on the disk; repeated after a kill it goes on from there.

    Raises:
        InputError: the disk is too small.
    """
    note = path.with_suffix(".json")
    done = files.read_json(note)["images"] if note.exists() and path.exists() else 0
    shape = (len(indices), length(pipeline, kind))
    if not done:
        # Without its file the note would count the zeros of a new one as done.
        note.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        _require_room(path.parent, 2 * shape[0] * shape[1])
    mapped = (
        np.lib.format.open_memmap(path, "r+")
        if done
        else np.lib.format.open_memmap(path, "w+", dtype=np.float16, shape=shape)
    )
    progress(done)

    def task(picture: np.ndarray, index: int) -> np.ndarray:
        return vector(pipeline, kind, picture, tensors).numpy()

    for block in blocks(shards, indices[done:], task, threads):
        for row in block:
            mapped[done] = row
            done += 1
        mapped.flush()
        files.write_json(note, {"images": done})
        progress(len(block))


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(
            f"the vectors of all pictures need {size / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free; "
            "make room, or give --per-class."
        )


def read(path: Path) -> np.ndarray:
    """float16 `[N, D]`, memory-mapped."""
    mapped: np.ndarray = np.lib.format.open_memmap(path, "r")
    return mapped


def finished(path: Path, count: int) -> bool:
    """Whether `path` holds all `count` vectors."""
    note = path.with_suffix(".json")
    return path.exists() and note.exists() and bool(files.read_json(note)["images"] == count)


def first_of_each_class(labels: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """int64, sorted: the first `per_class` images of each class in an order drawn by `seed`; all when not given."""
    if per_class is None:
        return np.arange(len(labels))
    order = randomness.permutation(seed, "baseline", 0, len(labels))
    ordered = labels[order]
    places = (np.flatnonzero(ordered == label)[:per_class] for label in np.unique(labels))
    return np.sort(order[np.fromiter(itertools.chain.from_iterable(places), np.int64)])
