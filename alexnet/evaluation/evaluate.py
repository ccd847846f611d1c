"""Errors of one classifier or an ensemble on a split, over any number of views and processes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet import arrays, distributed, files
from alexnet.data.loader import Loader
from alexnet.data.shards import ClassName
from alexnet.errors import InputError
from alexnet.evaluation import metrics
from alexnet.evaluation.classifier import Classifier, ViewsName

_BLOCK = 1 << 24  # values that travel between ranks at once
_MATRIX = 2000  # classes up to which the confusion matrix is written as a file of its own
_OTHERS = 5


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found; the same on every rank. Errors are fractions, the loss is in nats."""

    loss: float
    top1_error: float
    top5_error: float
    images: int
    views: ViewsName
    models: int
    classes: tuple[ClassName, ...]
    """K classes, in the order of the labels below: that of the first classifier."""
    labels: Tensor
    """int64 `[N]`, the true class of each image in stored order."""
    answers: Tensor
    """int64 `[N]`, the most probable class; the first of several."""
    losses: Tensor
    """float64 `[N]`."""
    top1_errors: Tensor
    """float64 `[N]`: 0 or 1, or between them where the maximum is shared."""
    top5_errors: Tensor
    """float64 `[N]`: likewise of the five most probable."""
    paths: Sequence[str]
    """The source path of each image."""
    probabilities: Tensor | None = None
    """float32 `[N, K]` if asked for."""
    confidences: Tensor | None = None
    """float64 `[N]`, the probability of each answer, where it is known."""
    split: str = ""
    """The name of the split, and the prepared set's "path" and "fingerprint", where they are known."""
    data: Mapping[str, str] | None = None
    edit: tuple[str, ...] = ()
    """The lesions that the classifiers answered with, as on the command line."""

    @property
    def top1_standard_error(self) -> float:
        """The standard error of `top1_error`, as of independent images."""
        return metrics.standard_error(self.top1_error, self.images)

    @property
    def always_one_error(self) -> float:
        """The top-1 error of always answering the class that has most images here."""
        return 1 - int(self.class_images.max()) / self.images if self.images else math.nan

    @property
    def confusion(self) -> Tensor:
        """int64 `[K, K]`: images of the row's class that were taken for the column's."""
        return metrics.confusion(self.labels, self.answers, len(self.classes))

    @property
    def class_images(self) -> Tensor:
        """int64 `[K]`: how many images each class has here."""
        return torch.bincount(self.labels, minlength=len(self.classes))

    @property
    def class_errors(self) -> Tensor:
        """float64 `[K]`: the top-1 error on each class; not a number for a class without images."""
        sums = torch.bincount(self.labels, weights=self.top1_errors, minlength=len(self.classes))
        return sums / self.class_images

    @property
    def answered(self) -> int:
        """How many different classes were answered: one is the mark of a network that learnt nothing."""
        return len(set(self.answers.tolist()))

    def to_json(self) -> dict[str, Any]:
        """The promised numbers by name; with the split, the set and `always_one_error` where they are known."""
        measured: dict[str, Any] = {}
        if self.data is not None:
            measured = {"split": self.split, "data": dict(self.data), "always_one_error": self.always_one_error}
        return {
            **measured,
            **({"edit": list(self.edit)} if self.edit else {}),
            "top1_error": self.top1_error,
            "top1_standard_error": self.top1_standard_error,
            "top5_error": self.top5_error,
            "loss": self.loss,
            "images": self.images,
            "views": self.views,
            "models": self.models,
        }


