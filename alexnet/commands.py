"""The commands that span chapters, as sequences of lower calls: train, resume, finetune, evaluate, calibrate."""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from alexnet import config, devices, distributed, drawing, files, recipes
from alexnet.analysis import summary as analysis_summary
from alexnet.analysis.confusion import confusion
from alexnet.analysis.mistakes import Evidence, mistakes
from alexnet.analysis.reliability import reliability
from alexnet.analysis.report import report
from alexnet.analysis.saliency import grad_cam, last_maps
from alexnet.analysis.summary import Summary
from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.evaluation import calibration, classifier_file
from alexnet.evaluation import evaluate as evaluation
from alexnet.evaluation.calibration import Calibration
from alexnet.evaluation.classifier import Classifier, ViewsName
from alexnet.evaluation.evaluate import Evaluation
from alexnet.evaluation.lesions import cut_off, lesion
from alexnet.model.network import Config
from alexnet.training import train as training
from alexnet.training.finished import unfinished
from alexnet.training.parts import NotFinite
from alexnet.training.recipe import Machine, Recipe
from alexnet.training.run import Run, learnt_from
from alexnet.training.train import Stopped


def train(
    recipe: Recipe,
    data: str | Path,
    run: str | Path,
    machine: Machine | None = None,
    start: Path | None = None,
) -> Run:
    """The finished run in folder `run`, its figures and report drawn, also when a signal stops it.

    Arguments and errors are those of `alexnet.training.train.train`.
    """
    try:
        trained = training.train(recipe, Path(data), Path(run), machine, start)
    except (Stopped, NotFinite):
        _tell(Path(run))
        raise
    _tell(Path(run))
    return trained


def resume(run: str | Path, data: str | Path | None = None, machine: Machine | None = None) -> Run:
    """The finished run in folder `run`, gone on with from its newest checkpoint, bit for bit on the same machine.

    Args:
        data: where the prepared set is now, if it has moved.

    Raises:
        InputError: there is no run, or the set is another.
    """
    opened = Run.open(Path(run))
    return train(opened.recipe, data or Path(opened.data["path"]), run, machine, opened.start)


def finetune(
    start: str | Path,
    data: str | Path,
    run: str | Path,
    recipe: Recipe | None = None,
    machine: Machine | None = None,
) -> Run:
    """The finished run that began from the classifier `start` (a run's folder or a classifier file).

    Its weights go on, but for a new last layer where the classes differ. A warning on standard error tells of a start
    that learnt from another set of such classes, perhaps from pictures that are measured on now.

    Args:
        recipe: by default `alexnet.recipes.finetuning` for the classifier's network and views.

    Raises:
        InputError: `start` is no classifier, or does not fit the set or the recipe.
    """
    file = classifier_file.find(start)
    prepared = PreparedSet.open(data)
    _warn_of_others([start], prepared, " or ".join(name for name in ("val", "test") if prepared.counts.get(name)))
    if recipe is None:
        described, _ = classifier_file.read(file)
        recipe = recipes.finetuning(described.network, described.views)
    return train(recipe, data, run, machine, file)


def evaluate(
    runs: Sequence[str | Path],
    data: str | Path,
    split: str = "val",
    views: ViewsName = "centre",
    *,
    best: bool = False,
    out: Path | None = None,
    probabilities: bool = False,
    edit: Sequence[str] = (),
    device: str = "auto",
    progress: Callable[[int], object] = lambda _: None,
) -> Evaluation:
    """Loss and errors of the classifiers in `runs`, averaged when there are several, on a split of a prepared set.

    A warning on standard error tells of runs that were trained on another set, or from a start that was, perhaps on
    these very images.

    Args:
        runs: run folders or classifier files.
        best: of run folders, take the classifier at the lowest validation error.
        out: the folder for per-class errors, the confusion matrix, the page of errors and, if kept, the
            probabilities; nothing is written when it is not given.
        probabilities: whether to keep each image's probabilities.
        edit: lesions of every classifier, as `alexnet.evaluation.lesions` has them: "conv3=zero", "tower2=zero".
        progress: told the number of images of each batch.

    Raises:
        InputError: a classifier or the set cannot be read, or their classes differ.
    """
    place = devices.choose(device)
    if place.type == "cpu":
        devices.keep_pages()
    with distributed.joined(place):
        prepared = PreparedSet.open(data)
        _warn_of_others(runs, prepared, split, best)
        _warn_of_unfinished(runs)
        loader = Loader(prepared.split(split), Loading(), place, cache="none")
        classifiers = [Classifier.load(run, str(place), best) for run in runs]
        for classifier in classifiers:
            lesion(classifier.network, edit)
        _warn_of_lesions(classifiers, edit)
        result = evaluation.evaluate(
            classifiers, loader, views, classes=prepared.classes, probabilities=probabilities, progress=progress
        )
        measured = {"path": str(Path(data).resolve()), "fingerprint": prepared.fingerprint}
        result = dataclasses.replace(result, split=split, data=measured, edit=tuple(edit))
        if out and distributed.rank() == 0:
            evaluation.write(out, result)
            names = [entry.words or entry.name for entry in result.classes]
            drawing.save(confusion(result.confusion.numpy(), names), out / "confusion.png")
            files.write_bytes(out / "errors.html", mistakes(result, loader.shards, _evidence(classifiers[0])))
        return result


