"""Weights as Caffe holds them: `{"conv1": (weight, bias), ..., "fc8": (weight, bias)}`, numpy arrays by layer.

Names and shapes are ours already: convolutions are grouped (conv2 is 256×48×5×5, the first half of the outputs is
tower 1), dense layers `[units, inputs]` with the map as the slowest input. Two of Caffe's networks have a config here:

    model = AlexNet(BVLC_ALEXNET)
    load(model, {name: (p[0].data, p[1].data) for name, p in net.params.items()})

Caffe's models were trained on blue, green, red. Channel order is left to the caller: `weight[:, ::-1]` of conv1 makes
a network for red, green, blue, on 0..255 less the mean. Source: BVLC/caffe, models/bvlc_alexnet and
models/bvlc_reference_caffenet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from alexnet.errors import InputError
from alexnet.interchange.shapes import require, shapes
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.model.network import Network

BVLC_ALEXNET = AlexNetConfig(
    input=227,
    edges="none",
    norm_alpha_divided=True,
    norm_k=1.0,
    norm_across=True,
    dropout_scaling="inverted",
    initialisation=Initialisation(deviation_hidden=0.005, bias=0.1),
)
"""bvlc_alexnet: input 227 without zeros around it; response norm over all maps, alpha divided by n, k = 1; inverted
dropout; biases of 0.1 where the paper has 1."""

CAFFENET = replace(
    BVLC_ALEXNET,
    order1="relu pool norm",
    order2="relu pool norm",
    initialisation=Initialisation(deviation_hidden=0.005, bias=1.0),
)
"""bvlc_reference_caffenet: the same with pooling before the response norm, and biases of 1."""

_PARTS = ("weight", "bias")


def blobs(model: Network) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`{"conv1": (weight, bias), ...}` for every row of `model` that learns, float32, towers joined, copied."""
    whole = model.whole()
    return {name: (whole[f"{name}.weight"].numpy(), whole[f"{name}.bias"].numpy()) for name in shapes(model)}


def load(model: Network, blobs: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Nothing; the weights of `model` are those of `blobs`, which may have any floating type and memory order.

    Raises:
        InputError: a layer is missing or unknown, is not a weight and a bias of floating numbers, or has another
            shape; the model is then untouched.
    """
    arrays: dict[str, np.ndarray] = {}
    for layer, pair in blobs.items():
        pair = [np.asarray(array) for array in pair]
        if len(pair) != 2 or any(array.dtype.kind != "f" for array in pair):
            found = ", ".join(f"{array.dtype} {list(array.shape)}" for array in pair) or "nothing"
            raise InputError(
                f"the blobs of {layer} are {found}; a weight and a bias of floating numbers were expected."
            )
        arrays |= {f"{layer}.{part}": array for part, array in zip(_PARTS, pair, strict=True)}
    expected = {f"{layer}.{part}": shape for layer, own in shapes(model).items() for part, shape in own.items()}
    require(expected, {name: array.shape for name, array in arrays.items()}, "the set of blobs")
    # A copy in plain order: torch takes neither negative strides (a reversed channel axis) nor read-only memory.
    model.load_whole({name: torch.from_numpy(np.array(array, np.float32, order="C")) for name, array in arrays.items()})
