"""The numbers of the paper that need no data: counted from the table that is executed, each by a rule of its own."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from alexnet import recipes
from alexnet.data.views import Views
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.experiment import Experiment, Measured, Numbers, Verdict
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Fact, facts
from alexnet.model.rows import Convolution, Dense, fan_in, input_shapes, multiply_adds, output_shape

_PAPER = AlexNetConfig()
_STORED = 256  # the side of stored images (section 2)
_LABELS = 1000
_FEWER = 10.0  # "much fewer": at least so many times fewer

Rule = Literal["about", "at most", "at least"]


@dataclass(frozen=True)
class Row:
    """One number of the paper, and ours."""

    section: str
    what: str
    paper: float
    ours: float
    unit: float = 1.0
    """One of the last digit that the paper gives."""
    rule: Rule = "about"
    """"about": less than one unit away, for the paper sometimes cuts digits off and sometimes rounds."""
    note: str = ""
    """Why they differ, where they do."""

    @property
    def agrees(self) -> bool:
        """Whether ours is what the paper says, by this row's rule."""
        if self.rule == "about":
            return abs(self.ours - self.paper) < self.unit
        return self.ours <= self.paper if self.rule == "at most" else self.ours >= self.paper


def rows() -> list[Row]:
    """Every row, in the paper's order."""
    return [*_sizes(), *_against_dense(), *_layers(), *_variety(), *_shares()]


def neurons(fact: Fact) -> int:
    """How many units a layer has."""
    return math.prod(fact.shape)


def dense_connections() -> int:
    """Weights of a net whose layers have as many units as the paper's, each connected to all below."""
    table = _PAPER.table()
    shapes = input_shapes(table, _PAPER.input)
    weighted = [row for row in table if isinstance(row, Convolution | Dense)]
    return sum(
        multiply_adds(Dense(row.name, math.prod(output_shape(row, shapes[row.name])), sees="all"), shapes[row.name])
        for row in weighted
    )


def _weighted() -> list[Fact]:
    return [fact for fact in facts(_PAPER) if fact.parameters]


def _parameters(found: Sequence[Fact]) -> int:
    return sum(fact.parameters for fact in found)


def _sizes() -> list[Row]:
    layers = _weighted()
    convolutions = [fact for fact in layers if fact.kind == "Convolution"]
    return [
        Row("abstract", "parameters", 60e6, _parameters(layers), 1e6),
        Row("abstract", "neurons", 650_000, sum(map(neurons, layers)), 10_000),
        Row("abstract", "convolutions", 5, len(convolutions)),
        Row("abstract", "dense layers", 3, len(layers) - len(convolutions)),
    ]


def _against_dense() -> list[Row]:
    connections = sum(fact.multiply_adds for fact in facts(_PAPER))
    dense, count = dense_connections(), _parameters(_weighted())
    return [
        Row("1", "connections: a dense net's over ours", _FEWER, dense / connections, rule="at least"),
        Row("1", "parameters: a dense net's over ours", _FEWER, dense / count, rule="at least"),
        # Without sharing, each connection has a weight of its own.
        Row("1", "parameters: a locally connected net's over ours", _FEWER, connections / count, rule="at least"),
    ]


def _layers() -> list[Row]:
    """Section 3.5 and figure 2, and the net on one GPU that section 3.2 compares with."""
    table = _PAPER.table()
    shapes = input_shapes(table, _PAPER.input)
    half = recipes.named("half-net").model
    assert isinstance(half, AlexNetConfig)
    whole, one = _parameters(_weighted()), _parameters(facts(half))
    conv1 = next(row for row in table if isinstance(row, Convolution))
    alone = output_shape(replace(conv1, before=0, after=0), shapes[conv1.name])[1]
    cut = "the windows do not fit: (224 - 11) / 4 is not whole; 3 zeros at the right and bottom, or 227, give 55"
    found = [
        Row("3.2", "parameters: the net on one GPU over that on two", 1, one / whole, 0.1),
        Row("3.5", "input values, 224×224×3", 150_528, math.prod(shapes[conv1.name])),
        Row("figure 2", "side of the first maps, from 224, 11 and 4 alone", 55, alone, note=cut),
        Row("figure 2", "side of the first maps, as executed", 55, output_shape(conv1, shapes[conv1.name])[1]),
    ]
    kernels = ((96, 11, 3), (256, 5, 48), (384, 3, 256), (384, 3, 192), (256, 3, 192))
    convolutions = [row for row in table if isinstance(row, Convolution)]
    for row, (count, side, maps) in zip(convolutions, kernels, strict=True):
        inputs = fan_in(row, shapes[row.name])
        found += [
            Row("3.5", f"{row.name}: kernels", count, row.kernels),
            Row("3.5", f"{row.name}: weights of a kernel, {side}×{side}×{maps}", side * side * maps, inputs),
        ]
    caption = (253_440, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000)
    slip = "253,440 is 55 × 48 × 96; the maps hold 55 × 55 × 96"
    for fact, paper in zip(_weighted(), caption, strict=True):
        found.append(
            Row("figure 2", f"{fact.name}: neurons", paper, neurons(fact), note=slip if fact.name == "conv1" else "")
        )
    return found


