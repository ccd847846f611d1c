"""Where experiments train: runs shared by all of them, shrunk to a budget, measured on the same images."""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from alexnet import config, devices, recipes
from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import ClassName, PreparedSet, Shards
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier, ViewsName
from alexnet.evaluation.evaluate import Evaluation, evaluate
from alexnet.files import checksum, write_aside
from alexnet.sweeps.outcome import Row, best
from alexnet.sweeps.trial import trial
from alexnet.training import environment
from alexnet.training.finished import finished
from alexnet.training.parts import WAY_OUT, NotFinite
from alexnet.training.recipe import Machine, Recipe, Seeds
from alexnet.training.run import Run, unique_name
from alexnet.training.train import train

_EVALUATION = 2  # the version of what `Bench.evaluate` keeps


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
    rates: tuple[float, ...] = ()
    """Multiples of each recipe's learning rate to try before it is compared with others; none: its own alone."""

    def __post_init__(self) -> None:
        if any(not rate > 0 for rate in self.rates):
            raise InputError("the budget's rates are multiples of each recipe's learning rate, above 0: 0.5 1 2.")
        if self.seeds < 1 or not 0 <= self.epochs <= 10 or not 0 < self.width <= 4:
            raise InputError(
                f"the budget has {self.seeds} seeds, {self.epochs} of the epochs and {self.width} of the width; "
                "it takes at least one seed, epochs from 0 to 10 and a width above 0 and up to 4."
            )

    def shrink(self, recipe: Recipe) -> Recipe:
        """`recipe` within this budget."""
        if self.epochs != 1.0:
            recipe = recipes.shorter(recipe, max(1, round(recipe.schedule.epochs * self.epochs)))
        return recipe if self.width == 1.0 else recipes.smaller(recipe, recipe.model.width * self.width)