def evaluate(
    classifiers: Sequence[Classifier],
    loader: Loader,
    views: ViewsName = "centre",
    *,
    classes: Sequence[ClassName] | None = None,
    probabilities: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Evaluation:
    """Loss and errors on the loader's split: probabilities are averaged over views, then over classifiers.

    Loss and errors are of the averaged probabilities (sections 4.1 and 6.1; the authors' multiview test). Each image
    counts once at any world size, and the figures do not depend on how images are batched or shared but for the
    network's own rounding. Networks are left in the mode they were in.

    Args:
        classes: the set's classes in label order, joined to the classifiers' by name; without it labels are taken
            to be the first classifier's.
        probabilities: whether to keep them, float32 `[N, K]` in main memory.
        progress: told the number of images of each batch, those of other ranks included.

    Raises:
        InputError: the classifiers' classes differ, or the set has classes that they lack, or images of another size.
    """
    if not classifiers:
        raise InputError("evaluate needs at least one classifier.")
    first, shards = classifiers[0], loader.shards
    places = joined(first, classes)  # before the size: other classes cannot be mended by preparing anew
    for classifier in classifiers:
        require_size(classifier, shards.size)
    labels = places[torch.from_numpy(np.asarray(shards.labels, np.int64))]
    figures, answers, confidences, kept = _measured(classifiers, loader, labels, views, probabilities, progress)
    seen = int(figures[3].sum())
    loss, top1, top5 = (math.fsum(row) / seen if seen else math.nan for row in figures[:3].tolist())
    numbers = (loss, top1, top5, seen, views, len(classifiers))
    found = (labels, answers, figures[0], figures[1], figures[2])
    return Evaluation(*numbers, first.classes, *found, shards.paths, kept, confidences)


def _measured(
    classifiers: Sequence[Classifier],
    loader: Loader,
    labels: Tensor,
    views: ViewsName,
    probabilities: bool,
    progress: Callable[[int], object],
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Of all ranks' images: float64 `[4, N]`, `metrics.columns`, `[N]` answers, their probabilities, and all if asked.

    Each value stands at its image's place and is summed over images only once all are here, in stored order: so the
    figures do not depend on who computed them.
    """
    first, count = classifiers[0], len(labels)
    orders = [_order(first, other) for other in classifiers]
    figures, answers = torch.zeros(4, count, dtype=torch.float64), torch.zeros(count, dtype=torch.int64)
    confidences = torch.zeros(count, dtype=torch.float64)
    kept = torch.zeros(count, len(first.classes)) if probabilities else None
    for batch in loader.in_order():
        places = batch.indices.cpu()
        logs = _mean([c.log_probabilities(batch.images, views) for c in classifiers], orders)
        figures[:, places] = metrics.columns(logs, labels[places].to(logs.device)).cpu().double()
        answers[places] = logs.argmax(1).cpu()
        confidences[places] = logs.amax(1).exp().cpu().double()
        if kept is not None:
            kept[places] = logs.exp().cpu()
        progress(batch.count)
    device = first.network.devices[0]
    everything = None if kept is None else _from_all(kept, device)
    return _from_all(figures, device), _from_all(answers, device), _from_all(confidences, device), everything


def write(folder: Path, evaluation: Evaluation) -> None:
    """Nothing; `folder` holds the figures as files for other programs.

    evaluation.json; classes.csv (images, error and most frequent wrong answer of each class); images.csv (truth,
    answer and loss of each image, in stored order); up to 2,000 classes confusion.csv and confusion.npy (int64
    `[K,K]`, row truth, column answer); probabilities.npy (float32 `[N,K]`, rows as in images.csv, columns as in
    classes.csv) if they were kept.
    """
    files.write_json(folder / "evaluation.json", evaluation.to_json())
    names = [entry.name for entry in evaluation.classes]
    _write_classes(folder / "classes.csv", evaluation)
    values = (evaluation.labels, evaluation.answers, evaluation.losses)
    rows = zip(evaluation.paths, *(value.tolist() for value in values), strict=True)
    files.write_csv(
        folder / "images.csv",
        ["path", "class", "answer", "loss"],
        ([path, names[label], names[answer], f"{loss:.6g}"] for path, label, answer, loss in rows),
    )
    if len(names) <= _MATRIX:
        matrix = evaluation.confusion.numpy()
        arrays.write(folder / "confusion.npy", matrix)
        files.write_csv(
            folder / "confusion.csv",
            ["class", *names],
            ([name, *row] for name, row in zip(names, matrix.tolist(), strict=True)),
        )
    if evaluation.probabilities is not None:
        arrays.write(folder / "probabilities.npy", evaluation.probabilities.numpy())


def _mean(logs: list[Tensor], orders: list[Tensor | None]) -> Tensor:
    """The logarithm of the mean of probabilities, on the first one's device, in the first one's order of classes."""
    if len(logs) == 1:
        return logs[0]
    device = logs[0].device
    aligned = [
        (values if order is None else values.index_select(1, order.to(values.device))).to(device)
        for values, order in zip(logs, orders, strict=True)
    ]
    return torch.stack(aligned).logsumexp(0) - math.log(len(aligned))


def _from_all(values: Tensor, device: torch.device) -> Tensor:
    """`values` summed over ranks, each of which filled its own images and left zeros; in main memory."""
    if distributed.world() == 1:
        return values
    flat = values.flatten()
    place = device if device.type == "cuda" else torch.device("cpu")
    parts = [distributed.total(flat[i : i + _BLOCK].to(place)).cpu() for i in range(0, len(flat), _BLOCK)]
    return torch.cat([flat[:0], *parts]).view_as(values)


def _order(first: Classifier, other: Classifier) -> Tensor | None:
    """The column of `other` for each class of `first`; nothing when they are the same."""
    names, theirs = [c.name for c in first.classes], [c.name for c in other.classes]
    if names == theirs:
        return None
    if sorted(names) != sorted(theirs):
        apart = sorted(set(names) ^ set(theirs)) or sorted(names)
        raise InputError(
            f"the classifiers know different classes ({len(names)} and {len(theirs)}; not common: {_some(apart)}); "
            "only classifiers of the same classes can be averaged."
        )
    return torch.tensor([theirs.index(name) for name in names])


def joined(classifier: Classifier, classes: Sequence[ClassName] | None) -> Tensor:
    """int64: the classifier's label for each label of a set of these classes, joined by name.

    Raises:
        InputError: the set has classes that the classifier lacks.
    """
    places = {entry.name: i for i, entry in enumerate(classifier.classes)}
    if classes is None:
        return torch.arange(len(places))
    missing = [entry.name for entry in classes if entry.name not in places]
    if missing:
        raise InputError(
            f"the set has {len(missing)} of {len(classes)} classes that the classifier does not know: "
            f"{_some(missing)}; evaluate it on a set of its own classes, or `alexnet finetune` it to these."
        )
    return torch.tensor([places[entry.name] for entry in classes], dtype=torch.int64)


def require_size(classifier: Classifier, size: int) -> None:
    """Nothing where a set's images, `size` wide, are as large as the classifier's; else raises InputError."""
    own = classifier.size
    if own != size:
        raise InputError(
            f"the set's images are {size}×{size} and the classifier was trained on {own}×{own}: prepare the pictures "
            f"with --size {own}."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_OTHERS]) + (", ..." if len(names) > _OTHERS else "")


def _write_classes(path: Path, evaluation: Evaluation) -> None:
    names = [entry.name for entry in evaluation.classes]
    wrong: list[dict[int, int]] = [{} for _ in names]
    for label, answer in zip(evaluation.labels.tolist(), evaluation.answers.tolist(), strict=True):
        if label != answer:
            wrong[label][answer] = wrong[label].get(answer, 0) + 1
    rows = []
    figures = (evaluation.class_images.tolist(), evaluation.class_errors.tolist())
    for entry, images, error, others in zip(evaluation.classes, *figures, wrong, strict=True):
        taken = min(others, key=lambda other: (-others[other], other)) if others else None
        mistaken = ["", 0] if taken is None else [names[taken], others[taken]]
        rows.append([entry.name, entry.words, images, f"{error:.6f}" if images else "", *mistaken])
    files.write_csv(path, ["class", "words", "images", "top1_error", "most_mistaken_for", "times"], rows)
