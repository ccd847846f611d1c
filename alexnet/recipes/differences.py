"""What differs between two recipes, and why."""

from dataclasses import dataclass
from typing import Any

from alexnet import config
from alexnet.training.recipe import Recipe

_WHY = {
    "model.order1": "the paper's equations rectify before normalising; the authors' conv1 normalises linear maps",
    "model.order5": "the same function: the maximum and the rectifier commute",
    "model.norm_alpha_divided": "the authors' code divides alpha by the window's size; the paper prints it as is",
    "model.norm_k": "the paper prints k = 2; Caffe and cuda-convnet's default is 1",
    "model.norm_across": "the authors' towers are normalised apart; Caffe normalises over all maps",
    "model.same_map_norm": "the authors' conv2 has a second norm, within maps, of which the paper is silent",
    "model.initialisation.deviation_middle": "section 5 prints 0.01 for every layer; the authors have 0.03 in conv3-5",
    "model.edges": "a 224 crop does not divide by stride 4: the code reads 3 zeros at the right and bottom",
    "model.dropout_before": "torchvision drops the inputs of fc6 and fc7, the paper their outputs",
    "model.dropout_scaling": "the paper halves outputs at test; today's libraries double them in training",
    "model.kernels": "torchvision has the widths of cuda-convnet2's net for one GPU",
    "views.mean": "the authors' code subtracts the central crop of the mean image whatever the offset",
    "views.colour": "the paper scales by eigenvalues, the code by their roots, and then divides by 1.1",
    "views.shared": "in the authors' code 32 consecutive images share one crop and mirror",
    "loader.order": "the authors' batches were shuffled once, and visited in that order in every epoch",
    "optimiser.bias_rate": "the paper says that all layers learn at one rate; the authors' biases learn at twice that",
    "optimiser.bias_decay": "the authors' biases do not decay",
    "schedule.class": "the paper waits for the validation error to stall; the log says at which epochs that was",
}


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
    return [Difference(name, left, right, _WHY.get(name, "")) for name, left, right in fields]
