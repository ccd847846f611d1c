"""`baseline`: fits a pipeline to a prepared set, stage by stage, in a folder that a repeated command goes on with."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from alexnet import arrays, config, distributed, files, machine, randomness
from alexnet.baselines import linear, pipelines, vectors
from alexnet.baselines.fitted import Baseline
from alexnet.baselines.local_descriptors import Kind
from alexnet.baselines.pipelines import Name, Pipeline
from alexnet.data.shards import PreparedSet, Shards
from alexnet.errors import InputError

_HELD_OUT = 10  # one of so many training pictures is held out for the temperature

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Given a stage's name and its number of pictures, what is told of each number of them done."""


def baseline(
    pipeline: Name | Pipeline,
    data: str | Path,
    out: str | Path,
    *,
    per_class: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = lambda stage, total: nullcontext(lambda _: None),
) -> Baseline:
    """The rival fitted to the training split of the prepared set `data`, kept in the folder `out`.

    Stages, for each kind of descriptor: a sample of descriptors, what is learnt from it (projection and Gaussian
    mixture, or dictionary), the vectors of all pictures in a memory-mapped file, the scores of a held-out tenth (for
    the temperature of the probabilities), the classifiers of all pictures. Killed and repeated, it goes on with
    what is finished, to the same result; a finished one is opened. Vectors are deleted once they are used.

    Args:
        pipeline: "fisher-vectors", "sparse-coding", or settings of one's own.
        per_class: fit on the first so many pictures of each class in an order drawn by `seed`, not on all.
        threads: by default all cores this process may use. Of what was learnt from the sample the sums may differ in
            their last digits between numbers of threads; nothing else does.

    Raises:
        InputError: the packages of the extra are missing, `out` holds another baseline, or torchrun spread it.
    """
    distributed.require_alone("baseline")
    require_packages()
    prepared, out = PreparedSet.open(data), Path(out)
    settings = pipelines.named(pipeline) if isinstance(pipeline, str) else pipeline
    shards = prepared.split("train")
    chosen = vectors.first_of_each_class(shards.labels, per_class, seed)
    if len(chosen) < _HELD_OUT:
        raise InputError(
            f"{prepared.path} has {len(chosen)} training images to fit on; at least {_HELD_OUT} are needed."
        )
    _claim(out, _description(settings, prepared, per_class, seed, len(chosen)))
    if not (out / "fitted.json").exists():
        fitting = _Fitting(
            settings, shards, chosen, len(prepared.classes), out, seed, threads or machine.cores(), progress
        )
        with vectors.computing(fitting.threads):
            for kind in settings.channels:
                _channel(fitting, kind)
            _finish(fitting)
    return Baseline.open(out)


