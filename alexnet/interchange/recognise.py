"""Which network a file's tensors are, by their names and shapes; nothing is read yet."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from alexnet.data.squaring import Squaring
from alexnet.data.views import Views
from alexnet.errors import InputError
from alexnet.interchange.caffe_blobs import BVLC_ALEXNET, CAFFENET
from alexnet.interchange.shapes import of_config, require
from alexnet.interchange.torchvision_state import THEIRS, TORCHVISION
from alexnet.interchange.weights import LIMIT, Held, Weights
from alexnet.model.alexnet import AlexNetConfig

NetworkName = Literal["torchvision", "bvlc_alexnet", "caffenet"]

VIEWS = {
    "torchvision": Views(mean=(123.675, 116.28, 103.53), divisor=(58.395, 57.12, 57.375), colour="none"),
    # The mean of Caffe's mean image for each channel, as its examples and the model zoo use it.
    "caffe": Views(crop=227, mean=(122.67891434, 116.66876762, 104.00698793), colour="none"),
}
SQUARINGS = {
    "torchvision": Squaring(geometry="crop", filter="pillow-bilinear"),
    "caffe": Squaring(geometry="warp", filter="opencv-linear"),
}
"""As their makers brought ILSVRC's pictures to 256x256; but for the orientation, which they left as it was stored."""
_CONFIGS = {"torchvision": TORCHVISION, "bvlc_alexnet": BVLC_ALEXNET, "caffenet": CAFFENET}
_OURS = {theirs: ours for ours, theirs in THEIRS.items()}
_PARTS = {"weight": ("weight", "weights", "kernel", "w", "0"), "bias": ("bias", "biases", "b", "1")}
_STYLES = {
    "torchvision": re.compile(r"(?:module\.)?(features|classifier)\.(?:module\.)?(\d+)\.(weight|bias)"),
    "flax": re.compile(r"(?:params[./])?(?:AlexNet_\d[./])?Conv_([0-4])[./](kernel|bias)"),
    "caffe": re.compile(r"(conv[1-5]|fc[678])[._/]?(weights?|kernel|w|0|biases|bias|b|1)", re.IGNORECASE),
}
_FEATURES = ("conv1", "conv2", "conv3", "conv4", "conv5")


@dataclass(frozen=True)
class Recognised:
    """A network and where each of its tensors lies in the file."""

    network: NetworkName
    config: AlexNetConfig
    tensors: Mapping[str, Held]
    """"conv1.weight" ... in our layout; of the convolutions alone where the rest is to be drawn."""
    views: Views
    squaring: Squaring
    reversed_channels: bool
    """Whether conv1 reads blue, green, red."""
    told: tuple[str, ...]
    """Sentences for people on what was assumed."""


def recognise(weights: Weights, path: Path, network: NetworkName | None, features_only: bool) -> Recognised:
    """What the tensors are, when they are one of the known networks, of any widths.

    Args:
        network: the network, where neither the names nor the file tell bvlc_alexnet and CaffeNet apart.
        features_only: take the convolutions, whatever else there is.

    Raises:
        InputError: they are none; missing, unknown and wrongly shaped tensors are named with what was expected.
    """
    style, names, others = _named(weights.tensors, path)
    tensors = {ours: weights.tensors[theirs] for ours, theirs in names.items()}
    told = [f"left aside: {', '.join(others[:4])}{' ...' if len(others) > 4 else ''}"] * bool(others)
    tensors, turned = _in_our_layout(tensors)
    if turned:
        told.append("kernels came as height × width × inputs × outputs and were turned")
    found = {name.split(".")[0] for name in tensors}
    if features_only or not found - set(_FEATURES):
        tensors = {name: held for name, held in tensors.items() if name.split(".")[0] in _FEATURES}
    config, which, more = _config(style, tensors, weights, network)
    if style == "torchvision":
        names = {f"{o}.{part}": f"{t}.{part}" for o, t in THEIRS.items() for part in _PARTS} | names
    _require_fitting(path, config, tensors, names)
    told += more
    caffe = which != "torchvision"
    whose = "caffe" if caffe else "torchvision"
    return Recognised(which, config, tensors, VIEWS[whose], SQUARINGS[whose], caffe, tuple(told))


