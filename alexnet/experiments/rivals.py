"""The rivals of the paper's tables, fitted to the bench's set and measured once; what they found is kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from alexnet import config, files
from alexnet.errors import InputError
from alexnet.experiments.bench import Bench

if TYPE_CHECKING:
    from alexnet.baselines.pipelines import Pipeline

Rival = Literal["fisher-vectors", "sparse-coding"]
_VERSIONS: dict[Rival, int] = {"fisher-vectors": 1, "sparse-coding": 1}  # of how each is fitted and measured
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
    from alexnet.baselines import fit, pipelines

    try:
        fit.require_packages()
    except InputError as error:
        return str(error)
    per_class = _per_class(bench, share)
    pipeline = _coarse(rival) if bench.budget.name == "smoke" else pipelines.named(rival)
    place = _place(bench, rival, pipeline, per_class)
    decides = [rival, config.to_json(pipeline), per_class, bench.prepared.fingerprint, bench.split]
    try:
        kept = bench.kept(rival, decides, lambda: _compute(bench, place, pipeline, per_class), _VERSIONS[rival])
    except InputError as error:  # a disk too small, told of after networks were trained, which stay in the table
        return str(error)
    bench.rivals.add(place)
    return Rivalled(kept["top1_errors"], float(kept["top5_error"]), int(kept["images"]))


def capped(bench: Bench, share: float = 1.0) -> bool:
    """Whether rivals are fitted to fewer images than that share of the training set has."""
    return bench.prepared.counts["train"] * share > _IMAGES


def _place(bench: Bench, rival: Rival, pipeline: "Pipeline", per_class: int | None) -> Path:
    """The folder beside the runs that a rival is fitted in."""
    name = f"{rival}-{config.digest(pipeline)}-{per_class or 'all'}-{bench.prepared.fingerprint[:8]}"
    return bench.runs / "rivals" / (name if _VERSIONS[rival] == 1 else f"{name}-{_VERSIONS[rival]}")


def _compute(bench: Bench, place: Path, pipeline: "Pipeline", per_class: int | None) -> dict[str, Tensor]:
    """What is kept of a rival, fitted in `place`."""
    from alexnet.baselines import fit

    bench.say(place.name)
    threads = bench.machine.threads
    baseline = fit.baseline(pipeline, bench.data, place, per_class=per_class, threads=threads)
    found = baseline.evaluate(bench.data, bench.split, threads=threads).evaluation
    images = files.read_json(place / "baseline.json")["images"]
    return {
        "top1_errors": found.top1_errors.double(),
        "top5_error": torch.tensor(found.top5_error, dtype=torch.float64),
        "images": torch.tensor(images),
    }


def _coarse(rival: Rival) -> "Pipeline":
    from alexnet.baselines.linear import Descent
    from alexnet.baselines.local_descriptors import Grid
    from alexnet.baselines.pipelines import FisherVectors, SparseCoding

    grid, descent = Grid(stride=32, scales=(0.5,)), Descent(epochs=2)
    if rival == "fisher-vectors":
        return FisherVectors(("sift",), grid, 1000, 8, 4, 2, ((1, 1),), descent)
    return SparseCoding(("sift",), grid, 1000, 16, 2, ((1, 1),), descent)


def _per_class(bench: Bench, share: float) -> int | None:
    """How many images of a class make that share of the set; None for all of them."""
    counts, classes = bench.prepared.counts["train"], len(bench.prepared.classes)
    if share == 1.0 and counts <= _IMAGES:
        return None
    return max(1, round(min(counts * share, _IMAGES) / classes))
