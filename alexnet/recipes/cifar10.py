"""Recipes for CIFAR-10: cuda-convnet's nets of section 3.3 and the net of figure 1."""

from dataclasses import replace
from typing import Literal

from alexnet.data.views import Views
from alexnet.model.cifar10 import Cifar10Config
from alexnet.training.optimiser import Optimiser
from alexnet.training.recipe import Recipe
from alexnet.training.schedule import Milestone, Milestones


def cifar10_80sec() -> Recipe:
    """cuda-convnet's quickest CIFAR-10 net, on whole 32x32 pictures.

    Command: alexnet train cifar10-80sec --data CIFAR10 --run RUN
    Cost: 10 epochs of 50,000 images; about two minutes on two CPU cores.
    Expected: 26 % test error.
    """
    decays = {"fc64": 0.03, "fc10": 0.03}
    return _cifar10("cifar10-80sec", "80sec", 0.004, decays, Milestones(10, (_tenth(8, 0.1),)))


def cifar10_18pct() -> Recipe:
    """cuda-convnet's 18 % CIFAR-10 net: response norms within maps, whole 32x32 pictures.

    Command: alexnet train cifar10-18pct --data CIFAR10 --run RUN
    Cost: 140 epochs of 50,000 images.
    Expected: 18 % test error.
    """
    schedule = Milestones(140, (_tenth(120, 0.1), _tenth(130, 0.01)))
    return _cifar10("cifar10-18pct", "18pct", 0.004, {"fc10": 1.0}, schedule)


def cifar10_13pct() -> Recipe:
    """Section 3.3's four-layer CIFAR-10 net without normalisation: 24x24 crops, unshared third and fourth layers.

    Command: alexnet train cifar10-13pct --data CIFAR10 --run RUN
    Cost: 520 epochs of 50,000 images. The authors' schedule was set by hand; this is cifar10-11pct's.
    Expected: 13 % test error over multiple views.
    """
    decays = {"local3": 0.004, "local4": 0.004, "fc10": 0.004}
    return _cifar10("cifar10-13pct", "13pct", 0.0, decays, _cifar10_long())


def cifar10_11pct() -> Recipe:
    """Section 3.3's four-layer CIFAR-10 net with response normalisation.

    Command: alexnet train cifar10-11pct --data CIFAR10 --run RUN; alexnet evaluate RUN --split test --views nine
    Cost: 520 epochs of 50,000 images. The authors trained on four of the five batches for 350 of them; this trains
        on all five throughout.
    Expected: 11 % test error over nine views, 13 % for the centre.
    """
    decays = {"local3": 0.004, "local4": 0.004, "fc10": 0.01}
    return _cifar10("cifar10-11pct", "11pct", 0.0, decays, _cifar10_long())


def cifar10_relu() -> Recipe:
    """Figure 1's solid line: a four-layer net of rectifiers, no regularisation, whole 32x32 pictures.

    Command: alexnet train cifar10-relu --data CIFAR10 --run RUN
    Cost: 40 epochs of 50,000 images.
    Expected: 25 % training error after about 6 epochs.
    """
    return _cifar10("cifar10-relu", "figure1", 0.0, {}, Milestones(40))


def cifar10_tanh() -> Recipe:
    """Figure 1's dashed line: the same net of tanh units. Its rate is to be tuned apart.

    Command: alexnet train cifar10-tanh --data CIFAR10 --run RUN
    Cost: 40 epochs of 50,000 images.
    Expected: 25 % training error after about 36 epochs.
    """
    recipe = cifar10_relu()
    return replace(recipe, name="cifar10-tanh", model=Cifar10Config(net="figure1", activation="tanh"))


def _cifar10(
    name: str,
    net: Literal["80sec", "18pct", "13pct", "11pct", "figure1"],
    decay: float,
    decays: dict[str, float],
    schedule: Milestones,
) -> Recipe:
    model = Cifar10Config(net=net)
    cropped = model.input < 32
    return Recipe(
        name=name,
        model=model,
        views=Views(crop=model.input, horizontal=cropped, augment=cropped, mean="central", colour="none"),
        optimiser=Optimiser(0.001, weight_decay=decay, bias_rate=2.0, bias_decay=False, decays=decays),
        schedule=schedule,
    )


def _cifar10_long() -> Milestones:
    return Milestones(520, (_tenth(500, 0.1), _tenth(510, 0.01)))


def _tenth(epoch: float, factor: float) -> Milestone:
    return Milestone(epoch, weights=factor, biases=factor)
