"""What a sweep found: a row for each setting, the table, the picture, and the command that trains the best."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.sweeps import settings
from alexnet.sweeps.settings import Value
from alexnet.sweeps.trial import Trial


@dataclass(frozen=True)
class Row:
    """A setting and what its runs came to."""

    setting: Mapping[str, Value]
    """What it changes, by dotted field."""
    errors: tuple[float, ...]
    """Each seed's top-1 validation error after its last epoch; none of a broken run."""
    state: Literal["finished", "pruned", "broken"]
    """All runs to their end; ended early, worse than the median of the finished; or one ceased to be finite."""
    epochs: int
    """How many the first seed's run lasted."""
    runs: tuple[str, ...]
    """The names of their folders, by seed."""
    losses: tuple[float, ...] = ()
    """Each seed's validation loss, where `errors` are."""

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> "Row":
        """The row of a setting's runs, one for each seed."""
        states = [trial.state for trial in trials]
        told = [trial for trial in trials if trial.error is not None]
        state: Literal["finished", "pruned", "broken"] = "pruned" if "stopped" in states else "finished"
        return cls(
            setting=dict(trials[0].setting),
            errors=tuple(trial.error for trial in told if trial.error is not None),
            state="broken" if "broken" in states else state,
            epochs=len(trials[0].epochs),
            runs=tuple(trial.run.name for trial in trials),
            losses=tuple(float(trial.epochs[-1]["validation"]["loss"]) for trial in told),
        )

    @property
    def mean(self) -> float | None:
        """The mean error over seeds; None where a run broke."""
        return sum(self.errors) / len(self.errors) if self.errors and self.state != "broken" else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None for one seed."""
        return float(np.std(self.errors, ddof=1)) if len(self.errors) > 1 and self.state != "broken" else None

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values, the fields as on the command line."""
        shown = {settings.shown(name): value for name, value in self.setting.items()}
        return {**asdict(self), "setting": shown, "mean": self.mean, "spread": self.spread}


@dataclass(frozen=True)
class Sweep:
    """What a sweep found."""

    rows: tuple[Row, ...]
    """In the order of the grid, or of the search's trials."""
    out: Path
    """The folder of its table, picture and runs."""
    command: tuple[str, ...]
    """The words of `alexnet train` for the base, to which a setting's flags are added."""

    @property
    def best(self) -> Row | None:
        """The finished setting with the lowest mean error, by `best`; None where none finished."""
        return best(self.rows)

    @property
    def ready(self) -> str | None:
        """The command that trains the best setting into a run of its own."""
        return shlex.join([*self.command, *settings.flags(self.best.setting)]) if self.best else None

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        best = self.best.to_json() if self.best else None
        return {"rows": [row.to_json() for row in self.rows], "best": best, "command": self.ready, "out": str(self.out)}

    def table(self) -> list[dict[str, Any]]:
        """The rows with a column for each field, one for each seed's error, and the rest."""
        seeds = max((len(row.runs) for row in self.rows), default=0)
        return [
            {
                **{settings.shown(name): value for name, value in row.setting.items()},
                "error": row.mean,
                "spread": row.spread,
                **{f"seed {i}": row.errors[i] if i < len(row.errors) else None for i in range(seeds)},
                "epochs": row.epochs,
                "state": row.state,
                "runs": " ".join(row.runs),
            }
            for row in self.rows
        ]

    def picture(self) -> Figure:
        """Validation error against each field's values: dots are runs, bars their mean and spread."""
        names = list(self.rows[0].setting)
        figure = drawing.figure(1.5 + 3.5 * len(names), 3.6)
        for place, name in enumerate(names, start=1):
            axes = drawing.plain(figure.add_subplot(1, len(names), place))
            _panel(axes, self.rows, name, joined=len(names) == 1)
            axes.set_xlabel(settings.shown(name), fontsize=8, color=drawing.MUTED)
            if place == 1:
                drawing.title(axes, "Top-1 validation error")
                if axes.get_legend_handles_labels()[0]:
                    axes.legend(frameon=False, fontsize=8, labelcolor=drawing.INK)
        return figure


def best(rows: Sequence[Row]) -> Row | None:
    """The first of the finished with the lowest mean error, of those with the lowest mean loss; None without any."""
    finished = [row for row in rows if row.state == "finished" and row.mean is not None]
    return min(finished, key=lambda row: (row.mean, sum(row.losses) / max(1, len(row.losses))), default=None)


def _panel(axes: Axes, rows: Sequence[Row], name: str, *, joined: bool) -> None:
    shown = [row for row in rows if row.mean is not None]
    known = list(zip(_places(axes, [row.setting[name] for row in shown]), shown, strict=True))
    for state, colour, label in (("finished", drawing.BLUE, "to the end"), ("pruned", drawing.MUTED, "pruned")):
        dots = [(place, error) for place, row in known if row.state == state for error in row.errors]
        if dots:
            axes.plot(*zip(*dots, strict=True), "o", color=colour, alpha=0.5, markersize=4, linestyle="", label=label)
    means = sorted((place, row.mean, row.spread or 0.0) for place, row in known if row.state == "finished")
    if means:
        x, y, spread = zip(*means, strict=True)
        line = "-" if joined else ""
        axes.errorbar(x, y, spread, color=drawing.BLUE, marker="_", linestyle=line, linewidth=1.4, capsize=3)


def _places(axes: Axes, values: Sequence[Value]) -> list[float]:
    """Where values stand on the axis: numbers at themselves (logarithmic over a decade), words side by side."""
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        if numbers and min(numbers) > 0 and max(numbers) >= 9.99 * min(numbers):
            axes.set_xscale("log")
        return numbers
    words = list(dict.fromkeys(values))
    axes.set_xticks(range(len(words)), [str(word) for word in words])
    return [float(words.index(value)) for value in values]