def _named(tensors: Mapping[str, Held], path: Path) -> tuple[str, dict[str, str], list[str]]:
    """The style of the names, theirs by ours, and those that are none of an AlexNet."""
    for style, pattern in _STYLES.items():
        matched = {name: match for name in tensors if (match := pattern.fullmatch(name))}
        if not matched:
            continue
        names: dict[str, str] = {}
        for theirs, match in matched.items():
            ours = _our_name(style, match)
            if ours in names:
                raise InputError(f"{path} holds both {names[ours]!r} and {theirs!r}: which one is {ours}?")
            names[ours] = theirs
        others = [name for name in tensors if name not in matched]
        if others and style != "flax":
            raise InputError(f"{path} has also {', '.join(others[:4])}, which no AlexNet has: it is another network.")
        return style, names, others
    shown = ", ".join(list(tensors)[:4]) or "nothing"
    raise InputError(
        f"{path} holds {shown}: no AlexNet's names; features.0.weight ... (torchvision) or conv1.weight ... fc8.bias "
        "(Caffe) were expected."
    )


def _our_name(style: str, match: re.Match[str]) -> str:
    if style == "torchvision":
        theirs = f"{match[1]}.{match[2]}"
        return f"{_OURS.get(theirs, theirs)}.{match[3]}"
    if style == "flax":
        return f"conv{int(match[1]) + 1}.{'weight' if match[2] == 'kernel' else 'bias'}"
    part = next(ours for ours, words in _PARTS.items() if match[2].lower() in words)
    return f"{match[1].lower()}.{part}"


def _in_our_layout(tensors: Mapping[str, Held]) -> tuple[dict[str, Held], bool]:
    """`tensors` with outputs first, as Caffe and torch have them, and whether TensorFlow's order was found instead."""
    first = tensors.get("conv1.weight")
    if first is None or len(first.shape) != 4 or first.shape[:3] != (11, 11, 3):
        return dict(tensors), False
    found = {}
    for name, held in tensors.items():
        if name.startswith("conv") and len(held.shape) == 4:
            held = held.turned(3, 2, 0, 1)
        elif name == "fc6.weight" and len(held.shape) == 2 and held.shape[0] % 36 == 0:
            # Its inputs came with the map as the fastest index.
            inputs, units = held.shape
            held = held.shaped((6, 6, inputs // 36, units)).turned(3, 2, 0, 1).shaped((units, inputs))
        elif name.endswith(".weight") and len(held.shape) == 2:
            held = held.turned(1, 0)
        found[name] = held
    return found, True


def _config(
    style: str, tensors: Mapping[str, Held], weights: Weights, asked: NetworkName | None
) -> tuple[AlexNetConfig, NetworkName, list[str]]:
    """The network whose widths the tensors have, its name, and what had to be assumed."""
    facts, told = dict(weights.facts), []
    which: NetworkName = asked or ("bvlc_alexnet" if style == "caffe" else "torchvision")
    if style == "caffe" and facts and not asked:
        which = "caffenet" if facts.get("order1") == "relu pool norm" else "bvlc_alexnet"
    elif style == "caffe" and not asked:
        told.append("taken for bvlc_alexnet; CaffeNet has the same shapes: --network caffenet if it is that")
    base = _CONFIGS[which]
    if other := [f"{name} {value}" for name, value in facts.items() if value != getattr(base, name)]:
        told.append(f"the file is not {which}'s: it says {', '.join(other)}, and that is what was taken")
    kernels = tuple(_outputs(tensors, name, own) for name, own in zip(_FEATURES, base.kernels, strict=True))
    second = tensors["conv2.weight"].shape if "conv2.weight" in tensors else ()
    towers = 1 if which == "torchvision" or (len(second) == 4 and second[1] == kernels[0]) else 2
    units = tuple(_outputs(tensors, name, own) for name, own in zip(("fc6", "fc7"), base.units, strict=True))
    widths: dict[str, Any] = {"kernels": kernels, "units": units, "classes": _outputs(tensors, "fc8", base.classes)}
    return replace(base, towers=towers, **widths, **facts), which, told


def _outputs(tensors: Mapping[str, Held], layer: str, otherwise: int) -> int:
    held = tensors.get(f"{layer}.weight")
    return held.shape[0] if held is not None and held.shape and held.shape[0] > 0 else otherwise


def _require_fitting(path: Path, config: AlexNetConfig, tensors: Mapping[str, Held], names: Mapping[str, str]) -> None:
    """Nothing when the tensors are those of the network, or of its convolutions."""
    if sum(math.prod(held.shape) for held in tensors.values()) * 4 > LIMIT:
        raise InputError(f"{path} says sizes that no AlexNet has (over {LIMIT >> 30} GiB); refused.")
    layers = {name.split(".")[0] for name in tensors}
    wanted = {name: own for name, own in of_config(config).items() if layers - set(_FEATURES) or name in _FEATURES}
    # Under the names that the file has.
    expected = {
        names.get(f"{layer}.{part}", f"{layer}.{part}"): shape
        for layer, own in wanted.items()
        for part, shape in own.items()
    }
    require(expected, {names[name]: held.shape for name, held in tensors.items()}, str(path))