def calibrate(
    run: str | Path,
    data: str | Path,
    split: str = "val",
    views: ViewsName = "centre",
    *,
    best: bool = False,
    out: str | Path | None = None,
    device: str = "auto",
    progress: Callable[[int], object] = lambda _: None,
) -> Calibration:
    """What `alexnet.evaluation.calibration.calibrate` found; the classifier's file has the temperature from now on.

    Nothing else in the file changes. Of a run that is `weights.safetensors`, or `best.safetensors` with `best`; where
    both hold the same tensors, both. The figure lies beside it: `reliability.png`, or FILE-reliability.png.

    Args:
        split: where the temperature is fitted.
        out: another file for the calibrated classifier; then the one of `run` stays as it is.
        progress: told the number of images of each batch.

    Raises:
        InputError: a file or the set cannot be read, they do not fit, or no temperature can be fitted; nothing is
            written then.
    """
    distributed.require_alone("calibrate")
    file = classifier_file.find(run, best)
    if out is None and not Path(run).exists():
        raise InputError(
            f"{run} comes with the package and stays as it is; --out FILE takes the calibrated classifier."
        )
    target = Path(out or file)
    if target.is_dir():
        raise InputError(f"{target} is a folder; --out takes the name of a file.")
    prepared = PreparedSet.open(data)
    _warn_of_others([run], prepared, split, best)
    _warn_of_unfinished([run], " and writes its classifier anew, at temperature 1" if out is None else "")
    place = devices.choose(device)
    if place.type == "cpu":
        devices.keep_pages()
    found = calibration.calibrate(Classifier.load(file, str(place)), prepared, split, views, progress)
    of_run = out is None and Path(run).is_dir()
    twin = file.with_name("weights.safetensors" if best else "best.safetensors")
    twins = of_run and twin.is_file() and classifier_file.checksum(twin) == classifier_file.checksum(file)
    classifier_file.set_temperature(file, found.temperature, target)
    if twins:
        files.link(target, twin)
    name = f"reliability{'-best' if best else ''}.png" if of_run else f"{target.stem}-reliability.png"
    drawing.save(reliability(found), target.with_name(name))
    return dataclasses.replace(found, file=str(target), figure=str(target.with_name(name)))


def summary(source: str | Path | Recipe | Config) -> Summary:
    """The rows of a network: shapes, parameters, multiply-adds, receptive fields, strides; by tower and in all.

    Args:
        source: a recipe or its name or recipe.json, a run's folder, a classifier file or the name of one that ships, or
            a network's config.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(source, Recipe):
        return analysis_summary.summary(source.model, source.name)
    if not isinstance(source, str | Path):
        return analysis_summary.summary(source)
    name, folder = str(source), Path(source)
    if name.endswith(".json") or name in recipes.names():
        return summary(recipes.load(name))
    if (folder / "recipe.json").is_file():
        return analysis_summary.summary(Run.open(folder).recipe.model, folder.resolve().name)
    if not folder.exists() and name not in classifier_file.shipped():
        known = [*recipes.names(), *classifier_file.shipped()]
        raise InputError(f"{name} is no recipe, run folder or classifier file{config.nearest(name, known)}.")
    described, _ = classifier_file.read(classifier_file.find(source))
    return analysis_summary.summary(described.network, folder.name)


def _evidence(classifier: Classifier) -> Evidence | None:
    """Where the evidence lies that `classifier` finds for a label; None of a network without maps."""
    try:
        last_maps(classifier.network)
    except InputError:
        return None
    return functools.partial(grad_cam, classifier)


def _warn_of_others(runs: Sequence[str | Path], prepared: PreparedSet, split: str, best: bool = False) -> None:
    """Nothing; classifiers are told of that learnt, they or their starts, from another set or division of it."""
    others = dict.fromkeys(other for run in runs if (other := _of_another(run, prepared, best)))
    if others and split:
        _say(
            f"{', '.join(others)} learnt from another prepared set than {prepared.path}, perhaps from images "
            f"that are in its {split} split: then the errors come out too low."
        )


def _of_another(run: str | Path, prepared: PreparedSet, best: bool) -> str:
    """What of `run`, itself or its start, learnt from another set that has classes of this one; "" of a lone file."""
    classes = {entry.name for entry in prepared.classes}
    sets = learnt_from(classifier_file.find(run, best))
    others = [s["fingerprint"] != prepared.fingerprint and not classes.isdisjoint(s["classes"]) for s in sets]
    if not any(others):
        return ""
    return str(run) if others[-1] else f"the start of {run}"


def _warn_of_unfinished(runs: Sequence[str | Path], more: str = "") -> None:
    """Nothing; runs that have not come to their end are told of."""
    for run in dict.fromkeys(map(Path, runs)):
        if left := unfinished(run):
            _say(f"{run} is unfinished ({left[0]} of {left[1]} epochs): `alexnet resume {run}` goes on{more}.")


def _warn_of_lesions(classifiers: Sequence[Classifier], edit: Sequence[str]) -> None:
    """Nothing; it is told where lesions leave nothing of a stage, and so no classifier sees the picture."""
    said = [sentence for each in classifiers if (sentence := cut_off(edit, each.network))]
    if said:
        _say(said[0])


def _say(sentence: str) -> None:
    if _first():
        print(f"alexnet: {sentence}", file=sys.stderr)


def _tell(run: Path) -> None:
    if _first():
        report(run)


def _first() -> bool:
    # The group of processes may not have begun, or have ended, so torchrun's own number tells who speaks and draws.
    return os.environ.get("RANK", "0") == "0"
