"""reproduce."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

import alexnet
from alexnet.claims.reproduce import State, serves, states
from alexnet.cli import terminal
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.experiments import page, result
from alexnet.training.recipe import Machine
from alexnet.training.train import Stopped

_MACHINE = Machine()
_RESULTS = Path("results/experiments")
Name = Positional[Annotated[str, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")]]


def reproduce(arguments: list[str]) -> int:
    """`alexnet reproduce [NAME] --data PREPARED [--seeds N] [--smoke] [--results DIR]`."""

    def command(
        name: Name = "",
        *,
        data: Path | None = None,
        results: Path = _RESULTS,
        seeds: int | None = None,
        epochs: float | None = None,
        width: float | None = None,
        rates: tuple[float, ...] = (),
        smoke: terminal.Flag = False,
        pretrain_data: Path | None = None,
        write: Path | None = None,
        details: terminal.Flag = False,
        json: terminal.Flag = False,
        machine: Machine = _MACHINE,
    ) -> int:
        """Re-run a claim of the paper and print our number beside the paper's; without NAME, list the claims.

        Examples: `alexnet reproduce`, `alexnet reproduce figure1 --data cifar10`, `alexnet reproduce all --smoke`.
        What was finished is not computed again. A result replaces the one in --results unless that is fuller, with
        more seeds, epochs, width, training images or other sets: then it is put beside it, as NAME-smaller-..., and
        --write leaves it out. Of another set than the one there it is put beside it, as NAME-on-SET. The exit code is
        0 whatever the verdict; with `all`, an experiment that fails is told of, the others go on, and the exit code is
        1. Stopped by a signal, all is saved, and the exit code is 128 and its number, as of `train`.

        Args:
            name: an experiment from the list, or `all`: every one that the data serve.
            data: the prepared set: CIFAR-10, or photographs.
            results: the folder of result files, figures and runs.
            seeds: runs of each recipe.
            epochs: the share of each recipe's epochs; by default all on a GPU, the experiment's reduction elsewhere.
            width: the share of each network's kernels and units; likewise.
            rates: multiples of its learning rate, the best of which each network is compared at (0.5 1 2); by default
                its own alone, except for ablations on a GPU.
            smoke: a few steps on pictures drawn for it, to see that all runs.
            pretrain_data: another prepared set, for the experiments that pretrain.
            write: the Markdown page whose part between two marks is written anew from the result files.
            details: without NAME, tell what each claims, on what it was run, and what it costs.
            json: print JSON alone.
            machine: where it is computed.
        """
        if not name:
            _list(states(results), write, results, details=details, json=json)
            return 0
        options: dict[str, Any] = {"seeds": seeds, "epochs": epochs, "width": width, "rates": rates, "smoke": smoke}
        places: dict[str, Any] = {"results": results, "pretrain_data": pretrain_data, "machine": machine}

        def run(each: str) -> dict[str, Any]:
            return alexnet.reproduce(each, data, say=terminal.note, **options, **places)

        try:
            if name == "all":
                code = _all(_served(results, data, smoke), run, json=json)
            else:
                _tell(run(name), json=json, kept=results / "smoke" if smoke else results)
                code = 0
        except Stopped as stopped:
            return terminal.fail(str(stopped), 128 + stopped.signal)
        if write:
            _write(write, states(results), results)
        return code

    return terminal.parse(command, arguments, "reproduce")


def _served(results: Path, data: Path | None, smoke: bool) -> list[str]:
    """The experiments that the given data serve; with `smoke`, all."""
    needs = {"nothing"}
    if data:
        needs.add(serves(PreparedSet.open(data)))
    return [state.experiment.name for state in states(results) if smoke or state.experiment.needs in needs]


def _all(names: list[str], run: Callable[[str], dict[str, Any]], *, json: bool) -> int:
    """The exit code: 1 where one of them failed, in whatever way, which keeps none of the others."""
    code = 0
    for name in names:
        try:
            found = run(name)
        except Stopped:
            raise
        except InputError as error:
            code = terminal.fail(f"{name}: {error}", 1)
        except Exception as error:
            where = f"`alexnet reproduce {name} --traceback` shows where"
            code = terminal.fail(f"{name}: {type(error).__name__}: {error} ({where})", 1)
        else:
            _tell(found, json=json)
    return code


def _list(found: list[State], write: Path | None, results: Path, *, details: bool, json: bool) -> None:
    if write:
        _write(write, found, results)
    if json:
        terminal.print_json([_line(state) for state in found])
        return
    for state in found:
        line = _line(state)
        print(f"{line['name']:<22}{line['section']:<20}{_brief(state.result)}")
        if details:
            for beside in (*state.on_other_sets, *state.smaller):
                print(f"{'':<42}beside it: {_brief(beside)}")
            print(f"{'':<22}{line['claim']} (paper: {line['paper']})")
            print(f"{'':<22}cost: {line['cost']}")
    if not results.is_dir():
        terminal.note(f"there is no folder {results} here; the results that the project shows are in its clone's.")
    if not details:
        print(f"By the results in {results}. --details: what each claims, on what it was run, and what it costs.")


def _write(file: Path, found: list[State], results: Path) -> None:
    waiting = [state.experiment.name for state in found if not state.result]
    told = [each for state in found if state.result for each in (state.result, *state.on_other_sets)]
    page.write(file, told, results, waiting)


def _brief(found: dict[str, Any] | None) -> str:
    """The verdict of a result, and what it is of."""
    if found is None:
        return "not run"
    if not found["data"]:
        return str(found["verdict"])
    return f"{found['verdict']} ({found['budget']['name']}; {result.scale(found)}; {found['data']['name']})"


def _line(state: State) -> dict[str, Any]:
    experiment, found = state.experiment, state.result or {}
    return {
        "name": experiment.name,
        "section": experiment.section,
        "claim": experiment.claim,
        "paper": experiment.paper,
        "needs": experiment.needs,
        "cost": experiment.cost,
        "state": found.get("verdict", "not run"),
        "budget": found["budget"]["name"] if found else None,
        "scale": result.scale(found) if found else None,
        "data": found["data"]["name"] if found.get("data") else None,
        "smaller": [_brief(each) for each in state.smaller],
        "on_other_sets": [_brief(each) for each in state.on_other_sets],
    }


def _tell(found: dict[str, Any], *, json: bool, kept: Path | None = None) -> None:
    if json:
        terminal.print_json(found)
        return
    print(f"{found['experiment']} (section {found['section']}): {found['claim']}")
    print(f"  paper    {found['paper']}\n  ours     {found['ours']}")
    if kept:
        print(f"  rule     {found['rule']}")
    print(f"  verdict  {found['verdict']}: {found['reason']}")
    if kept:
        print(f"  kept in  {kept / found['file']}, with its figures and runs")