@dataclass(frozen=True, eq=False)
class _Fitting:
    pipeline: Pipeline
    shards: Shards
    indices: np.ndarray
    classes: int
    folder: Path
    seed: int
    threads: int
    progress: Progress

    @property
    def labels(self) -> np.ndarray:
        labels: np.ndarray = self.shards.labels[self.indices]
        return labels

    @property
    def held_out(self) -> np.ndarray:
        """bool: a tenth of the pictures, drawn by the seed."""
        places = randomness.permutation(self.seed, "baseline held out", 0, len(self.indices))
        return places < -(-len(self.indices) // _HELD_OUT)


def require_packages() -> None:
    """Nothing when the packages of the extra `baselines` are installed.

    Raises:
        InputError: one is not; the sentence says how to install it.
    """
    missing = [name for name in ("kornia", "skimage", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"baselines need the package {missing[0]}: pip install 'alexnet[baselines]'.")


def _description(
    pipeline: Pipeline, prepared: PreparedSet, per_class: int | None, seed: int, images: int
) -> dict[str, Any]:
    return {
        "pipeline": config.to_json(pipeline),
        "classes": [{"name": c.name, "words": c.words} for c in prepared.classes],
        "size": prepared.size,
        "data": prepared.fingerprint,
        "per_class": per_class,
        "seed": seed,
        "images": images,
    }


def _claim(out: Path, description: dict[str, Any]) -> None:
    """Nothing; `out` is this baseline's folder, without what a killed process was writing in it.

    Raises:
        InputError: it holds another one, or other files.
    """
    file = out / "baseline.json"
    if file.exists():
        found = config.difference(config.to_json(description), files.read_json(file))
        if found:
            name, ours, theirs = found[0]
            raise InputError(f"{out} holds another baseline ({name} is {theirs!r}, not {ours!r}); give another --out.")
        files.forget_parts(out)
    elif out.exists() and any(not path.match(f".{file.name}.*.part") for path in out.iterdir()):
        raise InputError(f"{out} is not empty and holds no baseline; give another --out.")
    else:
        files.write_json(file, config.to_json(description))
        files.forget_parts(out)


def _channel(fitting: _Fitting, kind: Kind) -> None:
    """Nothing; all stages of one kind of descriptor are finished."""
    folder, pipeline, count = fitting.folder / kind, fitting.pipeline, len(fitting.indices)
    classifier, scores = folder / "classifier.safetensors", folder / "held_out.safetensors"
    if classifier.exists() and scores.exists():
        _forget(folder)
        return
    folder.mkdir(exist_ok=True)
    files.forget_parts(folder)
    _learn(fitting, kind)
    written = folder / "vectors.npy"
    if not vectors.finished(written, count):
        tensors = pipelines.learnt(pipeline, folder)
        with _stage(fitting, kind, "vectors", count) as advance:
            places = (written, fitting.shards, fitting.indices)
            vectors.write(*places, pipeline, kind, tensors, fitting.threads, advance)
    mapped, held = vectors.read(written), fitting.held_out
    if not scores.exists():
        found = _descend(fitting, kind, "trial", mapped, np.flatnonzero(~held))
        blocks = [linear.scores(torch.from_numpy(np.array(mapped[i : i + 1])), found) for i in np.flatnonzero(held)]
        pipelines.save(scores, {"scores": torch.cat(blocks)})
    if not classifier.exists():
        found = _descend(fitting, kind, "classifier", mapped, np.arange(count))
        pipelines.save(classifier, {"weights": found.weights, "biases": found.biases})
    _forget(folder)


def _forget(folder: Path) -> None:
    """Nothing; what was large and is needed no more is deleted."""
    for name in ("sample.npy", "vectors.npy", "vectors.json"):
        (folder / name).unlink(missing_ok=True)


def _learn(fitting: _Fitting, kind: Kind) -> None:
    """Nothing; the sample and what is learnt from it are there."""
    folder, pipeline = fitting.folder / kind, fitting.pipeline
    sample = folder / "sample.npy"
    if not sample.exists():
        with _stage(fitting, kind, "sample", min(len(fitting.indices), vectors.SAMPLED)) as advance:
            drawn = vectors.sample(
                fitting.shards, fitting.indices, kind, pipeline.grid, pipeline.sample, fitting.seed, fitting.threads,
                advance,
            )  # fmt: skip
            arrays.write(sample, drawn)
    with _stage(fitting, kind, "model", 0):
        pipelines.learn(pipeline, np.load(sample), folder, fitting.seed)


def _descend(fitting: _Fitting, kind: Kind, stage: str, mapped: np.ndarray, rows: np.ndarray) -> linear.Linear:
    descent = fitting.pipeline.descent
    with _stage(fitting, kind, stage, len(rows) * descent.epochs) as advance:
        return linear.fit(mapped, fitting.labels, rows, fitting.classes, descent, fitting.seed, advance)


@contextmanager
def _stage(fitting: _Fitting, kind: Kind, stage: str, total: int) -> Iterator[Callable[[int], object]]:
    """What is told of each picture done; the seconds of the stage, over all calls, are noted when it ends or fails."""
    begun, computed = time.perf_counter(), time.process_time()
    try:
        with fitting.progress(f"{kind} {stage}", total) as advance:
            yield advance
    finally:
        note, name = fitting.folder / "timing.json", f"{kind} {stage}"
        known = files.read_json(note) if note.exists() else {}
        before = known.get(name, {"seconds": 0.0, "processor_seconds": 0.0})
        taken = {
            "seconds": round(before["seconds"] + time.perf_counter() - begun, 1),
            "processor_seconds": round(before["processor_seconds"] + time.process_time() - computed, 1),
            "threads": fitting.threads,
        }
        files.write_json(note, {**known, name: taken})


def _finish(fitting: _Fitting) -> None:
    """Nothing; the temperature and the error of the held-out tenth are written: the baseline is fitted."""
    found: list[Tensor] = [
        load_file(fitting.folder / kind / "held_out.safetensors")["scores"] for kind in fitting.pipeline.channels
    ]
    scores, labels = torch.stack(found).mean(0), torch.from_numpy(fitting.labels[fitting.held_out])
    files.write_json(
        fitting.folder / "fitted.json",
        {
            "temperature": linear.temperature(scores, labels),
            "held_out_error": float((scores.argmax(1) != labels).float().mean()),
            "held_out_images": len(labels),
        },
    )
