"""Sections 3 and 7 on photographs: units, towers, normalisation, pooling, and each convolution taken away."""

from typing import Literal

from alexnet.experiments.ablations import Ablation, ablation, changed, without
from alexnet.experiments.bench import Bench
from alexnet.experiments.experiment import Experiment
from alexnet.training.recipe import Recipe

_CONV = Literal["conv1", "conv2", "conv3", "conv4", "conv5"]


def acting_norm(bench: Bench) -> Recipe:
    """The base with its response norm acting as the paper's does on inputs of 0..255.

    Where views divide the input by D, activations are D times smaller and alpha = 1e-4 adds nothing to k = 2. With
    D² times that alpha the network computes what the undivided one computes, divided by D.
    """
    divisor = bench.base.views.divisor
    if divisor == "deviation":
        divisor = bench.prepared.statistics().deviation
    assert isinstance(divisor, float)
    return changed(bench.base, norm_alpha=1e-4 * divisor**2)


def _removed(conv: _CONV) -> Experiment:
    return ablation(
        f"without-{conv}",
        "1, 7",
        f"Removing {conv} makes the network worse.",
        "about 2 points of top-1 error for a middle layer" if conv in ("conv3", "conv4") else "worse; no number",
        Ablation(conv, without(without=(conv,))),
        "top-1 error",
        0.01,
        {"top-1 error": 0.02} if conv in ("conv3", "conv4") else {},
    )


UNITS = (
    ablation(
        "tanh",
        "3.1",
        "Networks with rectifiers learn faster than the same with tanh.",
        "several times faster; six times on CIFAR-10 (figure 1)",
        Ablation("rectifiers (tanh instead)", without(activation="tanh")),
        "training error",
        0.02,
        remarks=(
            "Judged by the training error after the same epochs; figure1 asks how many each takes to the same error.",
        ),
    ),
)
STRUCTURE = (
    ablation(
        "towers",
        "3.2",
        "Two towers are better than a network with half as many kernels, trained on one GPU.",
        "1.7 points of top-1 error, 1.2 of top-5",
        Ablation("the second tower", without(towers=1, kernels=(48, 128, 192, 192, 256))),
        "top-1 error",
        0.008,
        {"top-1 error": 0.017, "top-5 error": 0.012},
    ),
    ablation(
        "communication",
        "3.2",
        "Towers that communicate in some layers are better than towers that never meet.",
        "no number; the authors' log: 1.2 points of top-1 error, 1.1 of top-5",
        Ablation(
            "communication",
            without(communication=False, kernels=(96, 320, 384, 384, 256), units=(8192, 8192)),
        ),
        "top-1 error",
        0.006,
        {"top-1 error": 0.0116, "top-5 error": 0.0112},
        ("Without communication conv2, fc6 and fc7 are wider, as in the authors' net 150, so that as much is learnt.",),
    ),
    ablation(
        "response-norm",
        "3.3",
        "Response normalisation lowers the error.",
        "1.4 points of top-1 error, 1.2 of top-5",
        Ablation(
            "response normalisation",
            without(norm=False),
            acting_norm,
            {"with alpha as printed, nearly inactive where the input is divided": lambda bench: bench.base},
        ),
        "top-1 error",
        0.007,
        {"top-1 error": 0.014, "top-5 error": 0.012},
        (
            "The norm acts by the size of its input. Where the input is divided by D, alpha is 1e-4 times D squared: "
            "the network then computes what it would on 0..255, divided by D.",
        ),
    ),
    ablation(
        "overlap",
        "3.4",
        "Overlapping pooling (3/2 instead of 2/2) lowers the error.",
        "0.4 points of top-1 error, 0.3 of top-5",
        Ablation("overlap", without(overlap=False)),
        "top-1 error",
        0.002,
        {"top-1 error": 0.004, "top-5 error": 0.003},
    ),
    ablation(
        "overlap-overfitting",
        "3.4",
        "Networks with overlapping pooling are slightly harder to overfit.",
        "observed; no number",
        Ablation("overlap", without(overlap=False)),
        "overfitting",
        0.005,
    ),
)
LAYERS = tuple(_removed(conv) for conv in ("conv1", "conv2", "conv3", "conv4", "conv5"))
