"""What an experiment is: a claim of the paper, the way to measure it, and the rule that judges it beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from matplotlib.figure import Figure

from alexnet.experiments.bench import FULL, Bench, Budget

Needs = Literal["nothing", "photographs", "cifar10"]
"""The prepared set that an experiment runs on."""
Numbers = Mapping[str, Any]
"""What was measured, as JSON values by name."""


@dataclass(frozen=True)
class Verdict:
    """What the rule says of the numbers."""

    verdict: Literal["reproduced", "not reproduced", "not testable here"]
    reason: str
    """A sentence with the numbers that decided."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What an experiment found."""

    numbers: Numbers
    """All that the rule, the table and a reader need."""
    ours: str
    """Our number in a few words, to stand beside `Experiment.paper`."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Figures by the name of their file, without suffix; the first is shown in the page."""
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Tables by title: rows with the same keys."""
    remarks: tuple[str, ...] = ()
    """Where data or scale differ from the paper's, beyond what the budget says."""


@dataclass(frozen=True)
class Experiment:
    """One claim. `measure` computes, `judge` is a pure function of the numbers that `measure` returned."""

    name: str
    section: str
    """Where the paper says it: "3.1, figure 1"."""
    claim: str
    """What it says, in our words."""
    paper: str
    """Its number: "6 times fewer epochs"."""
    needs: Needs
    cost: str
    """What it takes: "full: 10 runs of 40 epochs; reduced: 2 runs of 10, an hour on two cores"."""
    rule: str
    """The rule of `judge` in words, with the smallest effect that counts."""
    reduced: Budget
    """What is computed where there is no GPU."""
    measure: Callable[[Bench], Measured]
    judge: Callable[[Numbers], Verdict]
    full: Budget = FULL
    """What is computed on a GPU."""
    shows_photographs: bool = False
    """Whether its figures show pictures of the set, which may not be ours to publish: a page does not link them."""
