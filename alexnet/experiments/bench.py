"""Where experiments train: runs shared by all of them, shrunk to a budget, measured on the same images."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from alexnet import config, devices, recipes
from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import PreparedSet
from alexnet.evaluation.classifier import Classifier, ViewsName
from alexnet.evaluation.evaluate import Evaluation, evaluate
from alexnet.training.recipe import Machine, Recipe, Seeds
from alexnet.training.run import Run
from alexnet.training.train import train


@dataclass(frozen=True)
class Budget:
    """How much of an experiment is computed; said in its result."""

    name: str
    """"full", "reduced" or "smoke"."""
    epochs: float = 1.0
    """The share of each recipe's epochs, at least one, the schedule shrunk with it."""
    width: float = 1.0
    """The share of each network's kernels and units."""
    seeds: int = 3
    """Runs of each recipe, with seeds 0, 1, ..."""

    def shrink(self, recipe: Recipe) -> Recipe:
        """`recipe` within this budget."""
        if self.epochs != 1.0:
            recipe = recipes.shorter(recipe, max(1, round(recipe.schedule.epochs * self.epochs)))
        return recipe if self.width == 1.0 else recipes.smaller(recipe, recipe.model.width * self.width)


FULL = Budget("full")


@dataclass
class Bench:
    """What an experiment measures with: one prepared set, a folder of runs, a budget and a machine.

    The same recipe on the same data is one run, whichever experiments ask for it, and is resumed when it was stopped.
    """

    data: Path
    runs: Path
    budget: Budget
    machine: Machine = field(default_factory=Machine)
    pretrain: Path | None = None
    """Another prepared set, to pretrain on."""
    say: Callable[[str], object] = lambda _: None
    """Told of each run before it begins."""
    used: dict[str, Recipe] = field(default_factory=dict)
    """Every recipe that was trained or asked for, by its run's name; for the result file."""

    @cached_property
    def prepared(self) -> PreparedSet:
        """The opened set."""
        return PreparedSet.open(self.data)

    @property
    def split(self) -> str:
        """The split that errors are of: `test` where the set has one, else `val`."""
        return "test" if self.prepared.counts.get("test") else "val"

    @property
    def base(self) -> Recipe:
        """The recipe that photographs are compared on: the paper's for ImageNet, `imagenette` for fewer classes.

        Its noise of colours is the paper's in both, so that each part of the paper can be taken away from it.
        """
        if len(self.prepared.classes) >= 1000:
            return recipes.named("paper-2012")
        base = recipes.named("imagenette")
        return replace(base, views=replace(base.views, colour="paper"))

    def seeds(self) -> range:
        """The seeds of the budget."""
        return range(self.budget.seeds)

    def train(self, recipe: Recipe, seed: int = 0, *, start: Path | None = None, data: Path | None = None) -> Run:
        """The finished run of `recipe`, within the budget, with that seed for weights and data.

        Args:
            start: a classifier file to begin from.
            data: another prepared set than the bench's.
        """
        recipe = replace(self.budget.shrink(recipe), seeds=Seeds(seed, seed))
        data = data or self.data
        name = run_name(recipe, data, start)
        self.used[name] = recipe
        self.say(name)
        return train(recipe, data, self.runs / name, self.machine, start)

    def evaluate(
        self, *runs: Run, split: str | None = None, views: ViewsName = "centre", probabilities: bool = False
    ) -> Evaluation:
        """The errors of a run, or of several averaged, after their last epoch on a split of the bench's set."""
        device = devices.choose(self.machine.devices[0])
        classifiers = [Classifier.load(run.path, str(device)) for run in runs]
        loader = Loader(self.prepared.split(split or self.split), Loading(batch=128), device)
        classes = self.prepared.classes
        return evaluate(classifiers, loader, views, classes=classes, probabilities=probabilities)


def training_error(run: Run) -> float:
    """The top-1 error of a run's last epoch on its training images, as they were shown to it."""
    return float(epochs(run)[-1]["training"]["top1_error"])


def epochs(run: Run) -> list[dict[str, dict[str, float]]]:
    """The journal's lines of whole epochs, first to last."""
    return [line for line in run.journal() if line["event"] == "epoch"]


def run_name(recipe: Recipe, data: Path, start: Path | None) -> str:
    """A name that two different runs do not share: the recipe's, a hash of all that decides the run, the seed."""
    decides = [config.to_json(recipe), PreparedSet.open(data).fingerprint, str(start or "")]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return f"{recipe.name}-{digest[:8]}-{recipe.seeds.weights}"
