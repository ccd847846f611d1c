"""Where in a picture the evidence for a label lies: the input's gradient, and Grad-CAM."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import drawing
from alexnet.config import nearest
from alexnet.data.views import centre_view
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier, Image
from alexnet.model import rows
from alexnet.model.network import Network
from alexnet.model.rows import Field

_BATCH = 16  # pictures whose stages are in memory at once


@dataclass(frozen=True, eq=False)
class Evidence:
    """The best label of one picture, and where the evidence for it lies."""

    label: str
    probability: float
    map: np.ndarray
    """float32 `[S,S]`, 0..1, on the stored picture: Grad-CAM over its own largest value (all 0 where nothing speaks
    for the label)."""
    pixels: np.ndarray
    """uint8 `[S,S,3]`, the picture as it is stored."""


def evidence(classifier: Classifier, image: Image) -> Evidence:
    """The best label of `image` with its map of evidence, for a page or a program that asks about one picture.

    Raises:
        InputError: the image cannot be read, or the network has no maps.
    """
    images = classifier.pixels(image)
    probabilities = classifier.probabilities(images)[0]
    best = int(probabilities.argmax())
    found = grad_cam(classifier, images, [best])[0]
    scaled = found / max(float(found.max()), np.finfo(np.float32).tiny)
    return Evidence(classifier.labels[best], float(probabilities[best]), scaled, _picture(images[0]))


def gradient(classifier: Classifier, images: Tensor, labels: Sequence[int] | None = None) -> np.ndarray:
    """float32 `[N,S,S]`, 0 or more: how much a label's logit changes by a grey level more or less of each pixel.

    Of the three channels the largest absolute derivative is taken (Simonyan, Vedaldi and Zisserman 2013; the authors'
    `show-data-grad`). Beyond the centre view, which alone the network sees, it is 0.

    Args:
        images: uint8 `[N,3,S,S]`, as `Classifier.pixels` gives them.
        labels: N places in the classifier's classes; by default each image's most probable one.
    """
    maps = np.zeros((len(images), *images.shape[2:]), np.float32)
    for start, views, chosen in _views(classifier, images, labels):
        with _differentiating(classifier.network):
            views.requires_grad_()
            logits = classifier.network(views)
            slopes = torch.autograd.grad(logits.gather(1, _best(logits, chosen)[:, None]).sum(), views)[0]
        steps = slopes.float().cpu() * _per_grey_level(classifier, images[:1])
        edge = (images.shape[2] - classifier.views.crop) // 2
        inside = slice(edge, edge + classifier.views.crop)
        maps[start : start + len(views), inside, inside] = steps.abs().amax(1).numpy()
    return maps


def grad_cam(
    classifier: Classifier, images: Tensor, labels: Sequence[int] | None = None, stage: str | None = None
) -> np.ndarray:
    """float32 `[N,S,S]`, 0 or more: max(0, the sum over a stage's maps A_k of w_k A_k), on the stored pictures.

    w_k is the mean over positions of the derivative of the label's logit by A_k (Selvaraju et al. 2017). Between the
    centres of the positions' receptive fields it is interpolated linearly; beyond the centre view it is 0.

    Args:
        images: uint8 `[N,3,S,S]`, as `Classifier.pixels` gives them.
        labels: N places in the classifier's classes; by default each image's most probable one.
        stage: by default the last convolution's maps, rectified (`last_maps`).

    Raises:
        InputError: there is no such stage, or it has no maps.
    """
    network = classifier.network
    stage = stage or last_maps(network)
    field = rows.receptive_fields(network.rows, network.config.input)
    parts = []
    for _, views, chosen in _views(classifier, images, labels):
        maps, slopes = _maps_and_slopes(network, views, chosen, stage)
        if maps.ndim != 4:
            raise InputError(f"{stage} has no maps, so no places in the picture; {last_maps(network)} has.")
        parts.append((slopes.mean((2, 3), keepdim=True) * maps).sum(1).relu().float().cpu().numpy())
    small = np.concatenate(parts) if parts else np.zeros((0, 1, 1), np.float32)
    crop, side = classifier.views.crop, images.shape[2]
    weights = _interpolation(field[stage], small.shape[1], crop)
    full = np.zeros((len(images), side, side), np.float32)
    edge = (side - crop) // 2
    full[:, edge : edge + crop, edge : edge + crop] = weights @ small @ weights.T
    return full


def last_maps(network: Network) -> str:
    """The name of the last stage of maps whose places share weights, after its rectifier or tanh: relu5, say.

    Grad-CAM's one weight a map means little where every place has kernels of its own (local3 and local4).

    Raises:
        InputError: the network has no convolution.
    """
    found = ""
    for row in network.rows:
        if isinstance(row, rows.Dense | rows.LocallyConnected):
            break
        if isinstance(row, rows.Convolution | rows.Rectifier | rows.Tanh):
            found = row.name
    if not found:
        raise InputError("this network has no convolution, so no places in the picture.")
    return found


def named_class(classifier: Classifier, text: str) -> int:
    """The place of the class that has this name, or else alone has it among its words.

    Raises:
        InputError: there is none, or several have these words.
    """
    names = [entry.name for entry in classifier.classes]
    if text in names:
        return names.index(text)
    synonyms = [[word.strip().lower() for word in entry.words.split(",")] for entry in classifier.classes]
    found = [
        place
        for place, entry in enumerate(classifier.classes)
        if text.lower() in (entry.words.lower(), *synonyms[place])
    ]
    if len(found) > 1:
        raise InputError(f"several classes are called {text!r}; name one: {', '.join(names[i] for i in found)}.")
    if not found:
        known = [*names, *(word for words in synonyms for word in words)]
        raise InputError(f"the classifier has no class {text!r}{nearest(text, known)}.")
    return found[0]


def saliency(
    classifier: Classifier,
    images: Tensor,
    labels: Sequence[int] | None = None,
    names: Sequence[str] = (),
    stage: str | None = None,
) -> Figure:
    """A row a picture: the stored picture, the gradient of its label's logit, and Grad-CAM over the picture.

    The gradient is black from its 99.5th percentile on, Grad-CAM darkest at its own largest value; the frame is the
    centre view, all that the network sees.

    Args:
        images: uint8 `[N,3,S,S]`.
        labels: N places in the classifier's classes; by default each image's most probable one.
        names: the images' files, whose names are then shown.
        stage: Grad-CAM's; by default `last_maps`.
    """
    stage = stage or last_maps(classifier.network)
    probabilities = classifier.probabilities(images).cpu()
    chosen = probabilities.argmax(1).tolist() if labels is None else list(labels)
    slopes, cams = gradient(classifier, images, chosen), grad_cam(classifier, images, chosen, stage)
    figure = drawing.figure(7.2, 0.3 + 2.55 * len(images))
    grid = figure.subplots(len(images), 3, squeeze=False)
    for number, (axes, image) in enumerate(zip(grid, images, strict=True)):
        picture = _picture(image)
        label = drawing.words(classifier.labels[chosen[number]], 24)
        name = drawing.cut(names[number].rsplit("/", 1)[-1], 30) if names else "picture"
        titles = (name, f"gradient of “{label}” ({probabilities[number, chosen[number]]:.0%})", f"Grad-CAM at {stage}")
        for part, text in zip(axes, titles, strict=True):
            drawing.bare(part).set_title(text, fontsize=8, color=drawing.INK, pad=4, parse_math=False)
        axes[0].imshow(picture)
        top = max(float(np.percentile(slopes[number], 99.5)), np.finfo(np.float32).tiny)
        axes[1].imshow(slopes[number], cmap="Greys", vmin=0, vmax=top)
        _overlaid(axes[2], picture, cams[number])
        for part in axes:
            _framed(part, len(picture), classifier.views.crop)
    return figure


def _overlaid(axes: Axes, picture: np.ndarray, cam: np.ndarray) -> None:
    """The picture, grey and lighter, under the map in colours whose opacity follows it."""
    grey = np.repeat(picture.mean(2, keepdims=True), 3, 2) / 255
    axes.imshow(0.3 + 0.7 * grey, vmin=0, vmax=1)
    share = cam / max(float(cam.max()), np.finfo(np.float32).tiny)
    axes.imshow(share, cmap="YlOrRd", vmin=0, vmax=1, alpha=0.85 * np.sqrt(share))


def _framed(axes: Axes, side: int, crop: int) -> None:
    edge = (side - crop) // 2 - 0.5
    axes.plot(
        [edge, edge + crop, edge + crop, edge, edge],
        [edge, edge, edge + crop, edge + crop, edge],
        color=drawing.ORANGE,
        linewidth=0.7,
    )
    axes.set_xlim(-0.5, side - 0.5)
    axes.set_ylim(side - 0.5, -0.5)


def _picture(image: Tensor) -> np.ndarray:
    """uint8 `[S,S,3]`."""
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())


def _views(
    classifier: Classifier, images: Tensor, labels: Sequence[int] | None
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """(first position, centre views, labels), some images at a time."""
    device = classifier.network.devices[0]
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH].to(device)
        views = centre_view(part, classifier.views, classifier.statistics)[:, 0]
        chosen = None if labels is None else torch.tensor(labels[start : start + _BATCH], device=device)
        # In the network's own precision: a test that asks for more than float32 has made it float64.
        yield start, views.to(next(classifier.network.parameters()).dtype), chosen


def _maps_and_slopes(network: Network, views: Tensor, labels: Tensor | None, stage: str) -> tuple[Tensor, Tensor]:
    """A stage's maps, and the derivative of each image's label's logit by them."""
    kept: list[Tensor] = []

    def keep(maps: Tensor) -> Tensor:
        kept.append(maps.detach().requires_grad_())
        return kept[0]

    last = network.rows[-1].name
    with _differentiating(network):
        logits = network.stages(views, last, {stage: keep})[last]
        slopes = torch.autograd.grad(logits.gather(1, _best(logits, labels)[:, None]).sum(), kept[0])[0]
    return kept[0].detach(), slopes


def _best(logits: Tensor, labels: Tensor | None) -> Tensor:
    return logits.detach().argmax(1) if labels is None else labels


def _per_grey_level(classifier: Classifier, image: Tensor) -> Tensor:
    """float32 `[1,3,1,1]`: how much the network's input grows by a grey level of each channel."""
    dark, light = (torch.full_like(image, value).to(classifier.network.devices[0]) for value in (0, 255))
    shown = [centre_view(each, classifier.views, classifier.statistics)[:, 0] for each in (dark, light)]
    return ((shown[1] - shown[0]) / 255).mean((2, 3), keepdim=True).cpu()


def _interpolation(field: Field, positions: int, side: int) -> np.ndarray:
    """float32 `[side, positions]`: the weights of the positions at each pixel, linear between centres of fields."""
    pixels = np.arange(side)
    place = (pixels - (field.start + (field.size - 1) / 2)) / max(field.stride, 1)
    nearness = 1 - np.abs(np.clip(place, 0, positions - 1)[:, None] - np.arange(positions))
    weights: np.ndarray = np.clip(nearness, 0, None).astype(np.float32)
    return weights


@contextmanager
def _differentiating(network: Network) -> Iterator[None]:
    """With gradients, in the network's own precision and without dropout, whatever it is in the middle of."""
    training = network.training
    network.eval()
    try:
        with torch.enable_grad(), torch.autocast(network.devices[0].type, enabled=False):
            yield
    finally:
        network.train(training)