def _variety() -> list[Row]:
    slack = _STORED - Views().crop
    offsets = "a 224 patch has 33 places in 256, the first and the last counted: 33 · 33 · 2, as the authors' code"
    return [
        Row("4", "bits of a label", 10, math.log2(_LABELS)),
        Row("4.1", "times the training set grows by patches and mirrors", 2048, 2 * (slack + 1) ** 2, note=offsets),
        Row("4.1", "the same, the last offset left out", 2048, 2 * slack**2),
    ]


def _shares() -> list[Row]:
    layers = _weighted()
    whole = _parameters(layers)
    share = {fact.name: 100 * fact.parameters / whole for fact in layers}
    found = [Row("3.2", "fc6: % of the parameters ('most')", 50, share["fc6"], rule="at least")]
    for fact in layers:
        if fact.kind == "Convolution":
            over = "rounded to whole per cents, 1" if 1 < share[fact.name] < 1.5 else ""
            what = f"{fact.name}: % of the parameters"
            found.append(Row("1", what, 1, share[fact.name], rule="at most", note=over))
    return found


def _measure(bench: Bench) -> Measured:
    found = rows()
    numbers = {"rows": [asdict(row) for row in found]}
    agreeing = sum(row.agrees for row in found)
    table = [
        {
            "§": row.section,
            "what": row.what,
            "paper": _said(row),
            "ours": _number(row.ours),
            "agrees": "yes" if row.agrees else f"no: {row.note}",
        }
        for row in found
    ]
    ours = f"{agreeing} of {len(found)} agree"
    return Measured(numbers, ours, tables={"The paper's figures and ours": table, "Layers": _described()})


def _described() -> list[dict[str, Any]]:
    """What the paper leaves unsaid of each layer."""
    layers = _weighted()
    whole = _parameters(layers)
    found: list[dict[str, Any]] = [
        {
            "layer": fact.name,
            "output": "×".join(map(str, fact.shape)),
            "neurons": f"{neurons(fact):,}",
            "parameters": f"{fact.parameters:,}",
            "share": f"{fact.parameters / whole:.2%}",
            "multiply-adds": f"{fact.multiply_adds:,}",
        }
        for fact in layers
    ]
    sums = [sum(map(neurons, layers)), whole, sum(fact.multiply_adds for fact in layers)]
    names = ("neurons", "parameters", "multiply-adds")
    total = {
        "layer": "all",
        "output": "",
        "share": "100.00%",
        **{n: f"{s:,}" for n, s in zip(names, sums, strict=True)},
    }
    return [*found, {name: total[name] for name in found[0]}]


def _said(row: Row) -> str:
    sign = {"about": "", "at most": "≤ ", "at least": "≥ "}[row.rule]
    return f"{sign}{_number(row.paper)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or value >= 1000 else f"{value:.3g}"


def _judge(numbers: Numbers) -> Verdict:
    """All, or the slips by name."""
    found = [Row(**row) for row in numbers["rows"]]
    slips = [row for row in found if not row.agrees]
    if not slips:
        return Verdict("reproduced", f"all {len(found)} figures agree.")
    named = "; ".join(f"{row.what}: {_said(row)}, ours {_number(row.ours)}" for row in slips)
    return Verdict(
        "not reproduced",
        f"{len(found) - len(slips)} of {len(found)} figures agree; these do not: {named} "
        "(docs/misreadings.md tells which are slips of the paper).",
    )


EXPERIMENTS = (
    Experiment(
        name="facts",
        section="1 to 4.1, figure 2",
        claim="The network's counts are those that the paper states.",
        paper="60 million parameters, 650,000 neurons, and the counts of every layer",
        needs="nothing",
        cost="none: nothing is trained",
        rule="A figure agrees if ours is less than one of its last digit away (whole counts: equal), or on the right "
        f"side where the paper gives a bound ('much fewer': {_FEWER:.0f} times). Reproduced where all agree; else not "
        "reproduced, and the slips are named.",
        reduced=Budget("full"),
        measure=_measure,
        judge=_judge,
    ),
)
