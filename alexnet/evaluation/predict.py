"""The answers to files, folders and what comes on standard input."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
from torch import Tensor

from alexnet.data.folders import files_below
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier, Image, Prediction, ViewsName


def predict(
    run: str | Path,
    images: Image | Iterable[Image],
    top: int = 5,
    views: ViewsName = "centre",
    *,
    best: bool = False,
    device: str = "auto",
    abstain_below: float | None = None,
) -> Iterator[Prediction]:
    """A `Prediction` for each image, in order, as they are ready; one that cannot be read tells the reason.

    Args:
        run: a run folder or a classifier file.
        images: as `Classifier.predictions` takes them; besides, a folder's path stands for all visible files below
            it, links followed, in the order of their paths, and "-" for one image on standard input.
        top: how many labels an image.
        best: of a run folder, take the classifier at the lowest validation error.
        abstain_below: the probability, 0 to 1, that the best label must reach for an image not to count as
            `abstained`. A note on standard error tells of a classifier that was never calibrated.

    Raises:
        InputError: there is no such classifier, or no image, or `abstain_below` is no probability.
    """
    if abstain_below is not None and not 0 <= abstain_below <= 1:
        raise InputError(f"--abstain-below is {abstain_below}; it is a probability, from 0 to 1.")
    classifier = Classifier.load(run, device, best)
    if abstain_below is not None and classifier.temperature == 1:
        print(
            f"alexnet: {run} is not calibrated, so its probabilities may be far too high (or low) to decide by; "
            "`alexnet calibrate` comes first.",
            file=sys.stderr,
        )
    asked = [image for entry in _several(images) for image in _below(entry)]
    if not asked:
        raise InputError("there is no image to name: the folders given hold no visible files.")
    given = (sys.stdin.buffer.read() if _is_standard_input(image) else image for image in asked)
    for image, prediction in zip(asked, classifier.predictions(given, top, views), strict=True):
        name = "-" if _is_standard_input(image) else prediction.image
        unsure = None
        if abstain_below is not None and prediction.error is None:
            unsure = prediction.answers[0][1] < abstain_below
        yield replace(prediction, image=name, abstained=unsure)


def _several(images: Image | Iterable[Image]) -> list[Image]:
    if isinstance(images, str | Path | bytes | PIL.Image.Image):
        return [images]
    if isinstance(images, np.ndarray | Tensor):
        return [images] if images.ndim == 3 else list(images)
    return list(images)


def _below(image: Image) -> Iterator[Image]:
    """The visible files below `image` if it is a folder, else itself."""
    if not isinstance(image, str | Path) or not os.path.isdir(image):
        yield image
        return
    yield from map(str, files_below(Path(image)))


def _is_standard_input(image: Image) -> bool:
    return isinstance(image, str) and image == "-"
