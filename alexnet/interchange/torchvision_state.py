"""Weights as torchvision's `alexnet` names them: `{"features.0.weight": ..., ..., "classifier.6.bias": ...}`.

    model = AlexNet(TORCHVISION)
    load(model, torch.load("alexnet-owt-7be5be79.pth", weights_only=True))

TORCHVISION is the network of the recipe `one-tower`, whose views divide as torchvision's weights expect: red, green,
blue on 0..255, less (123.675, 116.28, 103.53), over (58.395, 57.12, 57.375). Source: pytorch/vision,
torchvision/models/alexnet.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor

from alexnet.errors import InputError
from alexnet.interchange.shapes import require, shapes
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.model.network import Network
from alexnet.model.rows import Dropout, Row, Shape

TORCHVISION = AlexNetConfig(
    towers=1,
    kernels=(64, 192, 384, 256, 256),
    edges="symmetric",
    norm=False,
    dropout_before=True,
    dropout_scaling="inverted",
    initialisation=Initialisation(weights="uniform"),
)
"""One tower of 64-192-384-256-256 kernels, two zeros on every side of the image, no response norm, inverted dropout
before fc6 and fc7; 61,100,840 parameters."""

THEIRS = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}


def state(model: Network) -> dict[str, Tensor]:
    """The weights of `model` for torchvision's `load_state_dict`: float32 on the CPU, copied, in its order.

    Raises:
        InputError: `model` does not have torchvision's eight layers in one tower, or computes something else with
            them (norms, other edges), so that they would mean nothing there.
    """
    expected, whole = _expected(model), model.whole()
    if unlike := _unlike(model):
        raise InputError(
            f"the network differs from torchvision's alexnet in {', '.join(unlike)}, which a state dict does not hold; "
            "export .onnx, .safetensors or .npz, or train the recipe `one-tower`."
        )
    return {theirs: whole[ours] for theirs, ours in zip(expected, _ours(), strict=True)}


def load(model: Network, state: Mapping[str, Tensor]) -> None:
    """Nothing; the weights of `model` are those of `state`.

    Raises:
        InputError: `model` does not have torchvision's eight layers in one tower, or a tensor is missing, unknown or
            of another shape; the model is then untouched.
    """
    expected = _expected(model)
    require(expected, {name: tuple(tensor.shape) for name, tensor in state.items()}, "the state dict")
    model.load_whole({ours: state[theirs] for theirs, ours in zip(expected, _ours(), strict=True)})


def _unlike(model: Network) -> list[str]:
    """What of the network, once trained, is not torchvision's at its own widths."""
    own = model.config
    assert isinstance(own, AlexNetConfig)
    widths = {name: getattr(own, name) for name in ("kernels", "units", "width", "classes", "initialisation")}
    theirs = Network(replace(TORCHVISION, **widths))
    ours, expected = _lasting(model.rows), _lasting(theirs.rows)
    rows = [row.name for row in ours if row not in expected] or [
        f"the missing {r.name}" for r in expected if r not in ours
    ]
    # Whatever comes in, torchvision pools it to 6x6 before fc6.
    return rows + [f"images of {own.input} pixels"] * (shapes(model)["fc6"] != shapes(theirs)["fc6"])


def _lasting(rows: Iterable[Row]) -> list[Row]:
    """Without the dropout that does nothing once a network is trained."""
    return [row for row in rows if not (isinstance(row, Dropout) and row.scaling == "inverted")]


def _ours() -> list[str]:
    return [f"{layer}.{part}" for layer in THEIRS for part in ("weight", "bias")]


def _expected(model: Network) -> dict[str, Shape]:
    """The shapes of `model`'s tensors under torchvision's names, in its order."""
    own = shapes(model)
    require(
        dict.fromkeys(THEIRS, ()),
        dict.fromkeys(own, ()),
        "the network (torchvision's is that of the recipe `one-tower`)",
    )
    if any(row.towers > 1 for row in model.rows):
        raise InputError(
            "the network has two towers and torchvision's alexnet has one: train the recipe `one-tower`, or export "
            ".onnx, .safetensors or .npz."
        )
    return {f"{theirs}.{part}": own[layer][part] for layer, theirs in THEIRS.items() for part in ("weight", "bias")}
