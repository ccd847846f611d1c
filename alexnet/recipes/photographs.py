"""Recipes for folders of some thousand photographs, and for going on from trained weights."""

from dataclasses import replace

from alexnet.data.loader import Loading
from alexnet.data.views import Views
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.model.cifar10 import Cifar10Config
from alexnet.training.optimiser import Optimiser
from alexnet.training.recipe import Recipe
from alexnet.training.schedule import Milestone, Milestones


def imagenette() -> Recipe:
    """The paper's network from scratch on ten ImageNet classes (9,469 photographs).

    Command: alexnet train imagenette --data IMAGENETTE --run RUN
    Cost: 40 epochs; about two hours and a half on a CPU core with AMX (with `--epochs 14`, 54 minutes).
    Expected: with `--epochs 14`, 20.5 % over ten views and 21.2 % for the centre, measured; 40 are not run yet.
    """
    return _today("imagenette", epochs=40, batch=64, rate=0.02)


def demo() -> Recipe:
    """The paper's network from scratch on some 1,800 photographs of solar cells: what `make demo` trains.

    Command: alexnet train demo --data SOLAR-CELLS --run RUN
    Cost: 24 epochs; some six minutes on two CPU cores.
    Expected: 20.6 % of the test quarter over ten views, measured on pictures prepared with `--size 230`;
    always answering "functional" errs on 31.25 %.
    """
    recipe = _today("demo", epochs=24, batch=64, rate=0.04)
    # A cell has no up: it may also be mirrored top to bottom.
    return replace(recipe, views=replace(recipe.views, vertical=True))


def smoke() -> Recipe:
    """For trying things: an eighth of the kernels and units, three epochs, everything on.

    Command: alexnet train smoke --data PREPARED --run RUN
    Cost: seconds on two CPU cores for some hundred photographs.
    Expected: that everything runs; `--epochs 60` learns from a few hundred photographs.
    """
    recipe = _today("smoke", epochs=3, batch=32, rate=0.03)
    drop = Milestones(3, (Milestone(2, weights=0.1, biases=0.1),))
    return replace(
        recipe,
        model=replace(recipe.model, width=1 / 8),
        views=replace(recipe.views, colour="paper"),
        schedule=drop,
        precision="fp32",
    )


def finetuning(model: AlexNetConfig | Cifar10Config, views: Views) -> Recipe:
    """The recipe for going on from trained weights, as the authors did from Fall 2011 to ILSVRC-2012.

    Rates lower below and higher on the last layer, over the authors' 54 epochs: 0.001, conv1 a tenth of that; the
    last layer ten times that to epoch 9; conv1 slower at 5 and frozen at 7; all a tenth at 22, the noise off at 38, a
    hundredth at 42. `shorter` (the command's `--epochs`) shrinks all of it in proportion.
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
