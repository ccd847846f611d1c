"""A fitted baseline: the folder opened, a picture's scores, and the errors on a split."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from alexnet import config, distributed, files, machine
from alexnet.baselines import linear, pipelines, vectors
from alexnet.baselines.linear import Linear
from alexnet.baselines.pipelines import Pipeline
from alexnet.data.shards import ClassName, PreparedSet
from alexnet.errors import InputError
from alexnet.evaluation import metrics
from alexnet.evaluation.evaluate import Evaluation


@dataclass(frozen=True, eq=False)
class Measured:
    """The errors of a baseline on a split, and what a picture took."""

    evaluation: Evaluation
    seconds_per_image: float
    """Of the clock, on `threads` threads, reading the picture included."""
    processor_seconds_per_image: float
    """Of all cores together; what remains of the time when the machine is busy with other work."""
    threads: int

    def to_json(self) -> dict[str, Any]:
        """What `alexnet evaluate` tells of a network; the view is the whole picture, the models are the channels."""
        return {
            **self.evaluation.to_json(),
            "views": "whole",
            "seconds_per_image": self.seconds_per_image,
            "processor_seconds_per_image": self.processor_seconds_per_image,
            "threads": self.threads,
        }


class Baseline:
    """A rival of the paper's network, fitted."""

    def __init__(
        self,
        pipeline: Pipeline,
        classes: tuple[ClassName, ...],
        size: int,
        temperature: float,
        channels: list[tuple[dict[str, Tensor], Linear]],
    ) -> None:
        """`channels` are, for each of the pipeline's kinds of descriptors, what it learnt and its classifiers."""
        self.pipeline = pipeline
        self.classes = classes
        self.size = size
        self.temperature = temperature
        self._channels = channels

    @classmethod
    def open(cls, folder: str | Path) -> "Baseline":
        """The baseline in `folder`.

        Raises:
            InputError: there is none, or it is not finished.
        """
        folder = Path(folder)
        if not (folder / "baseline.json").is_file():
            raise InputError(f"{folder} holds no baseline; `alexnet baseline fit NAME --data PREPARED --out {folder}`.")
        if not (folder / "fitted.json").is_file():
            raise InputError(f"{folder} is not finished: repeat its `alexnet baseline fit` command, which goes on.")
        description, fitted = files.read_json(folder / "baseline.json"), files.read_json(folder / "fitted.json")
        pipeline: Pipeline = config.from_json(Pipeline, description["pipeline"], str(folder / "baseline.json"))
        channels = []
        for kind in pipeline.channels:
            weights = load_file(folder / kind / "classifier.safetensors")
            channels.append((pipelines.learnt(pipeline, folder / kind), Linear(weights["weights"], weights["biases"])))
        classes = tuple(ClassName(c["name"], c["words"]) for c in description["classes"])
        return cls(pipeline, classes, description["size"], fitted["temperature"], channels)

    def scores(self, picture: np.ndarray) -> Tensor:
        """float32 `[K]`: the mean of the channels' scores. Their softmax, over the temperature, gives probabilities.

        Args:
            picture: uint8 `[3, S, S]`, RGB.
        """
        found = [
            linear.scores(pipelines.vector(self.pipeline, kind, picture, tensors)[None], classifier)[0]
            for kind, (tensors, classifier) in zip(self.pipeline.channels, self._channels, strict=True)
        ]
        return torch.stack(found).mean(0)

    def evaluate(
        self,
        data: str | Path,
        split: str = "val",
        *,
        threads: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Measured:
        """Errors and loss on a split of the prepared set `data`, one view: the whole picture.

        Args:
            threads: by default all cores this process may use. The numbers do not depend on it.
            progress: told the number of pictures of each block.

        Raises:
            InputError: there is no such split, or its pictures have another size, or classes that were not fitted.
        """
        distributed.require_alone("baseline")
        prepared, threads = PreparedSet.open(data), threads or machine.cores()
        shards = prepared.split(split)
        if shards.size != self.size:
            raise InputError(
                f"the set's images are {shards.size}×{shards.size}; the baseline was fitted to {self.size}."
            )
        labels = self._joined(prepared.classes)[torch.from_numpy(np.asarray(shards.labels, np.int64))]
        begun, parts = (time.perf_counter(), time.process_time()), []
        for block in vectors.blocks(shards, np.arange(len(shards)), lambda p, _: self.scores(p).numpy(), threads):
            parts += block
            progress(len(block))
        clock, processor = (
            now - then for now, then in zip((time.perf_counter(), time.process_time()), begun, strict=True)
        )
        scores = torch.from_numpy(np.stack(parts)) if parts else torch.empty(0, len(self.classes))
        figures = metrics.columns((scores / self.temperature).log_softmax(1), labels).double()
        seen = len(labels)
        loss, top1, top5 = (math.fsum(row) / seen if seen else math.nan for row in figures[:3].tolist())
        numbers = (loss, top1, top5, seen, "centre", len(self._channels))
        answers = scores.argmax(1)
        found = (labels, answers, figures[0], figures[1], figures[2])
        evaluation = Evaluation(*numbers, self.classes, *found, shards.paths)  # type: ignore[arg-type]
        told = {"path": str(Path(data).resolve()), "fingerprint": prepared.fingerprint}
        evaluation = replace(evaluation, split=split, data=told)
        return Measured(evaluation, clock / max(1, seen), processor / max(1, seen), threads)

    def _joined(self, classes: tuple[ClassName, ...]) -> Tensor:
        """int64: the baseline's label for each label of the set."""
        places = {entry.name: i for i, entry in enumerate(self.classes)}
        missing = [entry.name for entry in classes if entry.name not in places]
        if missing:
            raise InputError(f"the baseline was not fitted to the set's class {missing[0]!r}; fit one to this set.")
        return torch.tensor([places[entry.name] for entry in classes], dtype=torch.int64)
