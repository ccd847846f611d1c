"""Figure 3: do the first kernels of the two towers come to differ in colour, in every run?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.analysis.kernels import kernels
from alexnet.evaluation.classifier import Classifier
from alexnet.experiments.ablations import changed
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.model.network import Network
from alexnet.training.run import Run

_SMALLEST = 0.1  # difference of colour between the towers that counts: noise has 2/3, grey 0
_SPLITS = 10_000
_CYCLES = 3  # in a kernel's side: slower waves than these are smooth
_MOVED = 0.5  # share of the kernels' energy that training made: below it, towers that do not differ yet prove nothing
_FEWEST = 4  # learned kernels of a tower: of 4 and 4 there are 35 divisions, the fewest that reach 5 %
_FIRST = "conv1"


@dataclass(frozen=True, eq=False)
class Towers:
    """The first kernels of one trained network."""

    shown: Network
    """As it was trained."""
    learnt: Network
    """With the learned part of its first kernels in place of them."""
    colour: np.ndarray
    """float64 `[N]`, the share of colour of each kernel's learned part, tower 1's first."""
    learned: np.ndarray
    """bool `[N]`: whether training has made anything of the kernel that is smoother than noise."""
    moved: float
    """The share of the kernels' energy that is the learned part."""

    def to_json(self) -> dict[str, Any]:
        """What the rule needs: by half, the kernels, how many have learned and their colour; what chance gives."""
        halves = np.array_split(np.arange(len(self.colour)), 2)
        own = [self.colour[half][self.learned[half]] for half in halves]
        means = [float(values.mean()) if len(values) else None for values in own]
        return {
            "kernels": [len(half) for half in halves],
            "learned": [len(values) for values in own],
            "colour": means,
            "gap": abs(means[0] - means[1]) if means[0] is not None and means[1] is not None else None,
            "chance": chance(np.concatenate(own), len(own[0])),
            "moved": self.moved,
        }


def colour(weights: np.ndarray) -> np.ndarray:
    """float64 `[N]`, 0..1: the share of each kernel's energy off the grey axis, (1, 1, 1) / sqrt 3 (0 for no energy).

    Args:
        weights: `[N,3,k,k]`, red, green, blue.
    """
    whole = np.square(weights, dtype=np.float64).sum((1, 2, 3))
    grey = np.square(weights.sum(1, dtype=np.float64) / np.sqrt(3)).sum((1, 2))
    return np.where(whole > 0, 1 - grey / np.where(whole > 0, whole, 1), 0.0)


def smoothness(weights: np.ndarray) -> np.ndarray:
    """float64 `[N]`, 0..1: the share of each kernel's energy in waves of at most three cycles along its side."""
    side = weights.shape[-1]
    cycles = np.fft.fftfreq(side) * side
    slow = cycles[:, None] ** 2 + cycles**2 <= _CYCLES**2
    energy = np.square(np.abs(np.fft.fft2(weights)))
    whole = energy.sum((1, 2, 3))
    return np.where(whole > 0, energy[..., slow].sum((1, 2)) / np.where(whole > 0, whole, 1), 0.0)


