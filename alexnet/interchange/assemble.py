"""A classifier from the tensors of a file: its network, views and classes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet.data.synsets import ilsvrc2012
from alexnet.data.views import Statistics
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.interchange import ilsvrc
from alexnet.interchange.described import read as read_description
from alexnet.interchange.published import Published
from alexnet.interchange.recognise import NetworkName, recognise
from alexnet.interchange.shapes import of_config, require
from alexnet.interchange.weights import Held, Weights
from alexnet.model import rows
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Config, Network
from alexnet.training import environment

# The principal axes of ILSVRC's colours on 0..255 and the deviations along them; cuda-convnet2, input_meta.
_DEVIATIONS = (19.721, 37.094, 121.780)
_AXES = ((0.418, -0.817, 0.397), (-0.713, -0.024, 0.701), (-0.564, -0.576, -0.592))


@dataclass(frozen=True)
class Request:
    """What is imported, and how."""

    file: Path
    sha256: str
    classes: Path | None = None
    """A text file of the outputs' classes."""
    features_only: bool = False
    network: NetworkName | None = None


@dataclass(frozen=True, eq=False)
class Assembled:
    """A classifier, the name of its network, and sentences for people on what was found or assumed."""

    classifier: Classifier
    network: str
    notes: tuple[str, ...]


def assembled(weights: Weights, request: Request, published: Published | None) -> Assembled:
    """The classifier that a file's tensors make.

    Raises:
        InputError: they make none, or the classes do not fit.
    """
    if weights.described:
        return _described(weights, request)
    asked = request.network or (published.network if published else None)
    found = recognise(weights, request.file, asked, request.features_only)  # type: ignore[arg-type]
    whole = any(name.startswith("fc") for name in found.tensors)
    notes = list(found.told)
    network = found.config
    if whole:
        classes = ilsvrc.fitting(network.classes, request.classes)
    else:
        classes = ilsvrc.read(request.classes) if request.classes else ilsvrc2012()
        network = replace(network, classes=len(classes))
        notes.append("fc6, fc7 and fc8 were drawn fresh, by seed 0: fine-tune before you believe an answer")
    state = _state(request.file, found.tensors, "conv1" if found.reversed_channels else "")
    size = found.squaring.size
    channels = torch.tensor(found.views.mean)[:, None, None]
    classifier = Classifier(
        network=_network(network, state, fresh=not whole),
        views=found.views,
        statistics=Statistics(channels.expand(3, size, size).contiguous(), _covariance()),
        classes=classes,
        squaring=found.squaring,
        recipe={"imported": {"network": found.network, "sha256": request.sha256}},
        commit=environment.commit(),
    )
    return Assembled(classifier, found.network, (*notes, _preprocessing(classifier, found.reversed_channels)))


def _described(weights: Weights, request: Request) -> Assembled:
    """The classifier of one of our own files, as it was."""
    path = request.file
    described = read_description(weights, path)
    expected = {f"{layer}.{p}": s for layer, own in of_config(described.network).items() for p, s in own.items()}
    expected |= {"mean": (3, described.size, described.size), "covariance": (3, 3)}
    require(expected, {name: held.shape for name, held in weights.tensors.items()}, str(path))
    first = next(row.name for row in described.network.table() if isinstance(row, rows.Convolution))
    state = _state(path, weights.tensors, first if weights.reversed_channels else "")
    statistics = Statistics(state.pop("mean"), state.pop("covariance").double())
    classes, network, notes = described.classes, described.network, ["an export of this package, as it was"]
    if request.classes:
        classes = ilsvrc.read(request.classes)
    if request.features_only:
        state = {name: tensor for name, tensor in state.items() if name.startswith("conv")}
        network = replace(network, classes=len(classes))
        notes.append("all but the convolutions was drawn fresh, by seed 0: fine-tune before you believe an answer")
        lineage = (*described.lineage, described.recipe)
        imported = {"imported": {"network": "convolutions", "sha256": request.sha256}}
        described = replace(described, recipe=imported, lineage=lineage, temperature=1.0)
    elif len(classes) != network.classes:
        raise InputError(f"{request.classes} names {len(classes)} classes for {network.classes} outputs.")
    rest = described.fields() | {"classes": classes}
    made = Classifier(_network(network, state, fresh=request.features_only), statistics=statistics, **rest)
    name = "AlexNet" if isinstance(network, AlexNetConfig) else f"CIFAR-10 {network.net}"
    return Assembled(made, name, tuple(notes))


def _network(of: Config, state: Mapping[str, Tensor], fresh: bool) -> Network:
    network = Network(of)
    if fresh:
        network.initialise(0)
        state = {**network.whole(), **state}
    network.load_whole(state)
    return network.eval()


def _state(path: Path, tensors: Mapping[str, Held], reversed_: str) -> dict[str, Tensor]:
    """The tensors read, float32 (the covariance float64); the channels of the layer `reversed_` put to RGB."""
    state = {}
    for name, held in tensors.items():
        array = held.read()
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name!r} holds what is no number; take another copy.")
        if name == f"{reversed_}.weight":
            array = array[:, ::-1]
        kind = np.float64 if name == "covariance" else np.float32
        state[name] = torch.from_numpy(np.array(array, kind, order="C"))
    return state


def _covariance() -> Tensor:
    """float64 `[3,3]`: the covariance of red, green and blue over ILSVRC's training pixels."""
    axes = torch.tensor(_AXES, dtype=torch.float64).T
    return axes @ torch.diag(torch.tensor(_DEVIATIONS, dtype=torch.float64).square()) @ axes.T


def _preprocessing(classifier: Classifier, reversed_: bool) -> str:
    views, way = classifier.views, classifier.squaring
    geometry = {"warp": "warped", "crop": "cropped"}.get(way.geometry, way.geometry)
    channels = "; conv1 turned from blue, green, red to red, green, blue" if reversed_ else ""
    return (
        f"pictures {geometry} to {way.size} by {way.filter}, the central {views.crop} less the mean "
        f"{_numbers(views.mean)} "
        f"over {_numbers(views.divisor)}{channels}"
    )


def _numbers(values: object) -> str:
    return ", ".join(f"{v:g}" for v in values) if isinstance(values, tuple) else f"{values}"
