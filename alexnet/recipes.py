"""The named recipes: functions without arguments, each saying its command, its cost and the number to expect.

`names()` lists them, `named(name)` makes one, `difference(a, b)` says what differs and why. A variant is a `replace`.
Numbers under "Expected" without "measured" are the authors'.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from alexnet import config
from alexnet.data.loader import Loading
from alexnet.data.views import Views
from alexnet.errors import InputError
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.model.cifar10 import Cifar10Config
from alexnet.training.optimiser import Optimiser
from alexnet.training.recipe import Recipe
from alexnet.training.run import read_recipe
from alexnet.training.schedule import Milestone, Milestones, Plateau


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
        model=AlexNetConfig(
            towers=1,
            kernels=(64, 192, 384, 256, 256),
            edges="symmetric",
            norm=False,
            dropout_before=True,
            dropout_scaling="inverted",
            initialisation=Initialisation(weights="uniform"),
        ),
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


def _without_conv(name: Literal["conv1", "conv2", "conv3", "conv4", "conv5"]) -> Callable[[], Recipe]:
    def recipe() -> Recipe:
        return _paper(f"without-{name}", without=(name,))

    recipe.__name__ = f"without_{name}"
    recipe.__doc__ = f"""Section 7's ablation: without {name}.

    Command: alexnet train without-{name} --data ILSVRC --run RUN
    Cost: as paper-2012, or less.
    Expected: about 2 points of top-1 worse for a middle layer.
    """
    return recipe


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


def imagenette() -> Recipe:
    """The paper's network from scratch on ten ImageNet classes (9,469 photographs).

    Command: alexnet train imagenette --data IMAGENETTE --run RUN
    Cost: 40 epochs; about 45 minutes on two CPU cores with AMX.
    Expected: docs/results.md has the number measured.
    """
    return _today("imagenette", epochs=40, batch=64, rate=0.01)


def demo() -> Recipe:
    """The paper's network from scratch on 1,968 photographs of solar cells: what `make demo` trains.

    Command: alexnet train demo --data SOLAR-CELLS --run RUN
    Cost: 10 epochs; some three minutes on two CPU cores.
    Expected: docs/results.md has the number measured; always answering "functional" errs on 31.25 %.
    """
    return _today("demo", epochs=10, batch=32, rate=0.01)


def smoke() -> Recipe:
    """For trying things: an eighth of the kernels and units, three epochs, everything on.

    Command: alexnet train smoke --data PREPARED --run RUN
    Cost: seconds on two CPU cores for some hundred photographs.
    Expected: it learns; nothing more.
    """
    recipe = smaller(_today("smoke", epochs=3, batch=32, rate=0.01))
    drop = Milestones(3, (Milestone(2, weights=0.1, biases=0.1),))
    return replace(recipe, schedule=drop, precision="fp32", views=replace(recipe.views, colour="paper"))


_ALL: tuple[Callable[[], Recipe], ...] = (
    *(paper_2012, code_2012, one_tower, six_convs, fall_2011),
    *(without_norm, without_overlap, half_net, without_communication),
    *(without_dropout, without_crops, without_colour, tanh),
    *(_without_conv(name) for name in ("conv1", "conv2", "conv3", "conv4", "conv5")),
    *(cifar10_80sec, cifar10_18pct, cifar10_13pct, cifar10_11pct, cifar10_relu, cifar10_tanh),
    *(imagenette, demo, smoke),
)


def finetuning(model: AlexNetConfig | Cifar10Config, views: Views) -> Recipe:
    """The recipe for going on from trained weights, as the authors did from Fall 2011 to ILSVRC-2012.

    Rates lower below and higher on the new last layer; milestones at the shares of training of the authors' 54
    epochs (fact: 0.001, conv1 a tenth; the last layer ten times that to epoch 9; conv1 slower at 5 and frozen at 7;
    all a tenth at 22, the noise off at 38, a hundredth at 42).
    """
    first, last = model.table()[0].name, model.table()[-1].name
    schedule = Milestones(
        54,
        (
            Milestone(0, layers={first: 0.1, last: 10.0}),
            Milestone(5, layers={first: 0.01, last: 10.0}),
            Milestone(7, layers={first: 0.0, last: 10.0}),
            Milestone(9, layers={first: 0.0}),
            Milestone(22, weights=0.1, biases=0.1),
            Milestone(38, colour=0.0),
            Milestone(42, weights=0.01, biases=0.01),
        ),
    )
    return Recipe(
        name="finetuning",
        model=model,
        views=views,
        optimiser=Optimiser(learning_rate=0.001, bias_rate=2.0, bias_decay=False),
        schedule=schedule,
    )


def names() -> tuple[str, ...]:
    """The names of the recipes, in the order of this file."""
    return tuple(_name(function) for function in _ALL)


def named(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        InputError: there is none; the nearest name is suggested.
    """
    return _function(name)()


