"""The rivals of the paper's tables, fitted to the bench's set and measured once; what they found is kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from alexnet import files
from alexnet.errors import InputError
from alexnet.experiments.bench import Bench

Rival = Literal["fisher-vectors", "sparse-coding"]
_IMAGES = 130_000  # fitted to at most: half a megabyte each lies in a file meanwhile


@dataclass(frozen=True, eq=False)
class Rivalled:
    """What a rival found on the bench's split."""

    top1_errors: Tensor
    """float64 `[N]`: each image's."""
    top5_error: float
    images: int
    """Training images that it was fitted to."""


def measured(bench: Bench, rival: Rival, share: float = 1.0) -> Rivalled | str:
    """What `rival` found, fitted to that share of each class's training images; or why it could not be fitted.

    At the smoke budget its patches are few and its dictionary is small.
    """
    from alexnet.baselines import fit

    try:
        fit.require_packages()
    except InputError as error:
        return str(error)
    per_class = _per_class(bench, share)
    count = "all" if per_class is None else str(per_class)
    place = bench.runs / "rivals" / f"{rival}-{count}-{bench.prepared.fingerprint[:8]}"
    kept = place / f"errors-{bench.split}.npy"
    if not kept.is_file():
        _measure(bench, rival, per_class, place, kept)
    numbers = files.read_json(kept.with_suffix(".json"))
    return Rivalled(torch.from_numpy(np.load(kept)), numbers["top5_error"], numbers["fitted_to"])


def _measure(bench: Bench, rival: Rival, per_class: int | None, place: Path, kept: Path) -> None:
    """Nothing; the rival is fitted in the folder `place`, and its errors are in `kept` and beside it."""
    from alexnet.baselines import fit, pipelines
    from alexnet.baselines.linear import Descent
    from alexnet.baselines.local_descriptors import Grid
    from alexnet.baselines.pipelines import FisherVectors, SparseCoding

    pipeline = pipelines.named(rival)
    if bench.budget.name == "smoke":
        coarse, quick = Grid(stride=32, scales=(0.5,)), Descent(epochs=2)
        pipeline = (
            FisherVectors(("sift",), coarse, 1000, 8, 4, 2, ((1, 1),), quick)
            if rival == "fisher-vectors"
            else SparseCoding(("sift",), coarse, 1000, 16, 2, ((1, 1),), quick)
        )
    bench.say(place.name)
    threads = bench.machine.threads
    baseline = fit.baseline(pipeline, bench.data, place, per_class=per_class, threads=threads)
    found = baseline.evaluate(bench.data, bench.split, threads=threads).evaluation
    fitted_to = files.read_json(place / "baseline.json")["images"]
    files.write_json(kept.with_suffix(".json"), {"top5_error": found.top5_error, "fitted_to": fitted_to})
    with files.write_aside(kept) as aside, aside.open("wb") as file:
        np.save(file, found.top1_errors.numpy())


def _per_class(bench: Bench, share: float) -> int | None:
    """How many images of a class make that share of the set; None for all of them."""
    counts, classes = bench.prepared.counts["train"], len(bench.prepared.classes)
    if share == 1.0 and counts <= _IMAGES:
        return None
    return max(1, round(min(counts * share, _IMAGES) / classes))