def beyond(weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """float64 `[N,3,k,k]`: of each kernel the part orthogonal to what it started as."""
    weights, start = weights.astype(np.float64), start.astype(np.float64)
    along = (weights * start).sum((1, 2, 3)) / np.maximum(np.square(start).sum((1, 2, 3)), np.finfo(float).tiny)
    part: np.ndarray = weights - along[:, None, None, None] * start
    return part


def chance(values: np.ndarray, first: int) -> float | None:
    """The difference of means that 95 of 100 random divisions of `values` into `first` and the rest stay below.

    None where a part would be empty.
    """
    if not 0 < first < len(values):
        return None
    mixed = np.random.default_rng(2012).permuted(np.tile(values, (_SPLITS, 1)), axis=1)
    gaps = np.abs(mixed[:, :first].mean(1) - mixed[:, first:].mean(1))
    return float(np.quantile(gaps, 0.95))


def towers(run: Run) -> Towers:
    """The first kernels of a finished run, against those that its seed began with."""
    shown = Classifier.load(run.path, "cpu").network
    start = Network(shown.config)
    start.initialise(run.recipe.seeds.weights)
    return _towers(shown, start)


def _towers(shown: Network, start: Network) -> Towers:
    name = f"{_FIRST}.weight"
    weights = shown.whole()[name].numpy()
    part = beyond(weights, start.whole()[name].numpy())
    noise = np.random.default_rng(2012).normal(size=(_SPLITS, *part.shape[1:]))
    learned = smoothness(part) > np.quantile(smoothness(noise), 0.99)
    start.load_whole({**start.whole(), name: torch.from_numpy(part)})
    moved = float(np.square(part).sum() / np.square(weights, dtype=np.float64).sum())
    return Towers(shown, start, colour(part), learned, moved)


def _measure(bench: Bench) -> Measured:
    """The towers of a run for each seed, and those of the controls for the first."""
    found = {f"two towers, seed {seed}": towers(bench.train(bench.base, seed)) for seed in bench.seeds()}
    controls = {name: towers(bench.train(changed(bench.base, **change))) for name, change in _CONTROLS.items()}
    seeds = [each.to_json() for each in found.values()]
    numbers = {"seeds": seeds, "controls": {name: each.to_json() for name, each in controls.items()}}
    rows = [_row(name, each.to_json()) for name, each in (found | controls).items()]
    figures = {f"kernels-{seed}": kernels(each.shown) for seed, each in enumerate(found.values())}
    for seed, each in enumerate(found.values()):
        figures[f"learned-{seed}"] = kernels(each.learnt)
        figures[f"learned-{seed}"].suptitle("What training added to them", x=0.01, ha="left", fontsize=10)
    figures["colour"] = _drawn(found | controls)
    first = next(iter(found))
    ours = ", ".join(_briefly(each) for each in seeds)
    moved = 100 * found[first].moved
    remarks = (
        "Measured is what training added to each kernel: the part orthogonal to the noise that it started as, which is "
        f"{moved:.0f} % of the kernels' energy in {first}; the paper's, after 90 epochs of 1.2 million photographs, "
        "look free of their start.",
        f"The photographs are of {len(bench.prepared.classes)} classes, {bench.prepared.counts['train']:,} to train "
        "with; the paper's of 1000, 1.2 million.",
    )
    return Measured(numbers, ours, figures, {"Colour of the first kernels": rows}, remarks)


def _judge(numbers: Numbers) -> Verdict:
    """The rule: in every run, or not."""
    seeds: Sequence[Numbers] = numbers["seeds"]
    learned, kernels = (sum(sum(each[name]) for each in seeds) for name in ("learned", "kernels"))
    if 2 * learned < kernels:
        return Verdict("not testable here", f"{learned} of {kernels} kernels have learned; the others are noise.")
    fewest = min(min(each["learned"]) for each in seeds)
    if fewest < _FEWEST:
        return Verdict("not testable here", f"a tower has {fewest} learned kernel(s), too few to tell from chance.")
    if len(seeds) < 2:
        return Verdict("not testable here", "one run cannot show that it happens in every run.")
    shown = "; ".join(_briefly(each) for each in seeds)
    special = [_special(each) for each in seeds]
    moved = float(np.mean([each["moved"] for each in seeds]))
    if not all(special) and moved < _MOVED:
        noise = f"{1 - moved:.0%} of the kernels' energy is still the noise that they started as"
        return Verdict(
            "not testable here", f"{noise}, and the towers differ in {sum(special)} of {len(seeds)}: {shown}."
        )
    if not all(special):
        return Verdict("not reproduced", f"the towers differ in {sum(special)} of {len(seeds)} runs: {shown}.")
    whole = numbers["controls"][_WHOLE]
    if _special(whole):
        return Verdict("not reproduced", f"halves of a net without towers differ as well ({_briefly(whole)}): {shown}.")
    return Verdict("reproduced", f"the towers differ in each of {len(seeds)} runs: {shown}.")


def _special(found: Numbers) -> bool:
    return found["gap"] is not None and found["gap"] >= _SMALLEST and found["gap"] > found["chance"]


def _briefly(found: Numbers) -> str:
    if found["gap"] is None:
        return f"{found['learned'][0]} and {found['learned'][1]} learned kernels"
    one, two = found["colour"]
    return f"colour {one:.2f} and {two:.2f}, {found['gap']:.2f} apart (chance {found['chance']:.2f})"


def _row(name: str, found: Numbers) -> dict[str, Any]:
    return {
        "network": name,
        "learned kernels": f"{found['learned'][0]} + {found['learned'][1]} of {sum(found['kernels'])}",
        "colour, tower 1": found["colour"][0],
        "colour, tower 2": found["colour"][1],
        "apart": found["gap"],
        "95 % of random halves": found["chance"],
        "share learned": found["moved"],
    }


def _drawn(found: dict[str, Towers]) -> Figure:
    """Each learned kernel's share of colour, a row for each network, tower 1 above tower 2; bars at the means."""
    figure = drawing.figure(7, 0.6 + 0.6 * len(found))
    axes = drawing.plain(figure.add_subplot())
    for place, each in enumerate(found.values()):
        halves = np.array_split(np.arange(len(each.colour)), 2)
        for half, shift, ink in zip(halves, (-0.16, 0.16), (drawing.BLUE, drawing.ORANGE), strict=True):
            values = each.colour[half][each.learned[half]]
            axes.plot(values, np.full(len(values), place + shift), "o", color=ink, markersize=4, alpha=0.5, mew=0)
            if len(values):
                axes.plot([values.mean()] * 2, [place + shift - 0.13, place + shift + 0.13], color=ink, linewidth=2)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.axvline(2 / 3, color=drawing.MUTED, linewidth=0.8, linestyle=":")
    axes.set_xlabel("share of colour: 0 grey, 2/3 as in noise (dotted)", fontsize=8)
    return drawing.heading(figure, "What each first kernel has learned: tower 1 blue, tower 2 orange")


_WHOLE = "one tower, its halves"
_CONTROLS: dict[str, dict[str, Any]] = {
    _WHOLE: {"towers": 1},
    "towers that never communicate": {"communication": False},
}

EXPERIMENTS = (
    Experiment(
        name="figure3",
        section="6.1, figure 3",
        claim="The two towers specialise: one's first kernels come out largely free of colour, the other's coloured.",
        paper="in every run, whatever the first weights",
        needs="photographs",
        cost="full: 3 runs and 2 controls, whole schedules; reduced: 2 runs and 2 controls, a quarter of the epochs",
        rule="A kernel counts if what training added to it is smoother than 99 % of noise. Reproduced where, in every "
        f"run, the towers' mean shares of colour differ by at least {_SMALLEST} and by more than 95 % of random "
        "divisions of the same kernels, and the halves of a net with one tower do not. Not testable where fewer than "
        f"half of the kernels count, a tower has fewer than {_FEWEST} that do, there is one run, or the towers do not "
        f"differ while training made less than {_MOVED:.0%} of the kernels' energy. Else not reproduced.",
        reduced=Budget("reduced", epochs=0.25, seeds=2),
        measure=_measure,
        judge=_judge,
    ),
)