FULL = Budget("full")
REDUCED = Budget("reduced", epochs=0.25, width=0.25, seeds=3)
"""Of photographs where there is no GPU. Its runs are shared: ten epochs, some 6 minutes each on one core with AMX."""


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
    """The recipe of every run that was asked for, by the run's name; for the result file."""
    elsewhere: set[str] = field(default_factory=set)
    """The other prepared sets that a run was trained on, by name; likewise."""
    rivals: set[Path] = field(default_factory=set)
    """The folders of the rivals that were asked for; likewise."""
    measured_by: set[str] = field(default_factory=set)
    """The commits of the code that measured what was kept; likewise."""
    tuned: bool = False
    """Whether rates were chosen on the validation images of the bench's set; likewise."""

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

        What it was resumed from is deleted once it is finished.

        Args:
            start: a classifier file to begin from; its rate is then the recipe's, whatever the budget's.
            data: another prepared set than the bench's.

        Raises:
            NotFinite: its numbers ceased to be finite; the sentence names the run.
        """
        data = data or self.data
        recipe = self.budget.shrink(recipe)
        if self.budget.rates and start is None:
            recipe = self._tuned(recipe, data)
        recipe = replace(recipe, seeds=Seeds(seed, seed))
        prepared = PreparedSet.open(data)
        name = unique_name(recipe, prepared, start)
        run = _finished(self.runs / name, recipe, prepared)
        if run is None:
            self.say(f"{name}: {self.differs(recipe)}")
            run = self._trained(name, recipe, data, start)
        self.used[name] = run.recipe
        if prepared.fingerprint != self.prepared.fingerprint:
            self.elsewhere.add(data.name)
        return run

    def _trained(self, name: str, recipe: Recipe, data: Path, start: Path | None) -> Run:
        try:
            return train(recipe, data, self.runs / name, self.machine, start, shared=True)
        except NotFinite as error:
            self.used[name] = Run.open(self.runs / name).recipe
            raise NotFinite(f"{name}: {str(error).removesuffix(WAY_OUT).strip()}") from error

    def _tuned(self, recipe: Recipe, data: Path) -> Recipe:
        """`recipe` at that of the budget's rates whose first seed errs least on validation, then by loss."""
        prepared = PreparedSet.open(data)
        if not prepared.counts.get("val"):
            raise InputError(f"{data} has no `val` split to choose rates on: prepare it with --holdout 0.1.")
        own = recipe.optimiser.learning_rate
        tried = [
            trial(recipe, {"optimiser.learning_rate": rate * own}, 0, data, self.runs, self.machine, say=self.say)
            for rate in sorted(self.budget.rates, key=lambda rate: abs(math.log(rate)))
        ]
        self.used |= {each.run.name: each.recipe for each in tried}
        self.tuned |= prepared.fingerprint == self.prepared.fingerprint
        rows = [Row.of([each]) for each in tried]
        chosen = tried[rows.index(best(rows) or rows[0])]
        return replace(recipe, optimiser=chosen.recipe.optimiser)

    def differs(self, recipe: Recipe) -> str:
        """In what `recipe` differs from the named recipe that it began as, both within the budget, as words."""
        named = self.budget.shrink(recipes.named(recipe.name)) if recipe.name in recipes.names() else Recipe()
        changes = [(f, ours) for f, _, ours in config.difference(named, recipe) if not f.startswith("seeds.")]
        return ", ".join(f"{field} {ours}" for field, ours in changes) or "as named"

    def evaluate(
        self,
        *runs: Run,
        split: str | None = None,
        views: ViewsName = "centre",
        probabilities: bool = False,
        first: int | None = None,
    ) -> Evaluation:
        """The errors of a run, or of several averaged, after their last epoch on a split of the bench's set.

        What was found is kept beside the runs.

        Args:
            first: only so many images, the first in the stored order, which is a random one.
        """
        shards = _first(self.prepared.split(split or self.split), first)
        decides = [[run.name for run in runs], self.prepared.fingerprint, split or self.split, views, len(shards)]

        def compute() -> dict[str, Tensor]:
            device = devices.choose(self.machine.devices[0])
            classifiers = [Classifier.load(run.path, str(device)) for run in runs]
            loader = Loader(shards, Loading(batch=128), device, cache="none")
            found = evaluate(classifiers, loader, views, classes=self.prepared.classes, probabilities=probabilities)
            errors = ("top1_errors", "top5_errors")
            numbers = torch.tensor([found.loss, found.top1_error, found.top5_error], dtype=torch.float64)
            tensors = {name: getattr(found, name) for name in ("labels", "answers", "losses", *errors)}
            return {"numbers": numbers, **tensors, **({"probabilities": found.probabilities} if probabilities else {})}

        kept = self.kept("probabilities" if probabilities else "evaluation", decides, compute, _EVALUATION, runs)
        loss, top1, top5 = kept["numbers"].tolist()
        words = {entry.name: entry for entry in self.prepared.classes}
        return Evaluation(
            *(loss, top1, top5, len(shards), views, len(runs)),
            classes=tuple(words.get(name, ClassName(name, name)) for name in runs[0].data["classes"]),
            labels=kept["labels"],
            answers=kept["answers"],
            losses=kept["losses"],
            top1_errors=kept["top1_errors"],
            top5_errors=kept["top5_errors"],
            paths=shards.paths,
            probabilities=kept.get("probabilities"),
            split=split or self.split,
            data={"path": str(self.data.resolve()), "fingerprint": self.prepared.fingerprint},
        )

    def kept(
        self,
        what: str,
        decides: Any,
        compute: Callable[[], dict[str, Tensor]],
        version: int = 1,
        runs: Sequence[Run] = (),
    ) -> dict[str, Tensor]:
        """The tensors that `compute` gives, called only once: they lie beside the runs, in a file of their own.

        The file tells by which commit they were computed; later code does not compute them again.

        Args:
            what: a word that tells a reader of the folder what they are.
            decides: JSON values that differ wherever the tensors do: names of runs, a set's fingerprint, settings.
            version: raised by hand with every change of the code that makes `compute` find other tensors, so that
                what earlier code kept is left alone.
            runs: those whose weights decide too: once these are others, the tensors are computed anew.
        """
        kind = what if version == 1 else f"{what}-{version}"
        path = self.runs / "kept" / f"{kind}-{config.digest(decides)}.safetensors"
        weights = [run.path / "weights.safetensors" for run in runs]
        if not _of_these(path, weights):
            digests = _digests(weights)
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in compute().items()}
            with write_aside(path) as aside:
                save_file(tensors, aside, {"commit": environment.commit(), "weights": digests})
        with safe_open(path, "pt") as file:
            self.measured_by.add((file.metadata() or {}).get("commit", "unknown"))
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict


def _finished(path: Path, recipe: Recipe, prepared: PreparedSet) -> Run | None:
    """The run at `path` if it is finished and is that of `recipe`; `train` sees to any other."""
    if not finished(path):
        return None
    run = Run.open(path)
    asked = replace(recipe, model=replace(recipe.model, classes=len(prepared.classes)))
    return None if config.difference(run.recipe, asked) else run


def _of_these(path: Path, weights: Sequence[Path]) -> bool:
    """Whether the kept file is there, and was computed from these files of weights as they are now."""
    if not path.is_file():
        return False
    if not all(file.is_file() for file in weights):
        return True  # deleted to make room: there is nothing to compute from
    with safe_open(path, "pt") as file:
        told = (file.metadata() or {}).get("weights")
    if told is None:  # older code wrote it, which did not say
        return all(file.stat().st_mtime <= path.stat().st_mtime for file in weights)
    return bool(told == _digests(weights))


def _digests(weights: Sequence[Path]) -> str:
    return " ".join(_digest(file, file.stat().st_mtime_ns) for file in weights if file.is_file())


@functools.lru_cache
def _digest(file: Path, _: int) -> str:
    """The checksum of a file written at that time, which is read once: it may have a quarter of a gigabyte."""
    return checksum(file)


def _first(shards: Shards, count: int | None) -> Shards:
    """The first `count` images of a split, or all."""
    part = copy.copy(shards)
    part.labels, part.paths = shards.labels[:count], shards.paths[:count]
    return part
