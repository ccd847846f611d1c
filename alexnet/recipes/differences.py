"""What differs between two recipes, and why."""

from dataclasses import dataclass
from typing import Any

from alexnet import config
from alexnet.training.recipe import Recipe

# field, the value that the reason speaks of (None: any), the reason
_WHY: tuple[tuple[str, Any, str], ...] = (
    (
        "model.order1",
        "norm pool relu",
        "the paper rectifies before normalising; the authors' conv1 does not",
    ),
    ("model.order5", "pool relu", "the same function: the maximum and the rectifier commute"),
    (
        "model.norm_alpha_divided",
        None,
        "the authors' code divides alpha by the window's size, the paper does not",
    ),
    ("model.norm_k", None, "the paper prints k = 2; Caffe and cuda-convnet's default is 1"),
    ("model.norm_across", True, "the authors' towers are normalised apart; Caffe normalises over all maps"),
    ("model.norm", False, "section 3.3: without it, 1.4 points of top-1 and 1.2 of top-5 worse"),
    ("model.same_map_norm", True, "the authors' conv2 has a second norm, within maps, of which the paper is silent"),
    (
        "model.initialisation.deviation_middle",
        0.03,
        "section 5 prints 0.01 for every layer; the authors took 0.03 here",
    ),
    ("model.edges", "symmetric", "a 224 crop does not divide by stride 4: the original reads 3 zeros right and bottom"),
    ("model.dropout_before", True, "torchvision drops the inputs of fc6 and fc7, the paper their outputs"),
    (
        "model.dropout_scaling",
        "inverted",
        "the paper halves outputs at test; libraries double in training",
    ),
    ("model.kernels", [64, 192, 384, 256, 256], "torchvision has the widths of cuda-convnet2's net for one GPU"),
    ("model.kernels", [48, 128, 192, 192, 256], "footnote 2: half of each layer, but conv5 as it was"),
    ("model.overlap", False, "section 3.4: without it, 0.4 points of top-1 and 0.3 of top-5 worse"),
    ("views.mean", "central", "the authors' code subtracts the central crop of the mean image whatever the offset"),
    ("views.colour", "code", "the paper scales by eigenvalues, the code by their roots, and then divides by 1.1"),
    ("views.colour", "none", "section 4.1: without the colour noise, more than 1 point of top-1 worse"),
    ("views.shared", 32, "in the authors' code 32 consecutive images share one crop and mirror"),
    ("loader.order", "stored", "the authors' batches were shuffled once, and visited in that order in every epoch"),
    (
        "optimiser.bias_rate",
        2.0,
        "the paper gives all layers one rate; the authors' biases learn at twice that",
    ),
    ("optimiser.bias_decay", False, "the authors' biases do not decay"),
    (
        "schedule.class",
        None,
        "Plateau waits for the validation error to stall, as the paper; Milestones are written",
    ),
)


@dataclass(frozen=True)
class Difference:
    """One field in which two recipes differ, and why it matters where that is known."""

    field: str
    a: Any
    b: Any
    why: str


def difference(a: Recipe, b: Recipe) -> list[Difference]:
    """The fields in which two recipes differ, but for their names, in the order of the sections."""
    fields = (entry for entry in config.difference(a, b) if entry[0] != "name")
    return [Difference(name, left, right, _why(name, left, right)) for name, left, right in fields]


def _why(field: str, left: Any, right: Any) -> str:
    for name, value, reason in _WHY:
        if name == field and (value is None or value in (left, right)) and None not in (left, right):
            return reason
    return ""
