"""recipes, train, resume, finetune."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

import alexnet
from alexnet import recipes as named_recipes
from alexnet.cli import terminal
from alexnet.config import to_json
from alexnet.errors import InputError
from alexnet.evaluation import classifier_file
from alexnet.training.recipe import Machine, Recipe
from alexnet.training.run import Run
from alexnet.training.schedule import Milestones
from alexnet.training.train import Stopped

Names = Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[A [B]]", help_behavior_hint="")]]
Sections = Annotated[Recipe, tyro.conf.arg(name="")]
"""A recipe whose sections are flags of their own: `--optimiser.learning-rate`, without a `--recipe.` before."""

_MACHINE = Machine()


def recipes(arguments: list[str]) -> int:
    """`alexnet recipes [A [B]]`."""

    def command(names: Names = (), *, json: terminal.Flag = False) -> int:
        """List the named recipes with cost and expected number; show one in full; or what differs between two.

        Examples: `alexnet recipes`, `alexnet recipes paper-2012`, `alexnet recipes paper-2012 code-2012`.

        Args:
            names: none, one or two recipes: names, or recipe.json files.
            json: print JSON and nothing else.
        """
        if len(names) > 2:
            return terminal.fail("recipes takes at most two names: one is shown, two are compared.", 2)
        loaded: dict[str, Recipe] = {}
        for name in names:
            try:
                loaded[name] = named_recipes.load(name)
            except InputError as error:
                return _no_recipe(name, error)
        if len(names) < 2:
            _show(names[0], loaded[names[0]], json=json) if names else _list(json=json)
        else:
            _compare(names, [loaded[name] for name in names], json=json)
        return 0

    return terminal.parse(command, arguments, "recipes")


def train(arguments: list[str]) -> int:
    """`alexnet train RECIPE --data PREPARED --run RUN [--section.field value]`."""
    name, rest, helped = _first(arguments, "paper-2012")
    if not name:
        return terminal.fail("train wants RECIPE first: `alexnet train RECIPE --data PREPARED --run RUN`.", 2)
    try:
        default = named_recipes.load(name)
    except InputError as error:
        return _no_recipe(name, error)

    def command(
        recipe: Sections = default, *, data: Path, run: Path, epochs: int | None = None, machine: Machine = _MACHINE
    ) -> int:
        """Train RECIPE (a name from `alexnet recipes`, or a recipe.json) on a prepared set; draw figures and report.

        Example: `alexnet train paper-2012 --data prepared --run runs/one --optimiser.learning-rate 0.02`.
        Every field of the recipe is a flag, with the recipe's own value as its default: `alexnet train smoke --help`
        shows those of smoke, and without a name they are paper-2012's. If training is stopped, the same command goes
        on. `torchrun --nproc-per-node N -m -- alexnet train ...` spreads it over N processes.

        Args:
            recipe: what is computed.
            data: the prepared set that `alexnet prepare` made.
            run: the folder to make, or that of this very run, stopped before, which then goes on.
            epochs: train for so many, the whole schedule shrunk or stretched in proportion.
            machine: where it is computed: this changes its speed, not the recipe.
        """
        return _finished(lambda: alexnet.train(_lasting(recipe, default, epochs), data, run, machine))

    return terminal.parse(command, _spread(rest), "train RECIPE" if helped else f"train {name}")


def resume(arguments: list[str]) -> int:
    """`alexnet resume RUN [--data MOVED]`."""

    def command(
        run: Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]],
        *,
        data: Path | None = None,
        machine: Machine = _MACHINE,
    ) -> int:
        """Go on with a stopped or killed run: on the same machine the result is bit for bit that of an undisturbed run.

        Example: `alexnet resume runs/one`.

        Args:
            run: the run's folder.
            data: where its prepared set is now, if it has moved.
            machine: where it is computed: this changes its speed, not the recipe. It may differ from before.
        """
        return _finished(lambda: alexnet.resume(run, data, machine))

    if any(word.split("=")[0] in ("--epochs", "--schedule.epochs") for word in arguments):
        return terminal.fail(
            "resume goes on to the end that its run was given; `alexnet train RECIPE --run NEW --epochs N` gives a new "
            "run another.",
            2,
        )
    return terminal.parse(command, _spread(arguments), "resume")


def finetune(arguments: list[str]) -> int:
    """`alexnet finetune RUN --data PREPARED --run NEW [--section.field value]`."""
    start, rest, helped = _first(arguments, "")
    if not (start or helped):
        return terminal.fail("finetune wants RUN first: `alexnet finetune RUN --data PREPARED --run NEW`.", 2)
    if helped:
        model, views = Recipe().model, Recipe().views
    else:
        described, _ = classifier_file.read(classifier_file.find(start))
        model, views = described.network, described.views
    default = named_recipes.finetuning(model, views)

    def command(
        recipe: Sections = default, *, data: Path, run: Path, epochs: int | None = None, machine: Machine = _MACHINE
    ) -> int:
        """Go on from RUN (a run's folder, a classifier file or a shipped name), on the same or on other classes.

        Example: `alexnet finetune runs/one --data flowers --run runs/flowers --epochs 20`.
        The network and its input are RUN's, with a new last layer where the classes differ. That layer learns faster
        than the others at first; the first convolution learns slowly and then no more. The rate, 0.001, suits a
        large network that learnt from many pictures: a small one of your own hardly moves in a few epochs, give it
        --optimiser.learning-rate 0.01. Every field of the recipe is a flag.

        Args:
            recipe: what is computed.
            data: the prepared set to train on.
            run: the new run's folder.
            epochs: train for so many, the whole schedule shrunk or stretched in proportion.
            machine: where it is computed: this changes its speed, not the recipe.
        """
        return _finished(lambda: alexnet.finetune(start, data, run, _lasting(recipe, default, epochs), machine))

    return terminal.parse(command, _spread(rest), "finetune RUN" if helped else f"finetune {start}")


def _first(arguments: list[str], helped_by: str) -> tuple[str, list[str], bool]:
    """The first argument, the rest, and whether help was asked for without one; then the first is `helped_by`.

    It must come before the flags, because what it names decides which flags there are.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        return helped_by, arguments, True
    if not arguments or arguments[0].startswith("-"):
        return "", arguments, False
    return arguments[0], arguments[1:], False


def _no_recipe(name: str, error: InputError) -> int:
    """The exit code, once the error is told of: an unknown name is wrong usage, a file that cannot be read is not."""
    return terminal.fail(str(error), 1 if name.endswith(".json") else 2)


def _lasting(recipe: Recipe, default: Recipe, epochs: int | None) -> Recipe:
    """`recipe` over `epochs`; what a changed `schedule.epochs` leaves where `default` has it is told of."""
    ours, theirs = recipe.schedule, default.schedule
    stays = []
    if isinstance(ours, Milestones) and isinstance(theirs, Milestones) and ours.milestones == theirs.milestones:
        stays += ["milestones at " + ", ".join(f"{m.epoch:g}" for m in ours.milestones)] if ours.milestones else []
    if ours.warmup and ours.warmup == theirs.warmup:
        stays.append(f"a warm-up of {ours.warmup:g} epochs")
    if stays and ours.epochs != theirs.epochs:
        terminal.note(
            f"alexnet: --schedule.epochs moves only the end: {' and '.join(stays)} stay as for {theirs.epochs} epochs. "
            f"--epochs {ours.epochs} stretches or shrinks the whole schedule."
        )
    return recipe if epochs is None else named_recipes.shorter(recipe, epochs)


def _spread(arguments: list[str]) -> list[str]:
    """`--machine.keep-epochs 0,1,2` as tyro takes it: each epoch a word."""
    flag = "--machine.keep-epochs"
    words: list[str] = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        words += word.split(",") if before == flag else [word]
    return words


def _finished(begin: Callable[[], Run]) -> int:
    """0 once the run is finished and told of, or 128 and the number of the signal that stopped it."""
    try:
        run = begin()
    except Stopped as stopped:
        return terminal.fail(str(stopped), 128 + stopped.signal)
    print(f"classifier  {run.path / 'weights.safetensors'}\nreport      {run.path / 'report.html'}")
    return 0


def _list(*, json: bool) -> None:
    if json:
        terminal.print_json([{"name": name, **_parts(name)} for name in named_recipes.names()])
        return
    for name in named_recipes.names():
        parts = _parts(name)
        print(f"{name:<24}{parts['what']}")
        for key in ("cost", "expected"):
            if parts.get(key):
                print(f"{'':<24}{key}: {parts[key]}")


def _show(name: str, recipe: Recipe, *, json: bool) -> None:
    if not json and name in named_recipes.names():
        print(named_recipes.description(name), end="\n\n")
    if json:
        terminal.print_json(to_json(recipe))
    else:
        terminal.console().print_json(data=to_json(recipe))


def _compare(names: Sequence[str], loaded: Sequence[Recipe], *, json: bool) -> None:
    (first, second), differences = names, named_recipes.difference(*loaded)
    if json:
        terminal.print_json([to_json(vars(entry)) for entry in differences])
        return
    for entry in differences:
        print(f"{entry.field}: {_value(entry.a)} in {first}, {_value(entry.b)} in {second}")
        if entry.why:
            print(f"    {entry.why}")
    if not differences:
        print(f"{first} and {second} compute the same.")


def _parts(name: str) -> dict[str, str]:
    """What a recipe says of itself: "what", and "command", "cost", "expected" where it says them."""
    first, *rest = named_recipes.description(name).splitlines()
    parts, key = {"what": first}, ""
    for line in rest:
        head, colon, tail = line.partition(": ")
        if colon and head in ("Command", "Cost", "Expected"):
            key = head.lower()
            parts[key] = tail
        elif key and line:
            parts[key] += f" {line}"
    return parts


def _value(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        parts = ({k: v for k, v in part.items() if k != "class" and v is not None} for part in value)
        return "; ".join(", ".join(f"{key} {value}" for key, value in part.items()) for part in parts)
    return "absent" if value is None else str(value)
