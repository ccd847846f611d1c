"""A recipe trained over a grid of settings, or over those that a search proposes; the table, the picture, the best.

`alexnet.sweep` is the function `sweep` of this file.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

from alexnet import config, distributed, drawing, recipes
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.files import write_csv, write_json
from alexnet.sweeps import search as searching
from alexnet.sweeps import settings
from alexnet.sweeps.outcome import Row, Sweep
from alexnet.sweeps.plan import Fields, Plan
from alexnet.sweeps.settings import Span
from alexnet.training.recipe import Machine, Recipe
from alexnet.training.train import fitted


def sweep(
    recipe: Recipe,
    data: str | Path,
    over: Fields,
    *,
    seeds: int = 1,
    search: int | None = None,
    out: str | Path | None = None,
    machine: Machine | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Sweep:
    """The errors of `recipe` over all combinations of values, or over as many settings as a search may try.

    In `out` (sweeps/NAME when not given) are sweep.csv, sweep.png and the runs. What was finished there is not
    computed again, what was stopped goes on. Where other processes are still at every setting of a search, there are
    no rows, and nothing is written.

    Args:
        over: values of fields, by the command line's names ({"optimiser.learning-rate": (0.003, 0.01)}); with `search`
            also spans.
        seeds: runs of each setting, with seeds 0, 1, ...
        search: how many settings Optuna tries, all processes together that search the same in the same `out`. A
            setting whose validation error is above the median, at the same epoch, of those that finished is ended.
        say: told of each run before it trains.

    Raises:
        InputError: no such field or value, a set without validation images, or Optuna is missing.
        Stopped: a signal came; the same call goes on.
    """
    data, machine = Path(data), machine or Machine()
    out = Path(out) if out is not None else Path("sweeps") / recipe.name
    fields = {settings.field(recipe, name)[0]: values for name, values in over.items()}
    _require(recipe, data, fields, seeds, search)
    plan = Plan(recipe, data, fields, seeds, out, machine, say)
    rows = _grid(plan) if search is None else searching.search(plan, search)
    named = recipe.name in recipes.names() and recipes.named(recipe.name) == recipe
    name = recipe.name if named else str(out / "recipe.json")
    words = ("alexnet", "train", name, "--data", str(data), "--run", str(out / "best"))
    found = Sweep(tuple(rows), out, words)
    if not rows:
        return found
    write_json(out / "recipe.json", config.to_json(recipe))
    table = found.table()
    write_csv(out / "sweep.csv", table[0], ([row[name] for name in table[0]] for row in table))
    drawing.save(found.picture(), out / "sweep.png")
    return found


def _grid(plan: Plan) -> list[Row]:
    """A row for each combination, in the order given, the last field's values fastest."""
    columns = [values for values in plan.fields.values() if not isinstance(values, Span)]
    grid = [dict(zip(plan.fields, values, strict=True)) for values in itertools.product(*columns)]
    for setting in grid:
        settings.changed(plan.base, setting)  # what is impossible is refused before anything trains
    return [Row.of([plan.trial(setting, seed) for seed in range(plan.seeds)]) for setting in grid]


def _require(recipe: Recipe, data: Path, fields: Fields, seeds: int, search: int | None) -> None:
    """Nothing when such a sweep is possible."""
    distributed.require_alone("sweep", "start the same --search several times instead")
    prepared = PreparedSet.open(data)
    fitted(recipe, prepared)
    if not prepared.counts.get("val"):
        raise InputError(f"{data} has no `val` split to compare settings on: prepare it with --holdout 0.1.")
    if not fields:
        raise InputError("a sweep needs values to try: --over optimiser.learning-rate=0.003,0.01,0.03.")
    if seeds < 1 or (search is not None and search < 1):
        raise InputError(f"--seeds is {seeds} and --search {search}; each is at least 1.")
    if search is None and (spans := [name for name, values in fields.items() if isinstance(values, Span)]):
        raise InputError(f"{settings.shown(spans[0])} is a span; a span is searched: add --search 30, or name values.")
