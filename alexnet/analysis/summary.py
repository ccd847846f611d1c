"""A network in numbers: what each row is, in each tower and in all, and what its units see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alexnet.model import network, rows
from alexnet.model.network import Config, Fact
from alexnet.model.rows import Convolution, Dense, Dropout, LocallyConnected, Pool, ResponseNorm, Row, SameMapNorm


@dataclass(frozen=True)
class Summary:
    """The rows of a network in order, and their totals."""

    name: str
    config: Config
    rows: tuple[Fact, ...]
    computes: tuple[str, ...]
    """What each row does, in words."""

    @property
    def input(self) -> int:
        """The side of its images in pixels."""
        return self.config.input

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(fact.parameters for fact in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Products of a weight and an input for one image, forward."""
        return sum(fact.multiply_adds for fact in self.rows)

    @property
    def towers(self) -> int:
        """One or two."""
        return max(fact.towers for fact in self.rows)

    def to_json(self) -> dict[str, Any]:
        """What `alexnet summary --json` prints."""
        return {
            "name": self.name,
            "input": [3, self.input, self.input],
            "towers": self.towers,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "rows": [self._row(fact, words) for fact, words in zip(self.rows, self.computes, strict=True)],
        }

    def __str__(self) -> str:
        """The table, a line a row; numbers of one of two towers stand before those of both."""
        head = ["row", "computes", "output", "parameters", "in all", "multiply-adds", "in all", "field", "stride"]
        if self.towers > 1:
            head = ["row", "computes", "a tower", "parameters", "both", "multiply-adds", "both", "field", "stride"]
        lines = [self._line(fact, words) for fact, words in zip(self.rows, self.computes, strict=True)]
        totals = ["in all", "", "", "", f"{self.parameters:,}", "", f"{self.multiply_adds:,}", "", ""]
        if self.towers == 1:
            head, totals, *lines = [row[:4] + [row[5]] + row[7:] for row in (head, totals, *lines)]
            totals[3], totals[4] = f"{self.parameters:,}", f"{self.multiply_adds:,}"
        return table([head, *lines, totals])

    def sees(self, fact: Fact) -> tuple[int, bool]:
        """The side of what one unit sees of the image, and whether that is all of it."""
        whole = fact.field.window(0, self.input) == (0, self.input)
        return (self.input if whole else fact.field.size), whole

    def _line(self, fact: Fact, words: str) -> list[str]:
        side, whole = self.sees(fact)
        numbers = (fact.tower_parameters, fact.parameters, fact.tower_multiply_adds, fact.multiply_adds)
        return [
            fact.name,
            words,
            (f"{fact.towers} × " if fact.towers > 1 else "") + shaped(fact.tower_shape),
            *(f"{number:,}" if number else "" for number in numbers),
            "all" if whole and not fact.field.stride else str(side),
            str(fact.field.stride or ""),
        ]

    def _row(self, fact: Fact, words: str) -> dict[str, Any]:
        side, _ = self.sees(fact)
        return {
            "name": fact.name,
            "kind": fact.kind,
            "computes": words,
            "output": list(fact.shape),
            "towers": fact.towers,
            "output_by_tower": list(fact.tower_shape),
            "parameters": fact.parameters,
            "parameters_by_tower": fact.tower_parameters,
            "multiply_adds": fact.multiply_adds,
            "multiply_adds_by_tower": fact.tower_multiply_adds,
            "receptive_field": fact.field.size if fact.field.stride else side,
            "stride": fact.field.stride or None,
        }


def summary(config: Config, name: str = "") -> Summary:
    """The summary of a network; nothing is computed or held in memory.

    Args:
        config: AlexNetConfig or Cifar10Config: `recipes.paper_2012().model`.
        name: what it is called.
    """
    facts = tuple(network.facts(config))
    return Summary(name, config, facts, tuple(computes(row) for row in config.table()))


def computes(row: Row) -> str:
    """What a row does, in words of a table."""
    match row:
        case Convolution():
            step = f", stride {row.stride}" if row.stride > 1 else ""
            both = ", reads both towers" if row.sees_all_towers and row.towers > 1 else ""
            return f"{row.kernels} kernels {row.size}×{row.size}{step}{both}"
        case LocallyConnected():
            return f"{row.kernels} kernels {row.size}×{row.size} at each place"
        case Dense():
            both = ", reads both towers" if row.sees_all_towers and row.towers > 1 else ""
            return f"{row.units} units{both}"
        case Pool():
            what = "maximum" if row.kind == "max" else "mean"
            return f"{what} of {row.size}×{row.size}, stride {row.stride}"
        case ResponseNorm():
            return f"norm over {row.n} maps" + (" across towers" if row.across else "")
        case SameMapNorm():
            return f"norm over {row.n}×{row.n} places"
        case Dropout():
            return f"dropout {1 - row.keep:g}"
        case rows.Tanh():
            return "tanh"
        case _:
            return "rectifier"


def shaped(shape: Sequence[int]) -> str:
    """A shape as people write it: 55×55×48, or 2048."""
    return "×".join(map(str, (*shape[1:], shape[0])))


def table(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns, the first two and texts to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = 2
    shown = []
    for line in lines:
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        shown.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, shown))
    return "\n".join([shown[0], rule, *shown[1:-1], rule, shown[-1]])
