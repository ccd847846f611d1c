"""sweep."""

from pathlib import Path
from typing import Annotated

import tyro

import alexnet
from alexnet import recipes
from alexnet.cli import terminal
from alexnet.cli.training import Sections
from alexnet.errors import InputError
from alexnet.sweeps import settings
from alexnet.sweeps.outcome import Sweep
from alexnet.training.recipe import Machine
from alexnet.training.train import Stopped

_MACHINE = Machine()
Over = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FIELD=VALUES")]


def sweep(arguments: list[str]) -> int:
    """`alexnet sweep RECIPE --data PREPARED --over FIELD=VALUE,VALUE [--seeds N] [--search N] [--out DIR]`."""
    helped = arguments[:1] in (["-h"], ["--help"])
    if not helped and (not arguments or arguments[0].startswith("-")):
        wanted = "`alexnet sweep RECIPE --data PREPARED --over optimiser.learning-rate=0.003,0.01`"
        return terminal.fail(f"sweep wants RECIPE first: {wanted}.", 2)
    name, rest = ("paper-2012", arguments) if helped else (arguments[0], arguments[1:])
    try:
        default = recipes.load(name)
    except InputError as error:
        return terminal.fail(str(error), 1 if name.endswith(".json") else 2)

    def command(
        recipe: Sections = default,
        *,
        data: Path,
        over: Over = (),
        seeds: int = 1,
        search: int | None = None,
        out: Path | None = None,
        epochs: int | None = None,
        json: terminal.Flag = False,
        machine: Machine = _MACHINE,
    ) -> int:
        """Train RECIPE at several settings and compare their validation errors; print the best as a ready command.

        Examples: `alexnet sweep demo --data cells --over optimiser.learning-rate=0.003,0.01,0.03 --seeds 3`;
        `alexnet sweep demo --data cells --over optimiser.learning-rate=0.0001..0.1 --search 30`.
        Values are tried in all combinations. A span a..b is searched by Optuna (pip install 'alexnet[sweep]'), equal
        ratios equally likely where it covers a decade and for rates. The same command goes on; a search is shared by
        all processes, on any machine, that are started with the same --out. Other flags change RECIPE for all runs.

        Args:
            recipe: what is computed.
            data: the prepared set that `alexnet prepare` made; errors are those of its validation split.
            over: a field with its values, a,b,c, or its span, a..b; may be given several times.
            seeds: runs of each setting.
            search: try so many settings, proposed from the errors so far; those that fall behind are ended early.
            out: the folder of runs, table and picture; sweeps/RECIPE when not given.
            epochs: last so long, the whole schedule shrunk or stretched with it.
            json: print JSON alone.
            machine: where it is computed.
        """
        base = recipe if epochs is None else recipes.shorter(recipe, epochs)
        given = dict(settings.read(base, text) for text in over)
        try:
            found = alexnet.sweep(
                base, data, given, seeds=seeds, search=search, out=out, machine=machine, say=terminal.note
            )
        except Stopped as stopped:
            return terminal.fail(str(stopped), 128 + stopped.signal)
        _tell(found, json=json)
        return 0

    return terminal.parse(command, rest, "sweep RECIPE" if helped else f"sweep {name}")


def _tell(found: Sweep, *, json: bool) -> None:
    """Nothing; the table is printed, best first, and where to go on."""
    if json:
        terminal.print_json(found.to_json())
        return
    if not found.rows:
        terminal.note("Other processes are still at every setting; the same command tells of them when they end.")
        return
    table = [{name: _cell(value) for name, value in row.items() if name != "runs"} for row in found.table()]
    order = sorted(found.rows, key=lambda row: (row.state != "finished", 2.0 if row.mean is None else row.mean))
    rows = [table[found.rows.index(row)] for row in order]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in [{name: name for name in widths}, *rows]:
        print("  ".join(row[name].rjust(width) for name, width in widths.items()))
    print(f"table    {found.out / 'sweep.csv'}\npicture  {found.out / 'sweep.png'}")
    print(f"best     {found.ready or 'none: no setting was trained to its end'}")


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
