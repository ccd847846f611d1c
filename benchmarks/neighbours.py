"""Queries a second of the exact search for neighbours beside faiss's flat index; a JSON line a number of queries.

The vectors are drawn: 50,000 of length 4096, rectified mixtures of 64 sources with noise, so that they have near and
far ones as relu7 of a trained network has. Both search the same float32 array in memory with the same threads and take
turns in one process; the figures are medians over the rounds, the first one left out: in it the vectors' lengths are
measured, which later searches know. Asked are one vector, 64 and 1,000 at once. `equal` is the share of neighbours on
which both agree: ours decide by differences in float64, faiss's by products in float32. `ratio` is ours over the
rival's: above 1 ours is faster.

    python benchmarks/neighbours.py [--vectors 50000] [--length 4096] [--queries 1 64 1000] [--rounds 5] [--threads 2]

It takes `pip install 'alexnet[search]'`.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch

from alexnet import devices, machine
from alexnet.features.nearest import Exact

COUNT = 6
SOURCES = 64
BLOCK = 4096


def draw(count: int, length: int, seed: int) -> np.ndarray:
    """float32 `[count, length]`."""
    mixing = np.random.default_rng(0).standard_normal((SOURCES, length), dtype=np.float32) / SOURCES**0.5
    random = np.random.default_rng([1, seed])
    out = np.empty((count, length), np.float32)
    for start in range(0, count, BLOCK):
        part = out[start : start + BLOCK]
        noise = random.standard_normal(part.shape, dtype=np.float32)
        np.maximum(random.standard_normal((len(part), SOURCES), dtype=np.float32) @ mixing + 0.3 * noise, 0, out=part)
    return out


def timed(search: Callable[[np.ndarray], np.ndarray], queries: np.ndarray) -> tuple[float, np.ndarray]:
    """Queries a second, and the places found."""
    begun = time.perf_counter()
    found = search(queries)
    return len(queries) / (time.perf_counter() - begun), found


def lines(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A line for each number of queries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import faiss
    devices.keep_pages()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    stored = draw(options.vectors, options.length, 0)
    index = faiss.IndexFlatL2(options.length)
    index.add(stored)
    exact = Exact(stored)
    for number in options.queries:
        queries = draw(number, options.length, 1)
        rates: list[tuple[float, float]] = []
        for round_ in range(options.rounds + 1):
            rival, theirs = timed(lambda some: index.search(some, COUNT)[1], queries)
            own, ours = timed(lambda some: exact.nearest(some, COUNT).indices, queries)
            rates += [(own, rival)] if round_ else []
        speed, rival = (statistics.median(values) for values in zip(*rates, strict=True))
        yield {
            **{"what": "neighbours", "vectors": options.vectors, "length": options.length, "queries": number},
            **{"k": COUNT, "cpu": machine.processor(), "threads": options.threads, "rounds": options.rounds},
            **{"rival_is": f"faiss {faiss.__version__} IndexFlatL2", "equal": round(float((ours == theirs).mean()), 5)},
            **{
                "unit": "queries/s",
                "ours": round(speed, 1),
                "rival": round(rival, 1),
                "ratio": round(speed / rival, 2),
            },
        }


def main() -> None:
    """Nothing; prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--queries", type=int, nargs="*", default=[1, 64, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=machine.cores())
    for line in lines(parser.parse_args()):
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
