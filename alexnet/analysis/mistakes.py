"""The page of errors: suspected wrong labels, and the worst pictures of each class."""

import io
from collections.abc import Callable

import matplotlib
import numpy as np
import PIL.Image
import torch
from torch import Tensor

from alexnet.analysis import page
from alexnet.data.shards import Shards
from alexnet.errors import counted
from alexnet.evaluation.evaluate import Evaluation

Evidence = Callable[[Tensor, list[int]], np.ndarray]
"""Where the evidence for a label lies: float32 `[n,S,S]`, 0 or more, of images uint8 `[n,3,S,S]` and their labels."""

_SUSPECTED = 24
_CLASSES = 40
_EACH = 4  # of a class
_SIDE = 160  # pixels of a picture on the page, which is then a few megabytes at most
_BATCH = 32


def mistakes(evaluation: Evaluation, shards: Shards, evidence: Evidence | None = None) -> bytes:
    """The page, HTML in one file: first up to 24 suspected wrong labels, then up to 4 pictures of up to 40 classes.

    Args:
        shards: the split that was evaluated.
        evidence: beside each picture, where the evidence for the answer lies.
    """
    suspects = suspected(evaluation)
    worst = _worst(evaluation)
    wrong = int((evaluation.answers != evaluation.labels).sum())
    places = [*suspects[:_SUSPECTED], *(place for places in worst.values() for place in places)]
    cards = _cards(evaluation, shards, places, evidence)
    parts = [page.note("No picture is answered wrongly.")] if not wrong else []
    parts += [
        page.heading("Suspected wrong labels"),
        page.note(
            "A label is suspected where the answer is another class and at least as probable as the pictures of that "
            "class find it on average (confident learning, Northcutt et al. 2021); the surest come first. Many are "
            "the network's own errors: look before a label is changed."
        ),
        page.note(f"{_first(len(suspects), _SUSPECTED)} suspected."),
        page.gallery([cards[place] for place in suspects[:_SUSPECTED]]),
        page.heading("The worst of each class"),
        page.note(
            f"Up to {_EACH} pictures a class, those of the highest loss; the classes with the highest share of errors "
            f"first{f', the first {_CLASSES}' if len(worst) == _CLASSES else ''}."
        ),
    ]
    for label, positions in worst.items():
        parts += [page.subheading(_told(evaluation, label)), page.gallery([cards[place] for place in positions])]
    models = f", {evaluation.models} classifiers averaged" if evaluation.models > 1 else ""
    shown = f"{evaluation.views} view{'' if evaluation.views == 'centre' else 's'}{models}"
    of = f" of {evaluation.split}" if evaluation.split else ""
    return page.page("Errors", f"{wrong:,} wrong of {counted(evaluation.images, 'image')}{of}, {shown}", parts)


def suspected(evaluation: Evaluation) -> list[int]:
    """Positions of the images whose label may be wrong, the surest first.

    The answer is another class j, at least as probable as j is on average on the images labelled j; they are in the
    order of the answer's probability less the label's. (Northcutt, Jiang and Chuang, JAIR 2021, for the best class.)
    """
    assert evaluation.confidences is not None
    own = (-evaluation.losses).exp()
    sums = torch.bincount(evaluation.labels, weights=own, minlength=len(evaluation.classes))
    usual = sums / evaluation.class_images  # not a number without images: then nothing is suspected
    margin = evaluation.confidences - own
    found = (evaluation.answers != evaluation.labels) & (evaluation.confidences >= usual[evaluation.answers])
    found &= margin > 0
    order = margin.argsort(descending=True, stable=True)
    return [int(place) for place in order[found[order]]]


def _worst(evaluation: Evaluation) -> dict[int, list[int]]:
    """Classes with errors, the highest share of them first, and the positions of each one's highest losses."""
    wrong = torch.nonzero(evaluation.answers != evaluation.labels)[:, 0]
    order = wrong[evaluation.losses[wrong].argsort(descending=True, stable=True)].tolist()
    places: dict[int, list[int]] = {}
    for place in order:
        places.setdefault(int(evaluation.labels[place]), []).append(place)
    shares = (
        torch.bincount(evaluation.labels[wrong], minlength=len(evaluation.classes)) / evaluation.class_images
    ).tolist()
    labels = sorted(places, key=lambda label: (-shares[label], label))
    return {label: places[label][:_EACH] for label in labels[:_CLASSES]}


def _cards(
    evaluation: Evaluation, shards: Shards, places: list[int], evidence: Evidence | None
) -> dict[int, page.Card]:
    """The card of each position."""
    unique, found = sorted(set(places)), {}
    for start in range(0, len(unique), _BATCH):
        some = unique[start : start + _BATCH]
        images = shards.at(some)
        pixels = images.transpose(0, 2, 3, 1)
        answers = evaluation.answers[some].tolist()
        maps = evidence(torch.from_numpy(images), answers) if evidence else None
        for i, place in enumerate(some):
            pictures = [(_encoded(pixels[i]), "the picture")]
            if maps is not None:
                alt = f"where the evidence for {_words(evaluation, answers[i])} lies"
                pictures.append((_encoded(_lit(pixels[i], maps[i])), alt))
            found[place] = page.Card(pictures, *_lines(evaluation, place))
    return found


def _lines(evaluation: Evaluation, place: int) -> tuple[str, tuple[str, ...], str]:
    """(the heading, further lines, the file) of a card."""
    assert evaluation.confidences is not None
    label, answer = int(evaluation.labels[place]), int(evaluation.answers[place])
    sure, own = float(evaluation.confidences[place]), float((-evaluation.losses[place]).exp())
    lines = (f"answered {_words(evaluation, answer)}, {sure:.1%}", f"its label's probability: {own:.2g}")
    return f"labelled {_words(evaluation, label)}", lines, evaluation.paths[place]


def _told(evaluation: Evaluation, label: int) -> str:
    images = int(evaluation.class_images[label])
    wrong = int((evaluation.answers[evaluation.labels == label] != label).sum())
    return f"{_words(evaluation, label)}: {wrong:,} of {images:,} wrong ({wrong / images:.1%})"


def _words(evaluation: Evaluation, label: int) -> str:
    """A class's first words, with its name where that says more."""
    entry = evaluation.classes[label]
    first = (entry.words or entry.name).split(",")[0].strip()
    return first if first == entry.name else f"{first} ({entry.name})"


def _first(count: int, most: int) -> str:
    return f"The {most} surest of {count:,}" if count > most else f"{counted(count, 'picture')}"


def _lit(pixels: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """uint8 `[S,S,3]`: the picture, grey, under the map in colours whose opacity follows it."""
    share = evidence / max(float(evidence.max()), np.finfo(np.float32).tiny)
    grey = 64 + 0.75 * pixels.mean(2, keepdims=True)
    colour = 255 * matplotlib.colormaps["inferno"](share)[..., :3]
    opacity = 0.75 * share[..., None]
    mixed: np.ndarray = (grey * (1 - opacity) + colour * opacity).round()
    return mixed.astype(np.uint8)


def _encoded(pixels: np.ndarray) -> bytes:
    """A JPEG, small enough for the page; a PNG of a picture that is small already."""
    image, buffer = PIL.Image.fromarray(pixels), io.BytesIO()
    if image.width > _SIDE:
        image.resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX).save(buffer, "JPEG", quality=85)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()
