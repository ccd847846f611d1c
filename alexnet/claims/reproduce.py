"""Experiments by name: listed with their state, run and resumed, each leaving a result file."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from alexnet import config, devices, distributed
from alexnet.claims.catalogue import EXPERIMENTS
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.experiments import pictures, result
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.experiment import Experiment, Needs
from alexnet.training.parts import NotFinite
from alexnet.training.recipe import Machine

SMOKE = Budget("smoke", epochs=0.0, width=1 / 32, seeds=2)


@dataclass(frozen=True)
class State:
    """An experiment, and how far it has come in a folder of results."""

    experiment: Experiment
    result: dict[str, Any] | None
    """Its result file, or None."""
    smaller: Sequence[dict[str, Any]] = ()
    """Results of less that lie beside it."""
    on_other_sets: Sequence[dict[str, Any]] = ()
    """Results on other sets."""


def states(results: Path) -> list[State]:
    """Every experiment in the paper's order, with its result in `results` as today's rule judges it."""
    found = []
    for each in EXPERIMENTS:
        kept = result.read(results, each.name)
        smaller, others = (
            [result.judged(each, one) for one in of(results, each.name)]
            for of in (result.smaller, result.on_other_sets)
        )
        found.append(State(each, result.judged(each, kept) if kept else None, smaller, others))
    return found


def reproduce(
    name: str,
    data: str | Path | None = None,
    *,
    results: str | Path = "results/experiments",
    seeds: int | None = None,
    epochs: float | None = None,
    width: float | None = None,
    rates: Sequence[float] | None = None,
    smoke: bool = False,
    pretrain_data: str | Path | None = None,
    machine: Machine | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """The result of the experiment `name`, written to `results`/NAME.json beside its figures (`result.write`).

    Its runs lie in `results`/runs; what was finished is not computed again, what was stopped goes on. The verdict is
    that of the experiment's own rule; not testable here where a network breaks. A fuller result that is there stays,
    and this one lies beside it.

    Args:
        data: the prepared set, photographs or CIFAR-10 as the experiment needs.
        seeds, epochs, width: runs of each recipe, and the shares of its epochs and of its kernels and units; by
            default the experiment's full budget on a GPU, its reduced one elsewhere.
        rates: multiples of each recipe's learning rate; every network trained from scratch is compared at the best of
            them, by validation error on the first seed. By default its own, except for ablations on a GPU.
        smoke: a few steps of narrow networks on pictures drawn for it.
        pretrain_data: another prepared set, where the experiment pretrains.
        say: told of each run before it begins.

    Raises:
        InputError: there is no such experiment, it needs data or other data, `results` cannot be written, or torchrun
            spread it.
    """
    distributed.require_alone("reproduce")
    experiment = find(name)
    results, machine = Path(results), machine or Machine()
    budget = _budget(experiment, machine, smoke)
    given = {"seeds": seeds, "epochs": epochs, "width": width, "rates": tuple(rates) if rates else None}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if changes:
        # A trial stays one: by its name, rivals are fitted coarsely.
        budget = replace(budget, name="smoke" if smoke else "chosen", **changes)
    if machine.threads:
        torch.set_num_threads(machine.threads)  # `train` does so too, but finished runs are only looked at
    place = results / "smoke" if smoke else results
    _writable(place)
    prepared = _prepared(experiment, data, place, smoke)
    pretrain = _pretraining(pretrain_data, place, smoke)
    bench = Bench(prepared, place / "runs", budget, machine, pretrain, say)
    begun = time.monotonic()
    try:
        measured = experiment.measure(bench)
    except NotFinite as error:
        measured = result.broken(error)
    return result.write(place, experiment, bench, measured, time.monotonic() - begun)


def find(name: str) -> Experiment:
    """The experiment called `name`.

    Raises:
        InputError: there is none; the nearest name is suggested.
    """
    names = [experiment.name for experiment in EXPERIMENTS]
    if name not in names:
        raise InputError(
            f"there is no experiment {name!r}{config.nearest(name, names)}; `alexnet reproduce` lists them."
        )
    return EXPERIMENTS[names.index(name)]


def serves(prepared: PreparedSet) -> Needs:
    """What a prepared set is to experiments: CIFAR-10 where its images have 32 pixels a side, else photographs."""
    return "cifar10" if prepared.size == 32 else "photographs"


def _writable(folder: Path) -> None:
    """Nothing; the folder is there and takes files, which is better known before hours of training than after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} takes no results ({error.strerror}); --results names another folder.") from error


def _budget(experiment: Experiment, machine: Machine, smoke: bool) -> Budget:
    if smoke:
        return SMOKE
    return experiment.full if devices.choose(machine.devices[0]).type == "cuda" else experiment.reduced


def _prepared(experiment: Experiment, data: str | Path | None, place: Path, smoke: bool) -> Path:
    if experiment.needs == "nothing":
        return Path()
    if smoke:
        draw = pictures.cifar10 if experiment.needs == "cifar10" else pictures.photographs
        return draw(place / experiment.needs).path
    kind = "CIFAR-10" if experiment.needs == "cifar10" else "photographs"
    if data is None:
        raise InputError(f"{experiment.name} needs a prepared set of {kind}: --data PREPARED, or --smoke for a trial.")
    found = PreparedSet.open(Path(data))
    if serves(found) != experiment.needs:
        size = f"{found.size}x{found.size}"
        raise InputError(
            f"{experiment.name} needs a prepared set of {kind}, but the images of {data} are {size}: "
            "another --data, or --smoke for a trial."
        )
    return Path(data)


def _pretraining(data: str | Path | None, place: Path, smoke: bool) -> Path | None:
    if smoke:
        return pictures.photographs(place / "pretraining", train=60, val=12, classes=12).path
    return Path(data) if data else None