def load(name: str) -> Recipe:
    """The recipe called `name`, or that in the file `name` (a run's recipe.json).

    Raises:
        InputError: neither exists, or the file is not a recipe.
    """
    return read_recipe(Path(name)) if name.endswith(".json") else named(name)


def description(name: str) -> str:
    """What a named recipe says of itself: a line, then its command, cost and expected number."""
    return "\n".join(line.strip() for line in (_function(name).__doc__ or "").strip().splitlines())


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
    return [Difference(name, left, right, WHY.get(name, "")) for name, left, right in fields]


def smaller(recipe: Recipe, width: float = 1 / 8) -> Recipe:
    """`recipe` with that share of its kernels and units, for trials."""
    return replace(recipe, model=replace(recipe.model, width=width))


def shorter(recipe: Recipe, epochs: int) -> Recipe:
    """`recipe` over `epochs` epochs, its milestones, warm-up or patience shrunk in proportion."""
    schedule, share = recipe.schedule, epochs / recipe.schedule.epochs
    if isinstance(schedule, Plateau):
        patience = max(1, round(schedule.patience * share))
        shrunk: Plateau | Milestones = replace(
            schedule, epochs=epochs, patience=patience, warmup=schedule.warmup * share
        )
    else:
        milestones = tuple(replace(m, epoch=m.epoch * share) for m in schedule.milestones)
        shrunk = replace(schedule, epochs=epochs, milestones=milestones, warmup=schedule.warmup * share)
    return replace(recipe, schedule=shrunk)


def _paper(name: str, **changes: Any) -> Recipe:
    recipe = paper_2012()
    return replace(recipe, name=name, model=replace(recipe.model, **changes))


def _today(name: str, epochs: int, batch: int, rate: float) -> Recipe:
    """The paper's network with today's start, so that it learns from few photographs: He, scaled input, one cycle."""
    return Recipe(
        name=name,
        model=AlexNetConfig(initialisation=Initialisation(weights="he", bias=0.0)),
        views=Views(divisor="deviation", colour="none"),
        loader=Loading(batch=batch),
        optimiser=Optimiser(learning_rate=rate),
        schedule=Milestones(epochs, warmup=epochs / 10, decay="cosine"),
        precision="bf16",
    )


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


def _function(name: str) -> Callable[[], Recipe]:
    for function in _ALL:
        if _name(function) == name:
            return function
    raise InputError(
        f"there is no recipe {name!r}{config.nearest(name, names())}; `alexnet recipes` lists them, "
        "and a recipe.json can be given instead."
    )


def _name(function: Callable[[], Recipe]) -> str:
    return function.__name__.replace("_", "-")


WHY = {
    "model.order1": "the paper's equations rectify before normalising; the authors' conv1 normalises its linear output",
    "model.order5": "the same function: the maximum and the rectifier commute",
    "model.norm_alpha_divided": "the authors' code divides the scale by the window's size; the paper prints alpha as is",
    "model.norm_k": "the paper prints k = 2; Caffe and cuda-convnet's default is 1",
    "model.norm_across": "the authors' towers are normalised apart; Caffe normalises over all maps",
    "model.same_map_norm": "the authors' conv2 has a second norm, within maps, of which the paper is silent",
    "model.initialisation.deviation_middle": "section 5 prints 0.01 for every layer; the authors' conv3-5 start at 0.03",
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
