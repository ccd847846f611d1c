"""Training: assembles the parts that a recipe names and holds the only loop over images."""

import dataclasses
import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from alexnet import devices, distributed, locks
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError, counted
from alexnet.evaluation import classifier_file
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.evaluate import Evaluation, evaluate
from alexnet.files import checksum, link
from alexnet.training import checkpoint, environment
from alexnet.training.checkpoint import Position
from alexnet.training.finished import epochs, finish, finished
from alexnet.training.optimiser import set_rates
from alexnet.training.parts import WAY_OUT, NotFinite, Parts
from alexnet.training.recipe import Machine, Recipe
from alexnet.training.record import Record
from alexnet.training.run import Run, learnt_from, lock
from alexnet.training.schedule import Plateau
from alexnet.training.step import gradient_step


class Stopped(Exception):
    """Training was stopped by a signal, after its state was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command goes on")
        self.signal = number


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    machine: Machine | None = None,
    start: Path | None = None,
    *,
    shared: bool = False,
) -> Run:
    """The finished run in folder `run`, which computed `recipe` on the prepared set `data`.

    A folder that holds the same run already is resumed, bit for bit on an unchanged machine. Under `torchrun` the
    processes share the work and the result is the same to rounding.

    Args:
        start: the classifier file to begin from; without it weights are drawn by `recipe.seeds.weights`.
        shared: others may ask for this run, and none will go on with it. Another process that trains it is waited for,
            and once it is finished, what it was resumed from is deleted.

    Raises:
        InputError: recipe and set do not fit, `run` holds something else, or another process trains it.
        Stopped: SIGINT or SIGTERM came; everything is saved.
    """
    machine = machine or Machine()
    places = _devices(machine)
    with distributed.joined(places[0]), _alone(run, wait=shared):
        _make_fast(machine, places[0])
        prepared = PreparedSet.open(data)
        beginning = Classifier.load(start, str(places[0])) if start else None
        recipe = fitted(recipe, prepared, beginning)
        record = {
            "path": str(data.resolve()),
            "fingerprint": prepared.fingerprint,
            "classes": [entry.name for entry in prepared.classes],
            "counts": prepared.counts,
            "start": _start(start) if start else None,
        }
        if finished(run):
            return _found(run, recipe, record)
        session = environment.describe(machine, places[0])
        parts = Parts.assemble(recipe, prepared, machine, places, beginning)
        # Only now that everything fits: what is refused leaves no run.
        folder = _opened(run, recipe, record, session, start)
        _loop(folder, parts, machine)
        if shared and distributed.rank() == 0:
            finish(run)
        return folder


def fitted(recipe: Recipe, prepared: PreparedSet, beginning: Classifier | None = None) -> Recipe:
    """`recipe` with the set's number of classes.

    Raises:
        InputError: the set has no training images, is too small for the crop, or lacks the `val` split that a
            plateau schedule watches; or the classifier to begin from takes images of another size.
    """
    if "train" not in prepared.counts:
        raise InputError(f"{prepared.path} has no `train` split; it can be evaluated, not trained on.")
    if recipe.views.crop > prepared.size:
        raise InputError(
            f"the recipe's crop of {recipe.views.crop} does not fit the {prepared.size}x{prepared.size} images of "
            f"{prepared.path}; take a recipe of the same size (cifar10-* for 32x32)."
        )
    if beginning and beginning.size != prepared.size:
        raise InputError(
            f"the classifier to begin from takes {beginning.size}x{beginning.size} images, those of {prepared.path} "
            f"are {prepared.size}x{prepared.size}: prepare the pictures with --size {beginning.size}."
        )
    count, usual = len(prepared.classes), type(recipe.model)().classes
    if not beginning and recipe.model.classes not in (count, usual):
        found = f"{prepared.path} has {counted(count, 'class', 'classes')}"
        print(f"alexnet: {found}; model.classes {recipe.model.classes} becomes {count}.", file=sys.stderr)
    if isinstance(recipe.schedule, Plateau) and not prepared.counts.get("val"):
        raise InputError(
            f"{prepared.path} has no `val` split for the plateau schedule to watch: prepare it with --holdout 0.1, "
            "or take a recipe with milestones."
        )
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, classes=count))


def _loop(run: Run, parts: Parts, machine: Machine) -> None:
    """The loop over epochs and batches: a step, what it told, and now and then a checkpoint."""
    recipe, loader = run.recipe, parts.loader
    saved = checkpoint.newest(run.checkpoints)
    position = parts.restore(saved) if saved else Position()
    if position.step == 0:
        _keep(run, parts, machine, 0)
    moment = time.monotonic()
    with _signals() as signals, Record(run, parts, length=saved.journal if saved else 0) as record:
        if saved:
            record.resumed(position)
        while not position.finished:
            record.begin(position)
            for batch in loader.epoch(position.epoch, position.batch):
                factors = recipe.schedule.factors(position.epoch + position.batch / loader.batches, position.errors)
                set_rates(parts.rule, recipe.optimiser, factors)
                told = gradient_step(parts, batch, position.epoch, factors.colour, signals.stop)
                position = record.stepped(position, told.sums)
                if told.stop:
                    _stop(run, parts, position, record, signals)
                if time.monotonic() - moment > 60 * machine.checkpoint_minutes:
                    _save(run, parts, position, record)
                    moment = time.monotonic()
            if distributed.any_true(signals.stop, parts.device):
                _stop(run, parts, position, record, signals)
            record.paused(position)
            result = _validated(parts)
            position = record.finished_epoch(position, result)
            _publish(run, parts, position, machine)
        if saved is None or not saved.position.finished:
            _save(run, parts, position, record)


def _validated(parts: Parts) -> Evaluation | None:
    """The figures of the `val` split, None without one; raises NotFinite for a network that the last step broke."""
    parts.require_finite()
    if parts.validation is None:
        return None
    result = evaluate([parts.classifier], parts.validation)
    if not math.isfinite(result.loss):
        raise NotFinite(f"the validation loss is not finite: the last steps broke the network. {WAY_OUT}")
    return result


def _stop(run: Run, parts: Parts, position: Position, record: Record, signals: "_Signals") -> NoReturn:
    record.paused(position)
    _save(run, parts, position, record)
    raise Stopped(signals.number or signal.SIGTERM)  # the signal may have come to another rank


def _publish(run: Run, parts: Parts, position: Position, machine: Machine) -> None:
    """Writes the classifier after a finished epoch: the last, the best, and those asked for."""
    if distributed.rank() == 0:
        parts.classifier.save(run.path / "weights.safetensors")
    # Without a validation split nothing is better than the last.
    if distributed.rank() == 0 and (not position.errors or position.errors[-1] < min((*position.errors[:-1], 2.0))):
        link(run.path / "weights.safetensors", run.path / "best.safetensors")
    _keep(run, parts, machine, position.epoch)


def _keep(run: Run, parts: Parts, machine: Machine, epoch: int) -> None:
    if epoch in machine.keep_epochs and distributed.rank() == 0:
        parts.classifier.save(run.checkpoints / f"epoch-{epoch:04d}.safetensors")


def _save(run: Run, parts: Parts, position: Position, record: Record) -> None:
    if distributed.rank() == 0:
        parts.require_finite()
        weights, velocities = parts.whole()
        checkpoint.save(run.checkpoints, position, weights, velocities, record.flushed())


@contextmanager
def _alone(run: Path, *, wait: bool) -> Iterator[None]:
    """Within the block no other process, or job of several, trains `run`: it is refused, or waits and says so."""
    said = f"{run} is being trained by another process"

    def waiting() -> None:
        print(f"alexnet: {said}; waiting for it.", file=sys.stderr)

    with ExitStack() as stack:
        if distributed.rank() == 0 and not stack.enter_context(locks.alone(lock(run), waiting if wait else None)):
            raise InputError(f"{said}; wait for it, or give a new --run.")
        distributed.wait()
        yield


def _found(path: Path, recipe: Recipe, data: dict[str, Any]) -> Run:
    """The run that was finished and lightened: there is nothing to go on from, and nothing to do."""
    run = Run.open(path)
    run.require_same(recipe, data)
    if distributed.rank() == 0:
        print(f"alexnet: {path} is finished already, after {counted(len(epochs(path)), 'epoch')}.", file=sys.stderr)
    return run


def _opened(path: Path, recipe: Recipe, data: dict[str, Any], session: dict[str, Any], start: Path | None) -> Run:
    if distributed.rank() == 0:
        if (path / "recipe.json").is_file():
            run = Run.open(path)
            run.require_same(recipe, data)
            run.tidy()
            run.add_session(session)
        else:
            Run.create(path, recipe, data, session, start)
    distributed.wait()
    return Run.open(path)


def _start(file: Path) -> dict[str, Any]:
    """The classifier file begun from, as data.json keeps it; its tensors' own checksum outlives calibration."""
    sums = {"checksum": checksum(file), "tensors": classifier_file.checksum(file)}
    return {"path": str(file), **sums, "learnt_from": learnt_from(file)}


def _devices(machine: Machine) -> list[torch.device]:
    if len(machine.devices) not in (1, 2):
        raise InputError(
            f"--machine.devices names {len(machine.devices)} devices; it takes one, or two for one tower each."
        )
    return [devices.choose(name) for name in machine.devices]


def _make_fast(machine: Machine, device: torch.device) -> None:
    if device.type == "cpu":
        devices.keep_pages()
    if machine.threads:
        torch.set_num_threads(machine.threads)


class _Signals:
    """Remembers the first SIGINT or SIGTERM, so that a step ends before training does."""

    number = 0

    @property
    def stop(self) -> bool:
        return self.number != 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number
        print(f"\nalexnet: {signal.Signals(number).name}: saving, then stopping.", file=sys.stderr)


@contextmanager
def _signals() -> Iterator[_Signals]:
    remembered = _Signals()
    try:
        before = {number: signal.signal(number, remembered) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever called handles signals
        yield remembered
        return
    try:
        yield remembered
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
