"""The named recipes: functions without arguments, each saying its command, its cost and the number to expect.

`names()` lists them, `named(name)` makes one, `difference(a, b)` says what differs and why. A variant is a `replace`.
Numbers under "Expected" are the authors' unless they say that they were measured here.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from alexnet import config
from alexnet.errors import InputError
from alexnet.model.alexnet import AlexNetConfig
from alexnet.recipes.cifar10 import (
    cifar10_11pct,
    cifar10_13pct,
    cifar10_18pct,
    cifar10_80sec,
    cifar10_relu,
    cifar10_tanh,
)
from alexnet.recipes.differences import Difference, difference
from alexnet.recipes.imagenet import (
    code_2012,
    fall_2011,
    half_net,
    one_tower,
    paper_2012,
    six_convs,
    tanh,
    without_colour,
    without_communication,
    without_conv,
    without_crops,
    without_dropout,
    without_norm,
    without_overlap,
)
from alexnet.recipes.photographs import demo, finetuning, imagenette, smoke
from alexnet.training.recipe import Recipe
from alexnet.training.run import read_recipe
from alexnet.training.schedule import Milestones, Plateau

__all__ = [
    "Difference",
    "difference",
    "finetuning",
    "named",
    "names",
    "load",
    "description",
    "shorter",
    "smaller",
    "signals_kept",
]

_ALL: tuple[Callable[[], Recipe], ...] = (
    *(paper_2012, code_2012, one_tower, six_convs, fall_2011),
    *(without_norm, without_overlap, half_net, without_communication),
    *(without_dropout, without_crops, without_colour, tanh),
    *(without_conv(name) for name in ("conv1", "conv2", "conv3", "conv4", "conv5")),
    *(cifar10_80sec, cifar10_18pct, cifar10_13pct, cifar10_11pct, cifar10_relu, cifar10_tanh),
    *(imagenette, demo, smoke),
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


def smaller(recipe: Recipe, width: float = 1 / 8) -> Recipe:
    """`recipe` with that share of its kernels and units, for trials."""
    return replace(recipe, model=replace(recipe.model, width=width))


def signals_kept(recipe: Recipe, width: float) -> Recipe:
    """`recipe` for that share of its width: first weights of conv3 on are larger, so that signals keep their size.

    A unit of a narrow network has fewer inputs, so their deviation grows by 1 / sqrt(width); no other field changes.
    """
    assert isinstance(recipe.model, AlexNetConfig)
    how = recipe.model.initialisation
    scaled = replace(
        how,
        deviation_middle=how.deviation_middle / width**0.5,
        deviation_hidden=how.deviation_hidden / width**0.5,
    )
    return replace(recipe, model=replace(recipe.model, initialisation=scaled))


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
