"""What a sweep was asked to try, and where."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alexnet.sweeps.settings import Span, Value
from alexnet.sweeps.trial import Epochs, Trial, trial
from alexnet.training.recipe import Machine, Recipe

Fields = Mapping[str, Span | Sequence[Value]]
"""Values, or a span to search, by dotted field."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A sweep's question; every way of answering it trains by `trial`."""

    base: Recipe
    data: Path
    fields: Fields
    seeds: int
    """Runs of each setting, with seeds 0, 1, ..."""
    out: Path
    """The folder of its table, picture and runs."""
    machine: Machine
    say: Callable[[str], object]
    """Told of each run before it trains."""

    def trial(self, setting: Mapping[str, Value], seed: int, stop: Callable[[Epochs], bool] | None = None) -> Trial:
        """The run of one setting with one seed, ended after an epoch where `stop` says so."""
        return trial(self.base, setting, seed, self.data, self.out / "runs", self.machine, stop=stop, say=self.say)
