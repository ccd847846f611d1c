"""Recipes for ILSVRC: the paper's text, the authors' code, the ablations of the paper, today's one tower."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from alexnet.data.loader import Loading
from alexnet.data.views import Views
from alexnet.interchange import torchvision_state
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.training.optimiser import Optimiser
from alexnet.training.recipe import Recipe
from alexnet.training.schedule import Milestone, Milestones


def paper_2012() -> Recipe:
    """The paper's text: sections 3 to 5 as printed.

    Command: alexnet train paper-2012 --data ILSVRC --run RUN
    Cost: 90 epochs of 1.2 million images; the authors took five to six days on two GTX 580.
    Expected: ILSVRC-2010 test, ten views: top-1 37.5 %, top-5 17.0 %; 2012 validation: 40.7 % and 18.2 %.
    """
    return Recipe(name="paper-2012")


def code_2012() -> Recipe:
    """What the authors ran (their net 145), which produced the published numbers.

    Command: alexnet train code-2012 --data ILSVRC --run RUN
    Cost: 93 epochs of 1.2 million images.
    Expected: as paper-2012; centre view on the ILSVRC-2010 test 39.0 % and 18.3 %.
    """
    return Recipe(
        name="code-2012",
        model=AlexNetConfig(
            order1="norm pool relu",
            order5="pool relu",
            norm_alpha_divided=True,
            same_map_norm=True,
            initialisation=Initialisation(deviation_middle=0.03),
        ),
        views=Views(mean="central", colour="code", shared=32),
        loader=Loading(order="stored"),
        optimiser=Optimiser(bias_rate=2.0, bias_decay=False),
        schedule=Milestones(
            epochs=93,
            milestones=(
                Milestone(23, weights=0.1, biases=0.1),
                Milestone(51, weights=0.01),
                Milestone(68, colour=0.0, layers={"conv1": 0.1}),
                Milestone(72, layers={"conv1": 0.0}),
                Milestone(78, weights=0.001),
            ),
        ),
    )


def one_tower() -> Recipe:
    """torchvision's AlexNet and its recipe, with this paper's crops: one tower, no response norm.

    Command: alexnet train one-tower --data ILSVRC --run RUN
    Cost: 90 epochs of 1.2 million images.
    Expected: torchvision states 43.5 % top-1 and 20.9 % top-5 for its weights, centre view.
    """
    return Recipe(
        name="one-tower",
        model=torchvision_state.TORCHVISION,
        views=Views(mean=(123.675, 116.28, 103.53), divisor=(58.395, 57.12, 57.375), colour="none"),
        loader=Loading(batch=256),
        optimiser=Optimiser(weight_decay=0.0001),
        schedule=Milestones(
            epochs=90,
            milestones=(Milestone(30, weights=0.1, biases=0.1), Milestone(60, weights=0.01, biases=0.01)),
        ),
    )


def six_convs() -> Recipe:
    """The pretraining net of section 6.1: a sixth convolution, over both towers, after the last pooling.

    Command: alexnet train six-convs --data FALL-2009 --run RUN
    Cost: 90 epochs at most; the authors stopped after about 7 epochs of 8.9 million images.
    Expected: Fall 2009, 10,184 classes: top-1 67.4 %, top-5 40.9 %.
    """
    return _paper("six-convs", conv6=True)


def fall_2011() -> Recipe:
    """The net for all 21,841 classes of Fall 2011: six convolutions and a linear bottleneck of 1024 units.

    Command: alexnet train fall-2011 --data FALL-2011 --run RUN
    Cost: the authors stopped after about 8 epochs of 15 million images.
    Expected: after fine-tuning on ILSVRC-2012, ten views: 39.0 % and 16.6 %.
    """
    return _paper("fall-2011", conv6=True, bottleneck=1024)


def without_norm() -> Recipe:
    """Section 3.3's ablation: no response normalisation.

    Command: alexnet train without-norm --data ILSVRC --run RUN
    Cost: as paper-2012.
    Expected: 1.4 points of top-1 and 1.2 of top-5 worse.
    """
    return _paper("without-norm", norm=False)


def without_overlap() -> Recipe:
    """Section 3.4's ablation: pooling 2/2 instead of 3/2.

    Command: alexnet train without-overlap --data ILSVRC --run RUN
    Cost: as paper-2012.
    Expected: 0.4 points of top-1 and 0.3 of top-5 worse.
    """
    return _paper("without-overlap", overlap=False)


def half_net() -> Recipe:
    """Section 3.2's ablation: one GPU with half the kernels; conv5 and the dense layers keep their size (footnote 2).

    Command: alexnet train half-net --data ILSVRC --run RUN
    Cost: about half of paper-2012.
    Expected: 1.7 points of top-1 and 1.2 of top-5 worse.
    """
    return _paper("half-net", towers=1, kernels=(48, 128, 192, 192, 256))


def without_communication() -> Recipe:
    """Two towers that never meet before fc8; the authors' net 150, whose conv2 is 160 wide in each.

    Command: alexnet train without-communication --data ILSVRC --run RUN
    Cost: as paper-2012.
    Expected: authors' log: 41.8 % and 19.3 % on the 2012 validation set, where 145 has 40.7 % and 18.2 %.
    """
    return _paper("without-communication", communication=False, kernels=(96, 320, 384, 384, 256), units=(8192, 8192))


def without_dropout() -> Recipe:
    """Section 4.2's ablation: no dropout ("substantial overfitting").

    Command: alexnet train without-dropout --data ILSVRC --run RUN
    Cost: as paper-2012, in about half the epochs.
    Expected: the paper gives no number.
    """
    return _paper("without-dropout", dropout=0.0)


def without_crops() -> Recipe:
    """Section 4.1's ablation: centre crops, never mirrored ("substantial overfitting").

    Command: alexnet train without-crops --data ILSVRC --run RUN
    Cost: as paper-2012.
    Expected: the paper gives no number.
    """
    recipe = paper_2012()
    return replace(recipe, name="without-crops", views=replace(recipe.views, augment=False, horizontal=False))


def without_colour() -> Recipe:
    """Section 4.1's ablation: no colour noise.

    Command: alexnet train without-colour --data ILSVRC --run RUN
    Cost: as paper-2012.
    Expected: more than 1 point of top-1 worse.
    """
    recipe = paper_2012()
    return replace(recipe, name="without-colour", views=replace(recipe.views, colour="none"))


def tanh() -> Recipe:
    """Section 3.1's comparison on the full network: tanh units.

    Command: alexnet train tanh --data ILSVRC --run RUN
    Cost: as paper-2012; the paper says that it was too slow to try.
    Expected: the paper gives no number.
    """
    return _paper("tanh", activation="tanh")


def without_conv(name: Literal["conv1", "conv2", "conv3", "conv4", "conv5"]) -> Callable[[], Recipe]:
    """The recipe function for the paper's network without the convolution `name`."""

    def recipe() -> Recipe:
        return _paper(f"without-{name}", without=(name,))

    recipe.__name__ = f"without_{name}"
    recipe.__doc__ = f"""Section 7's ablation: without {name}.

    Command: alexnet train without-{name} --data ILSVRC --run RUN
    Cost: as paper-2012, or less.
    Expected: about 2 points of top-1 worse for a middle layer.
    """
    return recipe


def _paper(name: str, **changes: Any) -> Recipe:
    recipe = paper_2012()
    return replace(recipe, name=name, model=replace(recipe.model, **changes))
